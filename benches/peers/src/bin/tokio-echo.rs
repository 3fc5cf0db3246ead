//! tokio as in the echo server that opens its documentation: a task for each connection. Here all tasks run on the
//! current thread.

use std::io;
use std::process::ExitCode;

use resound_peers::program::{self, BUFFER_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn main() -> ExitCode {
    program::run(serve)
}

#[tokio::main(flavor = "current_thread")]
async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    program::listening_on(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    // Not an array as in the documentation: an array would be part of the task and move with it.
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let n = stream.read(&mut buffer).await?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n]).await?;
    }
}
