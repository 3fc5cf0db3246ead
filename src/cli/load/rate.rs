//! The two forms of `--rate`.

use crate::client::load::Objective;
use crate::units::per_second;

/// A value of `--rate`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rate {
    /// Messages a second.
    Fixed(f64),
    /// The highest rate that keeps to this objective.
    Highest(Objective),
}

/// Reads a value of `--rate`.
///
/// # Errors
///
/// What is wrong, and what would be right.
pub(super) fn rate(text: &str) -> Result<Rate, String> {
    match text.strip_prefix("max@") {
        Some(objective) => Objective::parse(objective).map(Rate::Highest),
        None => per_second(text).map(Rate::Fixed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_fixed_or_searched_for() {
        assert_eq!(rate("0.25"), Ok(Rate::Fixed(0.25)));
        let Ok(Rate::Highest(objective)) = rate("max@p99=1ms") else { panic!("no search") };
        assert_eq!(objective.to_string(), "p99 <= 1 ms");
        assert!(rate("max@p99").is_err() && rate("max").is_err());
    }
}
