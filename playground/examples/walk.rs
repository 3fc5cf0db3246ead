//! Prints the digests of random walks, one a line: `walk FIRST-SEED WALKS STEPS`.

use std::env;
use std::process::ExitCode;

use resound_playground::walk::walk;

fn main() -> ExitCode {
    let numbers: Vec<_> = env::args().skip(1).filter_map(|word| word.parse::<u32>().ok()).collect();
    let &[first, walks, steps] = &numbers[..] else {
        eprintln!("walk needs three numbers: the first seed, how many walks, and their steps");
        return ExitCode::from(2);
    };
    for seed in (first..).take(walks as usize) {
        println!("{:016x}", walk(seed, steps));
    }
    ExitCode::SUCCESS
}
