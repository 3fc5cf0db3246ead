//! The lines that strace(1) writes with `-f -ttt -T -yy`, and with `-k` those of the stack.

use super::scan;

/// What a line of strace is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// Something that a thread did.
    Event {
        /// 0 if the line does not say which: without -f.
        thread: u64,
        /// Microseconds since 1970.
        time: u64,
        what: What<'a>,
    },
    /// A frame of the stack of the call before it.
    Frame(&'a str),
    /// A call without the time since 1970: -ttt is missing.
    WithoutTime,
    /// Anything else.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum What<'a> {
    /// A call, from its name on. It may break off.
    Call(&'a str),
    /// A call that lets lines of other threads through: its text so far.
    Unfinished(&'a str),
    /// The rest of such a call.
    Resumed(&'a str),
    /// The thread has ended: how.
    Ended(&'a str),
    /// A signal: its name.
    Signal(&'a str),
}

/// A time below this many seconds is the time since the line before, as -r writes it, and not since 1970.
const LEAST_SECONDS: u64 = 100_000_000;

impl<'a> Line<'a> {
    /// Parses a line, without its end.
    pub(super) fn parse(text: &'a str) -> Self {
        if let Some(frame) = text.strip_prefix(" > ") {
            return Self::Frame(frame.trim());
        }
        let (thread, rest) = thread(text);
        let Some((time, rest)) = time(rest) else {
            return if begins_call(without_clock(rest)) { Self::WithoutTime } else { Self::Other };
        };
        match what(rest) {
            Some(what) => Self::Event { thread, time, what },
            None => Self::Other,
        }
    }
}

/// The thread, from `[pid 123] ` or `123 `, and the rest.
fn thread(text: &str) -> (u64, &str) {
    let text = text.trim_start();
    let (word, rest) = match text.strip_prefix("[pid") {
        Some(rest) => rest.trim_start().split_once(']').unwrap_or(("", text)),
        None => text.split_once(' ').unwrap_or(("", text)),
    };
    match word.parse() {
        Ok(thread) => (thread, rest.trim_start()),
        Err(_) => (0, text),
    }
}

/// The time in microseconds, from `1795898393.158331 `, and the rest.
fn time(text: &str) -> Option<(u64, &str)> {
    let (word, rest) = text.split_once(' ')?;
    let (seconds, micros) = word.split_once('.')?;
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if micros.len() != 6 || !is_number(micros) || !is_number(seconds) {
        return None;
    }
    let seconds = seconds.parse::<u64>().ok().filter(|seconds| *seconds >= LEAST_SECONDS)?;
    let micros = micros.parse::<u64>().ok()?;
    Some((seconds.checked_mul(1_000_000)?.checked_add(micros)?, rest.trim_start()))
}

/// What follows a time in another notation: -t, -tt or -r.
fn without_clock(text: &str) -> &str {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let is_clock = word.bytes().all(|byte| byte.is_ascii_digit() || b":.".contains(&byte));
    if is_clock { rest.trim_start() } else { text }
}

fn begins_call(text: &str) -> bool {
    let name = text.bytes().take_while(|byte| is_of_name(*byte)).count();
    (name > 0 && text[name..].starts_with('(')) || text.starts_with("<... ")
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

fn what(text: &str) -> Option<What<'_>> {
    if let Some(how) = text.strip_prefix("+++ ") {
        return Some(What::Ended(how.trim_end_matches("+++").trim()));
    }
    if let Some(signal) = text.strip_prefix("--- ") {
        return Some(What::Signal(signal.split(' ').next().unwrap_or(signal)));
    }
    if let Some(rest) = text.strip_prefix("<... ") {
        return Some(What::Resumed(rest.split_once(" resumed>")?.1));
    }
    if !begins_call(text) {
        return None;
    }
    Some(match text.strip_suffix("<unfinished ...>") {
        Some(begin) => What::Unfinished(begin),
        None => What::Call(text),
    })
}

/// A call with its arguments and its result.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    args: Vec<&'a str>,
    pub(super) result: Result<'a>,
    /// How long it took, in microseconds, if strace was given -T.
    pub(super) took: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Result<'a> {
    /// It returned this number, and strace explains it so.
    Value(i64, &'a str),
    /// It failed: the name of the error, and its text in parentheses.
    Error(&'a str, &'a str),
    /// It has not returned, as far as the file goes.
    Unknown,
}

impl<'a> Call<'a> {
    /// Parses a call from its name on.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (name, rest) = text.split_once('(')?;
        let (args, after) = scan::arguments(rest);
        let after = after.and_then(|after| after.trim_start().strip_prefix("= "));
        let (result, took) = after.map_or((Result::Unknown, None), result);
        Some(Self { name, args, result, took })
    }

    /// An argument, or an empty text if there are fewer.
    pub(super) fn arg(&self, at: usize) -> &'a str {
        self.args.get(at).copied().unwrap_or("")
    }

    /// The number that it returned, if it did not fail.
    pub(super) fn value(&self) -> Option<i64> {
        match self.result {
            Result::Value(value, _) => Some(value),
            Result::Error(..) | Result::Unknown => None,
        }
    }

    /// The descriptor that it returned, and what that is.
    pub(super) fn descriptor(&self) -> Option<(i32, &'a str)> {
        let Result::Value(number, what) = self.result else { return None };
        let what = what.strip_prefix('<').map_or("", |what| what.strip_suffix('>').unwrap_or(what));
        Some((i32::try_from(number).ok()?, what))
    }
}

/// The result behind `= `, and the duration behind that.
fn result(text: &str) -> (Result<'_>, Option<u64>) {
    let text = text.trim_end();
    let (text, took) = match text.rsplit_once(" <") {
        Some((before, duration)) if duration.ends_with('>') => match micros(duration) {
            Some(took) => (before, Some(took)),
            None => (text, None),
        },
        _ => (text, None),
    };
    let digits = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '?'));
    let (number, rest) = text.split_at(digits.unwrap_or(text.len()));
    let rest = rest.trim();
    let result = match scan::number(number) {
        Some(-1) => error(rest),
        Some(value) => Result::Value(value, rest),
        None => error(rest),
    };
    (result, took)
}

fn error(text: &str) -> Result<'_> {
    let (name, explained) = text.split_once(' ').unwrap_or((text, ""));
    match name.starts_with('E') {
        true => {
            let end = explained.find(')').unwrap_or(explained.len());
            Result::Error(name, explained[..end].trim_start_matches('('))
        }
        false => Result::Unknown,
    }
}

