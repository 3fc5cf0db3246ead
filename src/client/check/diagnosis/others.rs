//! Whether bytes of one client reached another.

use crate::client::check::bench::{Bench, PeerId};

/// Whether wrong bytes came that another client has sent, and this one has not.
pub(super) fn is_of_another(bench: &mut Bench<'_>, id: PeerId) -> bool {
    const CONVINCING: usize = 6;
    let peer = bench.peer(id);
    let Some(offset) = peer.first_wrong() else { return false };
    let (received, message) = (peer.received(), peer.message());
    // A line of another client can begin like one of this client.
    let line = received[..offset].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let ends = received[offset..].iter().position(|byte| *byte == b'\n');
    let line_end = offset + ends.unwrap_or_default() + 1;
    let pieces = [(offset, offset + CONVINCING), (line, line_end)].map(|(from, to)| {
        let piece = &received[from..received.len().min(to)];
        let is_strange = piece.len() >= CONVINCING && !contains(message, piece);
        if is_strange { piece.to_vec() } else { Vec::new() }
    });
    let others = bench.peers().into_iter().filter(|other| *other != id);
    others.into_iter().any(|other| {
        let message = bench.peer(other).message();
        pieces.iter().any(|piece| !piece.is_empty() && contains(message, piece))
    })
}

/// Whether another client has got bytes that it has not sent, and this one has.
pub(super) fn went_to_another(bench: &mut Bench<'_>, id: PeerId) -> bool {
    let message = bench.peer(id).message().to_vec();
    bench.peers().into_iter().filter(|other| *other != id).any(|other| {
        let other = bench.peer(other);
        other.first_wrong().is_some_and(|offset| {
            let piece = &other.received()[offset..];
            contains(&message, &piece[..piece.len().min(8)])
        })
    })
}

fn contains(bytes: &[u8], piece: &[u8]) -> bool {
    bytes.windows(piece.len()).any(|window| window == piece)
}
