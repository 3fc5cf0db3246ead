//! Memory that peers make the server allocate: refused in time, since an allocation that fails ends the program.

use std::hint::black_box;

/// An allocation is refused unless this much memory is left after it. The rest of the program needs some, for a
/// line of the log for example.
const SPARE_BYTES: usize = 64 << 10;

/// A copy of `bytes`, or `None` if there is no memory for it.
pub(crate) fn copy(bytes: &[u8]) -> Option<Box<[u8]>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len() + SPARE_BYTES).ok()?;
    copy.extend_from_slice(bytes);
    // Gives the spare part back.
    Some(copy.into())
}

/// Whether `bytes` can be allocated. A trial allocation answers: with a single thread, what it gives back is still
/// there for the next.
///
/// It is made in two halves. The C library notes the largest block that was given back, and puts what is smaller on its
/// heap, where a list that grows leaves gaps behind: mallopt(3), `M_MMAP_THRESHOLD`. So the list itself must be larger
/// than a trial.
pub(crate) fn is_available(bytes: usize) -> bool {
    let half = bytes.saturating_add(SPARE_BYTES).div_ceil(2);
    let mut trials = [Vec::<u8>::new(), Vec::new()];
    let is_available = trials.iter_mut().all(|trial| trial.try_reserve_exact(half).is_ok());
    // The compiler leaves out an allocation that nothing uses.
    drop(black_box(trials));
    is_available
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_holds_the_bytes_and_no_more() {
        for bytes in [&b""[..], b"x", &[7; 3 * SPARE_BYTES]] {
            let copy = copy(bytes).unwrap();
            assert!(*copy == *bytes);
        }
    }

    #[test]
    fn more_than_an_address_space_is_not_available() {
        assert!(is_available(1));
        assert!(is_available(SPARE_BYTES));
        assert!(!is_available(usize::MAX));
        assert!(!is_available(isize::MAX as usize));
        // With what must be left over, it is one byte too much.
        assert!(!is_available(isize::MAX as usize - SPARE_BYTES + 1));
    }
}
