//! Every script of what a server can do with three messages, checked against what each must count as.

use super::*;

#[derive(Clone, Copy, Debug)]
enum Deed {
    Echo,
    Silence,
    Part,
    Alter,
    Twice,
    EchoAndClose,
    Close,
    Reset,
    /// The server refuses the connection, if one is needed; else it echoes.
    Refuse,
}

use Deed::*;

const DEEDS: [Deed; 9] = [Echo, Silence, Part, Alter, Twice, EchoAndClose, Close, Reset, Refuse];

const MESSAGES: u32 = 3;

fn reply(deed: Deed) -> Reply {
    Box::new(move |message| {
        let whole = (ECHO, Arrival::Bytes(message.to_vec()));
        match deed {
            Echo | Refuse => vec![whole],
            Silence => Vec::new(),
            Part => vec![(ECHO, Arrival::Bytes(message[..3].to_vec()))],
            Alter => vec![(ECHO, Arrival::Bytes(message.iter().map(|byte| !byte).collect()))],
            Twice => vec![whole.clone(), (ECHO * 2, whole.1)],
            EchoAndClose => vec![whole, (ECHO, Arrival::End)],
            Close => vec![(ECHO, Arrival::End)],
            Reset => vec![(ECHO, Arrival::Reset)],
        }
    })
}

/// What the counts must be.
#[derive(Debug, Default, PartialEq)]
struct Counts {
    received: u64,
    lost: u64,
    wrong: u64,
    connections: u64,
}

impl Counts {
    fn expected(script: &[Deed]) -> Self {
        let (mut counts, mut is_connected) = (Self::default(), false);
        for (i, deed) in script.iter().enumerate() {
            // The first connection is never refused: that would end the ping.
            if !is_connected && i > 0 && matches!(deed, Refuse) {
                counts.lost += 1;
                continue;
            }
            counts.connections += u64::from(!is_connected);
            is_connected = matches!(deed, Echo | Refuse);
            match deed {
                Echo | Refuse | EchoAndClose => counts.received += 1,
                Silence | Part | Close | Reset => counts.lost += 1,
                Alter => counts.wrong += 1,
                Twice => (counts.received, counts.wrong) = (counts.received + 1, counts.wrong + 1),
            }
        }
        counts
    }

    fn found(tally: &Tally) -> Self {
        let Tally { received, lost, wrong, .. } = *tally;
        Self { received, lost, wrong, connections: tally.connect_times.count() }
    }
}

/// A ping with the replies and the attempts to connect of a script.
fn set_up(script: &[Deed]) -> Run {
    let (mut replies, mut attempts, mut is_connected) = (Vec::new(), Vec::new(), false);
    for (i, deed) in script.iter().enumerate() {
        let is_refused = !is_connected && i > 0 && matches!(deed, Refuse);
        match is_refused {
            true => attempts.push(Attempt::Fails(MS)),
            false if !is_connected => attempts.push(Attempt::Succeeds(CONNECT)),
            false => {}
        }
        if !is_refused {
            replies.push(reply(*deed));
            is_connected = matches!(deed, Echo | Refuse);
        }
    }
    run(script.len().try_into().unwrap()).replies(replies).attempts(attempts)
}

#[test]
fn the_counts_of_every_short_script_are_right() {
    let mut scripts = 0;
    for number in 0..DEEDS.len().pow(MESSAGES) {
        let deed = |i| DEEDS[number / DEEDS.len().pow(i) % DEEDS.len()];
        let script: Vec<_> = (0..MESSAGES).map(deed).collect();
        let report = set_up(&script).report();
        report.assert_complete();
        assert_eq!(Counts::found(&report.tally), Counts::expected(&script), "{script:?}");
        let echo = &report.tally.echo_times;
        assert!(echo.count() == 0 || (echo.min(), echo.max()) == (ECHO, ECHO), "{script:?}");
        assert_eq!(report.tally.skipped, 0, "{script:?}");
        scripts += 1;
    }
    assert_eq!(scripts, 729);
}
