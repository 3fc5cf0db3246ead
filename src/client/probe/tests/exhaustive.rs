//! Every script of five actions of the client, the socket and a faulty server, checked against the bytes that
//! really went each way.
//!
//! It failed when bytes that were never sent did not count as surplus, when an end counted as orderly as soon
//! as everything *sent* had come back, and when a message was complete a byte early.

use super::*;

const STEPS: u32 = 5;

/// The bytes of a message: a first one, one inside, and a last one.
const MESSAGE_BYTES: usize = 3;

const FLIGHTS: usize = 2;

#[derive(Clone, Copy, Debug)]
enum Action {
    Begin,
    /// The socket takes this many bytes, and would block then.
    Send(usize),
    SendInterrupted,
    /// The client reads up to this many of the bytes under way.
    Receive(usize),
    ReceiveInterrupted,
    /// The next byte under way is changed...
    Alter,
    /// ...or lost.
    Drop,
    /// A byte is added that was not sent, though it equals the one that would be sent there.
    Add,
    Close,
    Reset,
}

use Action::*;

const ACTIONS: [Action; 13] = [
    Begin,
    Send(usize::MAX),
    Send(1),
    Send(0),
    SendInterrupted,
    Receive(usize::MAX),
    Receive(1),
    ReceiveInterrupted,
    Alter,
    Drop,
    Add,
    Close,
    Reset,
];

/// What really happened.
#[derive(Default)]
struct Wire {
    /// Bytes of all messages begun.
    begun: usize,
    sent: Vec<u8>,
    under_way: Vec<u8>,
    came: Vec<u8>,
    room: usize,
    interrupts: usize,
    read_limit: usize,
    end: Option<ErrorKind>,
    is_closed: bool,
}

impl Wire {
    fn interrupt(&mut self) -> io::Result<()> {
        match take(&mut self.interrupts) {
            0 => Ok(()),
            _ => Err(ErrorKind::Interrupted.into()),
        }
    }

    /// Whether the server closed before every message begun had come back.
    fn ended_early(&self) -> bool {
        self.is_closed && self.came.len() < self.begun
    }

    /// The offset of the first byte that came and was not sent there.
    fn first_wrong(&self) -> Option<usize> {
        (0..self.came.len()).find(|i| self.sent.get(*i) != Some(&self.came[*i]))
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.interrupt()?;
        let n = bytes.len().min(self.room);
        if n == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.room -= n;
        self.sent.extend(&bytes[..n]);
        self.under_way.extend(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.interrupt()?;
        let n = self.under_way.len().min(self.read_limit).min(buffer.len());
        match self.end {
            _ if n > 0 => {}
            Some(kind) => return Err(kind.into()),
            None if self.is_closed => return Ok(0),
            None => return Err(ErrorKind::WouldBlock.into()),
        }
        buffer[..n].copy_from_slice(&self.under_way[..n]);
        self.came.extend(self.under_way.drain(..n));
        Ok(n)
    }
}

/// Runs a script. Returns whether the probe found a fault.
fn play(script: &[Action], pattern: &Pattern, now: Instant) -> bool {
    let (mut probe, mut wire, mut completed) = (Probe::new(3, FLIGHTS), Wire::default(), 0);
    begin(&mut probe, &mut wire, now);
    for action in script {
        match *action {
            Begin if probe.has_room() => begin(&mut probe, &mut wire, now),
            Begin => assert_eq!(probe.in_flight(), FLIGHTS),
            Send(room) => send(&mut probe, &mut wire, pattern, now, room),
            SendInterrupted => {
                wire.interrupts = 1;
                send(&mut probe, &mut wire, pattern, now, usize::MAX);
            }
            Receive(limit) => wire.read_limit = limit,
            ReceiveInterrupted => (wire.interrupts, wire.read_limit) = (1, usize::MAX),
            Alter => wire.under_way.iter_mut().take(1).for_each(|byte| *byte ^= 0x55),
            Drop => drop(wire.under_way.drain(..wire.under_way.len().min(1))),
            Add => {
                let at = wire.came.len() + wire.under_way.len();
                wire.under_way.extend(pattern.piece(3, at as u64, 1));
            }
            Close => wire.is_closed = true,
            Reset => wire.end = Some(ErrorKind::ConnectionReset),
        }
        if matches!(action, Receive(_) | ReceiveInterrupted) {
            let found = probe.receive(&mut wire, pattern, &mut [0; 64]);
            if judge(found, &wire) {
                return true;
            }
            completed += std::iter::from_fn(|| probe.complete()).count();
            assert_eq!(completed, wire.came.len() / MESSAGE_BYTES);
        }
        assert_eq!(probe.progress(), (wire.sent.len() as u64, wire.came.len() as u64));
    }
    false
}

fn begin(probe: &mut Probe, wire: &mut Wire, now: Instant) {
    probe.begin(MESSAGE_BYTES, now);
    wire.begun += MESSAGE_BYTES;
}

fn send(probe: &mut Probe, wire: &mut Wire, pattern: &Pattern, now: Instant, room: usize) {
    wire.room = room;
    probe.send(wire, pattern, now).unwrap();
    let expected = pattern.piece(3, 0, wire.sent.len());
    assert_eq!(wire.sent, expected, "each byte follows from where it is");
    assert!(room < usize::MAX || probe.is_sent());
}

/// Checks what the probe made of a read against what came. Returns whether that was a fault.
#[track_caller]
fn judge(found: Result<Received, Fault>, wire: &Wire) -> bool {
    let (sent, came) = (wire.sent.len() as u64, wire.came.len() as u64);
    let is_fault = found.is_err();
    match found {
        Ok(Received::End) => assert!(wire.is_closed && !wire.ended_early(), "not all came back"),
        Ok(Received::Nothing) => assert!(!wire.is_closed && wire.end.is_none()),
        Ok(_) => assert_eq!(wire.first_wrong(), None, "a wrong byte went unnoticed"),
        Err(Fault::Wrong(wrong)) => {
            assert_eq!(Some(wrong.offset as usize), wire.first_wrong());
            assert_eq!(wrong.got, wire.came[wrong.offset as usize]);
            assert_eq!(wrong.expected, wire.sent[wrong.offset as usize]);
        }
        Err(Fault::Surplus { offset, bytes }) => {
            assert_eq!(Some(offset as usize), wire.first_wrong());
            assert_eq!((offset, &bytes[..]), (sent, &wire.came[offset as usize..]));
        }
        Err(Fault::Ended { received, sent: of, error }) => {
            assert_eq!((received, of, error.map(|e| e.kind())), (came, sent, wire.end));
            assert!(wire.end.is_some() || wire.ended_early());
        }
    }
    is_fault
}

#[test]
fn the_probe_is_right_about_every_short_script() {
    let (pattern, now) = (Pattern::new(256), Instant::now());
    let (mut scripts, mut faults) = (0, 0);
    for number in 0..ACTIONS.len().pow(STEPS) {
        let digit = |i| ACTIONS[number / ACTIONS.len().pow(i) % ACTIONS.len()];
        let script: Vec<_> = (0..STEPS).map(digit).collect();
        let outcome = std::panic::catch_unwind(|| play(&script, &pattern, now));
        let is_fault = outcome.unwrap_or_else(|_| panic!("the script was {script:?}"));
        faults += u32::from(is_fault);
        scripts += 1;
    }
    assert_eq!(scripts, 371_293);
    assert!(faults > 10_000, "only {faults} scripts had anything wrong in them");
}
