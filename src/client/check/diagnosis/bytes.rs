//! What seems to have happened to bytes that are not those that were sent.

use super::Diagnosis;
use crate::mistake::Mistake;
use crate::text::format::{count, counted};

/// This many bytes that belong to another offset are no coincidence.
const CONVINCING: usize = 8;

/// The system takes this many bytes of a client that reads, and can take less of more.
const SHORT_WRITE: usize = 64 << 10;

/// Names the mistake that the difference looks like, if one fits.
pub(super) fn compare(sent: &[u8], came: &[u8]) -> Option<Diagnosis> {
    let offset = came.iter().zip(sent).take_while(|(came, sent)| came == sent).count();
    let (rest, tail) = (&came[offset..], &sent[offset.min(sent.len())..]);
    text(sent, came, offset)
        .or_else(|| moved(sent, rest, offset))
        .or_else(|| surplus(sent, rest, tail, offset))
}

/// Changes that only a program makes that takes bytes for text.
fn text(sent: &[u8], came: &[u8], offset: usize) -> Option<Diagnosis> {
    let (rest, tail) = (&came[offset..], sent.get(offset..)?);
    replaced(sent, came, offset)
        .or_else(|| changed(rest, tail))
        .or_else(|| cut_at_zero(tail, offset))
        .or_else(|| other_line_ends(sent, came, offset))
}

/// What is no UTF-8 was replaced by the character that stands for that.
fn replaced(sent: &[u8], came: &[u8], offset: usize) -> Option<Diagnosis> {
    const REPLACEMENT: &[u8] = &[0xef, 0xbf, 0xbd];
    let after = &came[offset.saturating_sub(2)..];
    let is_there = after.windows(3).take(3).any(|three| three == REPLACEMENT)
        && !sent.windows(3).any(|three| three == REPLACEMENT);
    is_there.then(|| {
        let because =
            format!("EF BF BD came at offset {offset}: the mark for bytes that are no text");
        Diagnosis::sure(Mistake::TEXT_ONLY, because)
    })
}

/// Each byte was changed in the same way.
fn changed(rest: &[u8], tail: &[u8]) -> Option<Diagnosis> {
    let all = |change: fn(u8) -> u8| {
        rest.len().min(tail.len()) > 0 && rest.iter().zip(tail).all(|(c, s)| *c == change(*s))
    };
    if all(|byte| byte & 0x7f) {
        let because = "every byte came with its eighth bit cleared";
        return Some(Diagnosis::sure(Mistake::CUTS_EIGHTH_BIT, because));
    }
    let is_case = all(|byte| byte.to_ascii_uppercase()) || all(|byte| byte.to_ascii_lowercase());
    let because = "the letters came back in another case";
    is_case.then(|| Diagnosis::sure(Mistake::CHANGES_CASE, because))
}

fn cut_at_zero(tail: &[u8], offset: usize) -> Option<Diagnosis> {
    let because = || format!("a zero byte stood at offset {offset}");
    (tail.first() == Some(&0)).then(|| Diagnosis::likely(Mistake::ENDS_AT_NUL, because()))
}

/// Without line ends, both are the same.
fn other_line_ends(sent: &[u8], came: &[u8], offset: usize) -> Option<Diagnosis> {
    let is_end = |byte: Option<&u8>| matches!(byte, Some(b'\r' | b'\n'));
    let without_ends = |bytes: &[u8]| -> Vec<u8> {
        bytes.iter().copied().filter(|byte| !is_end(Some(byte))).collect()
    };
    let are_there = (is_end(came.get(offset)) || is_end(sent.get(offset)))
        && without_ends(sent).starts_with(&without_ends(came));
    let because = || format!("only line ends differ, from offset {offset} on");
    are_there.then(|| Diagnosis::sure(Mistake::CHANGES_LINE_ENDS, because()))
}

/// Bytes that belong to another offset.
fn moved(sent: &[u8], rest: &[u8], offset: usize) -> Option<Diagnosis> {
    let piece = rest.get(..CONVINCING)?;
    let places = sent.windows(CONVINCING).enumerate().filter(|(_, window)| *window == piece);
    let at = places.map(|(at, _)| at).min_by_key(|at| at.abs_diff(offset))?;
    let from = count(at as u64);
    if offset >= sent.len() {
        return Some(Diagnosis::sure(
            Mistake::WHOLE_BUFFER,
            format!(
                "behind the message came bytes that had been sent earlier, from offset {from} on"
            ),
        ));
    }
    let (mistake, because) = if at < offset {
        (
            Mistake::SENT_TWICE,
            format!("at offset {offset}, the bytes from offset {from} on came again"),
        )
    } else {
        let n = counted(at.abs_diff(offset) as u64, "byte is", "bytes are");
        (Mistake::LOST_TAIL, format!("{n} missing at offset {offset}"))
    };
    // A write of fewer bytes seldom takes only a part of them.
    Some(match offset >= SHORT_WRITE {
        true => Diagnosis::sure(mistake, because),
        false => Diagnosis::likely(mistake, because),
    })
}

/// More than was sent.
fn surplus(sent: &[u8], rest: &[u8], tail: &[u8], offset: usize) -> Option<Diagnosis> {
    if offset >= sent.len() && !rest.is_empty() {
        let zeros = rest.iter().all(|byte| *byte == 0);
        if zeros {
            let n = count(rest.len() as u64);
            return Some(Diagnosis::sure(
                Mistake::WHOLE_BUFFER,
                format!("{n} zero bytes came behind the message"),
            ));
        }
        let older =
            sent.len() >= rest.len() && sent.windows(rest.len()).any(|window| window == rest);
        return Some(match older {
            true => Diagnosis::likely(
                Mistake::WHOLE_BUFFER,
                "behind the message came bytes that had been sent earlier",
            ),
            false => Diagnosis::likely(Mistake::SENDS_FIRST, "bytes came that were never sent"),
        });
    }
    // What was sent follows on what was not.
    let piece = &tail[..tail.len().min(CONVINCING)];
    let follows = !piece.is_empty() && rest.windows(piece.len()).any(|window| window == piece);
    follows.then(|| {
        Diagnosis::likely(
            Mistake::SENDS_FIRST,
            "bytes came that were never sent, and then those that were",
        )
    })
}
