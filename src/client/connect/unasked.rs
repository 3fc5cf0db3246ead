//! What a server sends although it owes nothing.

use std::io::{self, ErrorKind, Read};

use crate::client::attempt;

/// The most bytes that one look reads. A line or two show what they are.
pub const LOOK_BYTES: usize = 256;

/// What came although the server owes nothing.
#[derive(Debug)]
pub enum Unasked<'a> {
    Nothing,
    /// More bytes can follow, and would look like the next echo. Only a new connection is in step.
    Bytes(&'a [u8]),
    /// The connection has ended, and why. `UnexpectedEof` if the server closed it.
    End(io::Error),
}

/// Looks once at a connection on which the server owes nothing.
pub fn look<'a>(socket: &mut impl Read, buffer: &'a mut [u8; LOOK_BYTES]) -> Unasked<'a> {
    match attempt(|| socket.read(buffer)) {
        Ok(None) => Unasked::Nothing,
        Ok(Some(0)) => Unasked::End(ErrorKind::UnexpectedEof.into()),
        Ok(Some(n)) => Unasked::Bytes(&buffer[..n]),
        Err(e) => Unasked::End(e),
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripted::{Gives, Scripted};
    use super::*;

    #[test]
    fn a_look_tells_bytes_from_an_end_and_from_nothing() {
        let look_at = |gives: &[Gives]| {
            format!("{:?}", look(&mut Scripted::new(gives, &[]), &mut [0; LOOK_BYTES]))
        };
        assert_eq!(look_at(&[Gives::Interrupted, Gives::Bytes(2)]), "Bytes([0, 1])");
        assert_eq!(look_at(&[]), "Nothing");
        assert_eq!(look_at(&[Gives::End]), "End(Kind(UnexpectedEof))");
        assert_eq!(look_at(&[Gives::Reset]), "End(Kind(ConnectionReset))");
    }
}
