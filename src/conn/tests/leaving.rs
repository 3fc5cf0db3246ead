//! How a connection ends: after one echo, when it is asked to, and while its peer is still sending.

use super::*;

#[test]
fn once_echoes_its_first_read_and_no_other() {
    let mut run = Run::new(Echo::once());
    run.expect(ReadOn, &[ReadInterrupted, ReadBlocks], Ok(Wait));
    run.expect(ReadOn, &[Gives(5), TakesAll], Ok(Shut));
    assert!(run.echo.is_lingering());
    run.expect(ReadOn, &[Gives(3), GivesAll], Ok(Wait));
    run.expect(ReadOn, &[Gives(1), Eof], Ok(Done));
    assert_eq!(run.peer.taken, 5);
}

#[test]
fn once_shuts_only_when_all_is_written() {
    let mut run = Run::new(Echo::once());
    run.expect(ShortReadDrains, &[GivesAll, Takes(2), WriteBlocks], Ok(Wait));
    run.expect(ShortReadDrains, &[Takes(5), WriteBlocks], Ok(Wait));
    assert!(!run.echo.is_lingering());
    run.expect(ShortReadDrains, &[TakesAll], Ok(Shut));
    assert_eq!((run.peer.taken, run.peer.reads()), (8, 0));
}

#[test]
fn once_at_end_of_file_has_nothing_to_echo() {
    Run::new(Echo::once()).expect(ShortReadDrains, &[Eof], Ok(Done));
}

#[test]
fn finish_echoes_what_has_arrived() {
    let mut run = Run::new(Echo::new());
    run.echo.finish();
    run.expect(ReadOn, &[Gives(3), TakesAll, Gives(4), TakesAll, ReadBlocks], Ok(Shut));
    assert!(run.echo.is_lingering());

    let mut idle = Run::new(Echo::new());
    idle.expect(ShortReadDrains, &[Gives(3), TakesAll], Ok(Wait));
    idle.echo.finish();
    idle.expect(ShortReadDrains, &[], Ok(Shut));
}

#[test]
fn finish_flushes_before_it_shuts() {
    let mut run = Run::new(Echo::new());
    run.expect(ShortReadDrains, &[GivesAll, WriteBlocks], Ok(Wait));
    run.echo.finish();
    run.expect(ShortReadDrains, &[Takes(7)], Ok(Wait));
    run.expect(ShortReadDrains, &[TakesAll, Gives(5), Takes(4)], Ok(Wait));
    run.expect(ShortReadDrains, &[TakesAll], Ok(Shut));
}

#[test]
fn finish_is_over_at_end_of_file() {
    let mut run = Run::new(Echo::new());
    run.echo.finish();
    run.expect(ReadOn, &[Gives(3), TakesAll, Eof], Ok(Done));
}

#[test]
fn finish_frees_a_once_to_echo_all_that_has_arrived() {
    let mut run = Run::new(Echo::once());
    run.echo.finish();
    run.expect(ReadOn, &[Gives(3), TakesAll, Gives(4), TakesAll, ReadBlocks], Ok(Shut));
}

#[test]
fn lingering_throws_away_until_end_of_file() {
    let mut run = Run::new(Echo::new());
    run.echo.finish();
    run.expect(ShortReadDrains, &[], Ok(Shut));
    run.echo.finish();
    run.expect(ShortReadDrains, &[Gives(3)], Ok(Wait));
    run.expect(ShortReadDrains, &[GivesAll, Gives(1)], Ok(Wait));
    run.expect(ReadOn, &[Gives(3), ReadBlocks], Ok(Wait));
    run.expect(ShortReadDrains, &[], Ok(Wait));
    run.expect(ShortReadDrains, &[Eof], Ok(Done));
    assert_eq!(run.peer.taken, 0);
}

#[test]
fn lingering_ends_with_the_peers_reset() {
    let mut run = Run::new(Echo::once());
    run.expect(ShortReadDrains, &[Gives(1), TakesAll], Ok(Shut));
    run.expect(ShortReadDrains, &[Reset], Err(ErrorKind::ConnectionReset));
}
