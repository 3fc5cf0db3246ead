//! The state of everything as one line of JSON, for the page to draw.

use std::fmt::Write;

use super::World;
use super::why::Why;

impl World {
    /// The gauges, the bells and the sentences, as they are now.
    pub fn state(&self) -> String {
        let (kernel, server, peer) = (&self.kernel, &self.server, &self.peer);
        let mut line = format!("{{\"time\":{},\"turn\":{}", self.log.time(), self.log.turn());
        let buffers =
            [("in", &kernel.receive, self.bell_in()), ("out", &kernel.send, self.bell_out())];
        for (name, buffer, bell) in buffers {
            let (held, size) = (buffer.held(), buffer.size);
            // Writing to a string cannot fail.
            let _ =
                write!(line, ",\"{name}\":{{\"held\":{held},\"size\":{size},\"bell\":\"{bell}\"}}");
        }
        for (name, why) in [("server", self.why()), ("peer", self.peer_says())] {
            let Why { waits, wakes, is_bad } = why;
            let _ = write!(
                line,
                ",\"{name}\":{{\"waits\":\"{waits}\",\"wakes\":\"{wakes}\",\"is_bad\":{is_bad}}}"
            );
        }
        let (pending, is_ended) = (server.pending(), kernel.is_ended);
        let (sent, received, is_over) = (peer.sent, peer.received, self.is_over());
        let _ = writeln!(
            line,
            ",\"pending\":{pending},\"is_ended\":{is_ended},\"sent\":{sent},\
             \"received\":{received},\"is_over\":{is_over}}}"
        );
        line
    }
}
