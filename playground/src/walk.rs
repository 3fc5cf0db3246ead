//! Random walks, to compare what different builds of the playground do.

use crate::world::{Action, Setting, World};

#[path = "../../tests/kit/rng.rs"]
#[allow(dead_code, missing_docs, reason = "the test kit uses more of it")]
mod rng;

use rng::Rng;

/// Takes random steps, with a new connection for each seed, and returns a digest of all that happened.
pub fn walk(seed: u32, steps: u32) -> u64 {
    let (mut rng, mut world, mut digest) = (Rng::new(seed.into()), World::new(), Digest::default());
    for setting in Setting::ALL {
        disturb(&mut world, setting, &mut rng);
    }
    for _ in 0..steps {
        match rng.below(64) {
            0 => disturb(&mut world, rng.pick(&Setting::ALL), &mut rng),
            1 if rng.chance(64) => drop(world.act(rng.pick(&Action::ALL))),
            _ => drop(world.act(Action::Step)),
        }
        digest.add(&world.take_records());
        digest.add(&world.state());
    }
    digest.0
}

/// Changes a setting as a user would, or further.
fn disturb(world: &mut World, setting: Setting, rng: &mut Rng) {
    let value = match setting {
        Setting::IsPaused | Setting::IsLevel => rng.below(2),
        Setting::Mistakes => u64::from(rng.chance(512)) * rng.below(256),
        _ => rng.size(0, 16 << 10),
    };
    world.set(setting, u32::try_from(value).unwrap_or(u32::MAX));
}

/// FNV-1a, of 64 bits.
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}
