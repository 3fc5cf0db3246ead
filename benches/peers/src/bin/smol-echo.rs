//! smol as in its examples: they echo with `io::copy`, which brings a buffer of 8 KiB.

use std::io;
use std::process::ExitCode;

use resound_peers::program;
use smol::net::{TcpListener, TcpStream};

fn main() -> ExitCode {
    program::run(|addr| smol::block_on(serve(addr)))
}

async fn serve(addr: String) -> io::Result<()> {
    let listener = TcpListener::bind(addr).await?;
    program::listening_on(listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        smol::spawn(echo(stream)).detach();
    }
}

async fn echo(mut stream: TcpStream) -> io::Result<u64> {
    stream.set_nodelay(true)?;
    smol::io::copy(stream.clone(), &mut stream).await
}
