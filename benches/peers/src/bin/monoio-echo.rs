//! monoio as in its example of an echo server, on io_uring.

use std::io;
use std::process::ExitCode;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use resound_peers::program::{self, BUFFER_BYTES};

fn main() -> ExitCode {
    program::run(|addr| {
        if !monoio::utils::detect_uring() {
            return Err(io::Error::other("this kernel has no io_uring, or forbids it"));
        }
        RuntimeBuilder::<IoUringDriver>::new().build()?.block_on(serve(addr))
    })
}

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(addr)?;
    program::listening_on(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(echo(stream));
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    let mut outcome;
    loop {
        (outcome, buffer) = stream.read(buffer).await;
        if outcome? == 0 {
            return Ok(());
        }
        (outcome, buffer) = stream.write_all(buffer).await;
        outcome?;
        buffer.clear();
    }
}
