//! The standard library: a thread for each connection.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::thread;

use resound_peers::program::{self, BUFFER_BYTES};

fn main() -> ExitCode {
    program::run(|addr| {
        let listener = TcpListener::bind(addr)?;
        program::listening_on(listener.local_addr()?);
        for stream in listener.incoming() {
            let stream = stream?;
            thread::spawn(|| echo(stream));
        }
        Ok(())
    })
}

fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = stream.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}
