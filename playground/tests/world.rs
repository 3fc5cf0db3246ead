//! The playground without its page: a server without mistakes never gets stuck, and each mistake shows as it should.

use resound_playground::world::{Action, Setting, World};

#[path = "../../tests/kit/rng.rs"]
#[allow(dead_code, reason = "the test kit uses more of it")]
mod rng;

use rng::Rng;

use Setting::{IsLevel, IsPaused, Message, Mistakes, ReadPortion, Scratch, SendBuffer};

fn disturb(world: &mut World, rng: &mut Rng) {
    let setting = rng.pick(&Setting::ALL);
    let value = match setting {
        Mistakes => 0,
        IsPaused | IsLevel => rng.below(2),
        _ => rng.size(1, 2 << 10),
    };
    world.set(setting, value as u32);
}

/// Steps until nothing moves any more, or for a while. Returns whether something still moves.
fn run(world: &mut World) -> bool {
    (0..200).all(|_| world.act(Action::Step) && !world.is_broken())
}

#[test]
fn a_server_without_mistakes_never_gets_stuck_and_loses_no_byte() {
    let mut ends = 0;
    for seed in 0..100 {
        let (mut rng, mut world, mut is_paused) = (Rng::new(seed), World::new(), false);
        for _ in 0..500 {
            if rng.chance(60) {
                disturb(&mut world, &mut rng);
            }
            if rng.chance(2) {
                world.act(rng.pick(&Action::ALL));
            }
            let moved = world.act(Action::Step);
            let state = world.state();
            assert!(!world.is_broken(), "seed {seed}: {state}");
            is_paused = state.contains("it is paused");
            assert!(moved || is_paused || world.is_over(), "seed {seed}: {state}");
        }
        ends += u32::from(world.is_over() && !is_paused);
    }
    assert!(ends > 30, "only {ends} walks came to an end");
}

/// Settings in which a mistake shows; what the user does then; and what the page says of it.
type Case = (&'static str, u32, &'static [(Setting, u32)], Option<Action>, &'static str);

const CASES: [Case; 10] = [
    (
        "undrained edge",
        1,
        &[(Scratch, 1000)],
        None,
        "Nothing will wake it: the kernel has reported them",
    ),
    ("undrained end", 1, &[], Some(Action::End), "end of file lies in the kernel"),
    ("lost tail", 2, &[(SendBuffer, 1000), (Message, 2048)], None, "that the server lost"),
    ("lost tail in the middle", 2, &[(SendBuffer, 1000), (Message, 9000)], None, "Gives up"),
    ("sent twice", 4, &[(SendBuffer, 1000)], None, "Gives up: byte 1000"),
    (
        "hang-up first",
        8,
        &[(SendBuffer, 1000), (ReadPortion, 100), (Message, 16384)],
        Some(Action::End),
        "the echo lacks",
    ),
    ("trusted short read", 16, &[(Message, 8192)], Some(Action::End), "end of file lies in"),
    (
        "stuck back-pressure",
        32,
        &[(SendBuffer, 1000), (ReadPortion, 100), (Message, 16384)],
        None,
        "did not ask the kernel to ring",
    ),
    (
        "stuck back-pressure, level",
        32,
        &[(SendBuffer, 1000), (ReadPortion, 100), (Message, 16384), (IsLevel, 1)],
        None,
        "did not ask the kernel to ring",
    ),
    ("always writable", 64, &[(IsLevel, 1), (IsPaused, 1)], None, "it spins"),
];

/// A world with these settings, after some steps and then the action.
fn played(settings: &[(Setting, u32)], mistakes: u32, action: Option<Action>, steps: u32) -> World {
    let mut world = World::new();
    world.set(Mistakes, mistakes);
    for &(setting, value) in settings {
        world.set(setting, value);
    }
    for _ in 0..steps {
        world.act(Action::Step);
    }
    if let Some(action) = action {
        world.act(action);
    }
    run(&mut world);
    world
}

#[test]
fn each_mistake_shows_and_its_absence_does_not() {
    for (name, mistakes, settings, action, sentence) in CASES {
        let worlds = |mistakes| (0..40).map(move |n| played(settings, mistakes, action, n));
        let says = |world: &World| world.is_broken() && world.state().contains(sentence);
        let last = worlds(mistakes).next_back().map(|world| world.state());
        assert!(worlds(mistakes).any(|world| says(&world)), "{name}: {last:?}");
        assert!(!worlds(0).any(|world| world.is_broken()), "{name}");
    }
}

/// What an edge hides, level mode mends: it tells again what is still there.
#[test]
fn in_level_mode_an_undrained_socket_does_no_harm() {
    let world = played(&[(Message, 8192), (IsLevel, 1)], 1, Some(Action::End), 20);
    assert!(world.is_over() && !world.is_broken(), "{}", world.state());
}

#[test]
fn the_records_of_a_read_say_where_it_was_made() {
    let mut world = World::new();
    assert!((0..4).all(|_| world.act(Action::Step)));
    let records = world.take_records();
    let mut reads = records.lines().filter(|line| line.contains("\"connection:read\""));
    let read = reads.next_back().unwrap();
    assert!(read.contains("\"place\":\"src/conn.rs:"), "{read}");
    assert!(read.contains("\"kernel\":{\"receive_queue\":2048,\"send_queue\":0}"), "{read}");
}

#[test]
fn numbers_that_no_setting_has_are_brought_inside() {
    let mut world = World::new();
    for value in [0, 1, u32::MAX] {
        Setting::ALL.iter().for_each(|&setting| world.set(setting, value));
        world.set(IsPaused, 0);
        run(&mut world);
        assert!(world.state().contains("\"size\":"), "{}", world.state());
    }
}
