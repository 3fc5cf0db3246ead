//! How a connection ends: after one echo, when the server stops, and while its peer is still sending.

use super::*;

#[test]
fn once_echoes_its_first_read_and_no_other() {
    let mut run = Checked::echo_once();
    run.expect(ProvesNothing, &[ReadInterrupted, ReadBlocks], Ok(Wait));
    run.expect(ProvesNothing, &[Gives(5), TakesAll], Ok(ShutdownWrite));
    assert!(run.echo.is_lingering());
    run.expect(ProvesNothing, &[Gives(3), GivesAll], Ok(Wait));
    run.expect(ProvesNothing, &[Gives(1), Eof], Ok(Close));
    assert_eq!(run.socket.taken, 5);
}

#[test]
fn once_shuts_only_when_all_is_written() {
    let mut run = Checked::echo_once();
    run.expect(MeansEmpty, &[GivesAll, Takes(2), WriteBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[Takes(5), WriteBlocks], Ok(Wait));
    assert!(!run.echo.is_lingering());
    run.expect(MeansEmpty, &[TakesAll], Ok(ShutdownWrite));
    assert_eq!((run.socket.taken, run.socket.reads()), (8, 0));
}

#[test]
fn once_at_end_of_file_has_nothing_to_echo() {
    Checked::echo_once().expect(MeansEmpty, &[Eof], Ok(Close));
}

#[test]
fn finish_echoes_what_has_arrived() {
    let mut run = Checked::echo();
    run.finish();
    run.expect(
        ProvesNothing,
        &[Gives(3), TakesAll, Gives(4), TakesAll, ReadBlocks],
        Ok(ShutdownWrite),
    );
    assert!(run.echo.is_lingering());

    let mut idle = Checked::echo();
    idle.expect(MeansEmpty, &[Gives(3), TakesAll], Ok(Wait));
    idle.finish();
    idle.expect(MeansEmpty, &[], Ok(ShutdownWrite));
}

#[test]
fn finish_flushes_before_it_shuts() {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[GivesAll, WriteBlocks], Ok(Wait));
    run.finish();
    run.expect(MeansEmpty, &[Takes(7)], Ok(Wait));
    run.expect(MeansEmpty, &[TakesAll, Gives(5), Takes(4)], Ok(Wait));
    run.expect(MeansEmpty, &[TakesAll], Ok(ShutdownWrite));
}

#[test]
fn finish_ends_at_end_of_file() {
    let mut run = Checked::echo();
    run.finish();
    run.expect(ProvesNothing, &[Gives(3), TakesAll, Eof], Ok(Close));
}

#[test]
fn finish_lets_a_once_echo_all_that_has_arrived() {
    let mut run = Checked::echo_once();
    run.finish();
    run.expect(
        ProvesNothing,
        &[Gives(3), TakesAll, Gives(4), TakesAll, ReadBlocks],
        Ok(ShutdownWrite),
    );
}

#[test]
fn lingering_discards_until_end_of_file() {
    let mut run = Checked::echo();
    run.finish();
    run.expect(MeansEmpty, &[], Ok(ShutdownWrite));
    run.finish();
    run.expect(MeansEmpty, &[Gives(3)], Ok(Wait));
    run.expect(MeansEmpty, &[GivesAll, Gives(1)], Ok(Wait));
    run.expect(ProvesNothing, &[Gives(3), ReadBlocks], Ok(Wait));
    run.expect(MeansEmpty, &[], Ok(Wait));
    run.expect(MeansEmpty, &[Eof], Ok(Close));
    assert_eq!(run.socket.taken, 0);
}

#[test]
fn lingering_ends_with_the_peers_reset() {
    let mut run = Checked::echo_once();
    run.expect(MeansEmpty, &[Gives(1), TakesAll], Ok(ShutdownWrite));
    run.expect(MeansEmpty, &[Reset], Err(ErrorKind::ConnectionReset));
}

#[test]
fn an_abandoned_connection_echoes_no_more_and_is_short_if_its_peer_sends_on() {
    let mut run = Checked::echo();
    run.expect(MeansEmpty, &[Gives(3), TakesAll], Ok(Wait));
    run.abandon();
    run.expect(MeansEmpty, &[ReadBlocks], Ok(Wait));
    assert!(run.echo.is_lingering() && !run.echo.is_short());
    run.expect(MeansEmpty, &[Gives(2)], Ok(Wait));
    run.abandon();
    assert!(run.echo.is_short(), "to abandon it twice changes nothing");
    run.expect(MeansEmpty, &[Eof], Ok(Close));
    assert_eq!(run.socket.taken, 3);
}
