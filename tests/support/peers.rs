//! Servers for a client to connect to, correct and faulty. Each runs on its own thread until the test ends, and
//! accepts one connection after another.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

/// Starts a server that calls `talk` for each connection. Returns its address.
pub fn serve(mut talk: impl FnMut(TcpStream) -> io::Result<()> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap().to_string();
    thread::spawn(move || {
        for stream in listener.incoming() {
            // An error may be what the test is about, and the client reports it.
            let _ = talk(stream.unwrap());
        }
    });
    addr
}

/// Echoes correctly.
pub fn faithful(stream: TcpStream) -> io::Result<()> {
    io::copy(&mut &stream, &mut &stream).map(drop)
}

/// Echoes the first message and closes.
pub fn closing_after_one_echo(stream: TcpStream) -> io::Result<()> {
    echo_once(&stream, |echo| echo)
}

/// Writes an `X` for every `x`.
pub fn altering(stream: TcpStream) -> io::Result<()> {
    echo_all(&stream, |echo| echo.iter().map(|&b| if b == b'x' { b'X' } else { b }).collect())
}

/// Adds three bytes to each echo.
pub fn adding(stream: TcpStream) -> io::Result<()> {
    echo_all(&stream, |echo| [&echo, &b"..."[..]].concat())
}

/// Echoes messages of 64 bytes, and calls `act` between one with this number and its echo. The first is number 1.
pub fn acting_at(mut stream: &TcpStream, number: usize, act: impl Fn()) -> io::Result<()> {
    let mut message = [0; 64];
    for n in 1.. {
        stream.read_exact(&mut message)?;
        if n == number {
            act();
        }
        stream.write_all(&message)?;
    }
    Ok(())
}

/// Reads everything, writes nothing, and never closes.
pub fn silent(stream: TcpStream) -> io::Result<()> {
    take_all(&stream)?;
    loop {
        thread::park();
    }
}

/// Echoes one byte at a time, which splits every character of several bytes.
pub fn cutting(stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    BufReader::new(&stream).bytes().try_for_each(|byte| (&stream).write_all(&[byte?]))
}

/// Echoes three bytes, ends the stream, and reads the rest.
pub fn closing_after_three_bytes(stream: TcpStream) -> io::Result<()> {
    let mut three = [0; 3];
    (&stream).read_exact(&mut three)?;
    (&stream).write_all(&three)?;
    stream.shutdown(Shutdown::Write)?;
    take_all(&stream)
}

/// Reads up to the end of stream, and only then echoes.
pub fn waiting_for_the_end(stream: TcpStream) -> io::Result<()> {
    let mut all = Vec::new();
    (&stream).read_to_end(&mut all)?;
    (&stream).write_all(&all)
}

/// Reads the first message, and closes without an echo. Echoes correctly on every later connection.
pub fn losing_the_first() -> impl FnMut(TcpStream) -> io::Result<()> + Send + 'static {
    let mut is_first = true;
    move |stream| match std::mem::take(&mut is_first) {
        true => (&stream).read(&mut [0; 1024]).map(drop),
        false => faithful(stream),
    }
}

/// Ends the stream without an echo.
pub fn closing_at_once(stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    take_all(&stream)
}

/// Answers every message with `words`.
pub fn saying(words: &'static [u8]) -> impl FnMut(TcpStream) -> io::Result<()> + Send + 'static {
    move |stream| echo_all(&stream, |_| words.to_vec())
}

fn take_all(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}

/// Echoes each message after `change` has changed it.
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
