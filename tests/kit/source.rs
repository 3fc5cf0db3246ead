//! Sources that no poll watches: only the reactor's own queue makes them ready.

/// Implements [`mio::event::Source`] for a type, and registers nothing.
macro_rules! unpolled {
    ($type:ty $(, $param:ident)?) => {
        impl$(<$param>)? mio::event::Source for $type {
            fn register(
                &mut self,
                _: &mio::Registry,
                _: mio::Token,
                _: mio::Interest,
            ) -> std::io::Result<()> {
                Ok(())
            }

            fn reregister(
                &mut self,
                _: &mio::Registry,
                _: mio::Token,
                _: mio::Interest,
            ) -> std::io::Result<()> {
                Ok(())
            }

            fn deregister(&mut self, _: &mio::Registry) -> std::io::Result<()> {
                Ok(())
            }
        }
    };
}
pub(crate) use unpolled;

/// The least that can be registered.
#[derive(Debug)]
pub struct Unpolled;

unpolled!(Unpolled);