/// The microseconds of `0.000123>`.
fn micros(text: &str) -> Option<u64> {
    let (seconds, micros) = text.strip_suffix('>')?.split_once('.')?;
    let seconds: u64 = seconds.parse().ok()?;
    let micros: u64 = (micros.len() == 6).then(|| micros.parse().ok())??;
    seconds.checked_mul(1_000_000)?.checked_add(micros)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines_of_each_kind() {
        let event = |thread, what| Line::Event { thread, time: 1_795_898_393_158_331, what };
        for (text, expected) in [
            (
                "21662 1795898393.158331 close(3) = 0 <0.000007>",
                event(21662, What::Call("close(3) = 0 <0.000007>")),
            ),
            ("[pid    77] 1795898393.158331 close(3) = 0", event(77, What::Call("close(3) = 0"))),
            ("1795898393.158331 close(3) = 0", event(0, What::Call("close(3) = 0"))),
            (
                "7     1795898393.158331 read(5,  <unfinished ...>",
                event(7, What::Unfinished("read(5,  ")),
            ),
            (
                "7 1795898393.158331 <... read resumed>\"\", 4) = 0",
                event(7, What::Resumed("\"\", 4) = 0")),
            ),
            ("7 1795898393.158331 +++ exited with 1 +++", event(7, What::Ended("exited with 1"))),
            (
                "7 1795898393.158331 --- SIGCHLD {si_signo=SIGCHLD} ---",
                event(7, What::Signal("SIGCHLD")),
            ),
            (" > /usr/bin/x(main+0x7) [0x1]", Line::Frame("/usr/bin/x(main+0x7) [0x1]")),
            ("close(3) = 0", Line::WithoutTime),
            ("7 20:41:30.123456 close(3) = 0", Line::WithoutTime),
            ("7 20:41:30 close(3) = 0", Line::WithoutTime),
            ("7      0.000123 close(3) = 0", Line::WithoutTime),
            ("strace: Process 7 attached", Line::Other),
            ("{\"schema\":\"resound-trace\"}", Line::Other),
            ("", Line::Other),
        ] {
            assert_eq!(Line::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn results_of_each_kind() {
        let parse = |text| Call::parse(text).map(|call| (call.result, call.took));
        for (text, expected) in [
            ("close(3) = 0 <0.000007>", (Result::Value(0, ""), Some(7))),
            (
                "read(3) = -1 EAGAIN (Resource temporarily unavailable) <1.000007>",
                (Result::Error("EAGAIN", "Resource temporarily unavailable"), Some(1_000_007)),
            ),
            (
                "read(3) = ? ERESTARTSYS (To be restarted)",
                (Result::Error("ERESTARTSYS", "To be restarted"), None),
            ),
            ("exit_group(0)  = ?", (Result::Unknown, None)),
            ("accept(3) = 5<TCP:[a->b]> <0.000001>", (Result::Value(5, "<TCP:[a->b]>"), Some(1))),
            (
                "fcntl(3, F_GETFL) = 0x802 (flags O_RDWR)",
                (Result::Value(0x802, "(flags O_RDWR)"), None),
            ),
            ("read(3, ", (Result::Unknown, None)),
            (
                "accept(3) = -1 EMFILE (Too many open files) (INJECTED)",
                (Result::Error("EMFILE", "Too many open files"), None),
            ),
        ] {
            assert_eq!(parse(text), Some(expected), "{text}");
        }
        assert_eq!(
            Call::parse("accept(3) = 5<TCP:[a->b]>").unwrap().descriptor(),
            Some((5, "TCP:[a->b]"))
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([0-9]{1,3} )?(1795898393\\.158331 )?(\\PC|[<>(){}\",=\\\\? -]){0,60}") {
            let _ = Line::parse(&text);
            let _ = Call::parse(&text);
        }
    }
}
