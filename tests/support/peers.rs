//! Servers for a client to meet, good and bad: each runs on a thread of its own until the test ends, and
//! takes one connection after the other.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts a server that deals with each connection by `talk`, and gives its address.
pub fn serve(mut talk: impl FnMut(TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // A connection that ends early may be just what the test is about: the client tells.
            let _ = talk(stream.unwrap());
        }
    });
    addr
}

/// As it should be.
pub fn faithful(stream: TcpStream) -> io::Result<()> {
    io::copy(&mut &stream, &mut &stream).map(drop)
}

/// Echoes what comes first, and closes.
pub fn closing_after_one_echo(stream: TcpStream) -> io::Result<()> {
    echo_once(&stream, |echo| echo)
}

/// Writes an `X` for every `x`.
pub fn altering(stream: TcpStream) -> io::Result<()> {
    echo_all(&stream, |echo| echo.iter().map(|&b| if b == b'x' { b'X' } else { b }).collect())
}

/// Echoes each message with three bytes more.
pub fn adding(stream: TcpStream) -> io::Result<()> {
    echo_all(&stream, |echo| [&echo, &b"..."[..]].concat())
}

/// Takes everything, and gives nothing, not even an end.
pub fn silent(stream: TcpStream) -> io::Result<()> {
    take_all(&stream)?;
    loop {
        thread::park();
    }
}

/// Echoes one byte at a time, so that every character of more than one is cut.
pub fn cutting(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    BufReader::new(&stream).bytes().try_for_each(|byte| (&stream).write_all(&[byte?]))
}

/// Echoes three bytes, takes the rest, and closes.
pub fn closing_after_three_bytes(stream: TcpStream) -> io::Result<()> {
    let mut three = [0; 3];
    (&stream).read_exact(&mut three)?;
    (&stream).write_all(&three)?;
    stream.shutdown(Shutdown::Write)?;
    take_all(&stream)
}

/// Keeps everything to itself until the end, and then echoes it.
pub fn waiting_for_the_end(stream: TcpStream) -> io::Result<()> {
    let mut all = Vec::new();
    (&stream).read_to_end(&mut all)?;
    (&stream).write_all(&all)
}

/// Takes the first message without a word and closes. From then on, as it should be.
pub fn losing_the_first() -> impl FnMut(TcpStream) -> io::Result<()> + Send + 'static {
    let mut is_first = true;
    move |stream| match std::mem::take(&mut is_first) {
        true => (&stream).read(&mut [0; 1024]).map(drop),
        false => faithful(stream),
    }
}

/// Closes without a word.
pub fn closing_at_once(stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    take_all(&stream)
}

/// Answers whatever it gets with this.
pub fn saying(words: &'static [u8]) -> impl FnMut(TcpStream) -> io::Result<()> + Send + 'static {
    move |stream| echo_all(&stream, |_| words.to_vec())
}

fn take_all(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Echoes each message as `change` makes it.
pub fn echo_all(stream: &TcpStream, change: impl Fn(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
    while let Ok(()) = echo_once(stream, &change) {}
    Ok(())
}

fn echo_once(mut stream: &TcpStream, change: impl Fn(Vec<u8>) -> Vec<u8>) -> io::Result<()> {
    let mut got = vec![0; 64 * 1024];
    let n = stream.read(&mut got)?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    got.truncate(n);
    stream.write_all(&change(got))
}
