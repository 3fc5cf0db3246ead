//! The mistakes that servers make, by the names under which the zoo shows them.

/// A mistake, and where to read about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    /// What the server does wrong, as a sentence.
    pub(crate) what: &'static str,
    /// The server of the zoo that makes it, if one does.
    pub(crate) specimen: Option<&'static str>,
    /// The chapter of the guide that explains it: `docs/guide/src/CHAPTER.md`.
    pub(crate) chapter: &'static str,
}

impl Mistake {
    /// Whether a server that makes it uses the processor for nothing, in whatever case comes after.
    pub(crate) fn spins(self) -> bool {
        self == Self::END_IGNORED || self == Self::ALWAYS_WRITABLE
    }
}

/// How well the evidence fits a mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confidence {
    /// A probe showed just that.
    Sure,
    /// It fits, and other mistakes do less.
    Likely,
    /// Nothing fits.
    NotSure,
}

impl Confidence {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sure => "sure",
            Self::Likely => "likely",
            Self::NotSure => "not sure",
        }
    }
}

const READINESS: &str = "readiness";
const PARTIAL_WRITES: &str = "partial-writes";
const HALF_CLOSE: &str = "half-close";
const ACCEPT: &str = "accept";
const BLOCKING: &str = "blocking";
const THREADS: &str = "threads";
const FAIRNESS: &str = "fairness";

macro_rules! mistakes {
    ($($name:ident: $what:literal, $specimen:expr, $chapter:expr;)*) => {
        impl Mistake {
            $(pub(crate) const $name: Self =
                Self { what: $what, specimen: $specimen, chapter: $chapter };)*

            /// All of them.
            #[cfg(test)]
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

mistakes! {
    UNDRAINED_EDGE: "it reads once for an event, and waits for another although more has come", Some("undrained-edge"), READINESS;
    UNDRAINED_LISTENER: "it accepts once for an event, and waits for another although more connections have come", Some("undrained-listener"), ACCEPT;
    LOST_TAIL: "it ignores how much a write has taken, and loses the rest", Some("lost-tail"), PARTIAL_WRITES;
    SENT_TWICE: "after a write that took a part, it sends from the beginning again", Some("sent-twice"), PARTIAL_WRITES;
    HALF_CLOSE_DROPS_TAIL: "at the client's end, it closes although it still has bytes to send", Some("half-close-drops-tail"), HALF_CLOSE;
    HANG_UP_FIRST: "it handles the client's end before the bytes that came with it", Some("hang-up-first"), HALF_CLOSE;
    END_IGNORED: "it does not notice the client's end, where a read returns 0", Some("end-ignored"), HALF_CLOSE;
    ALWAYS_WRITABLE: "it always asks whether it may write, and a socket nearly always may", Some("always-writable"), READINESS;
    WOKEN_FOR_NOTHING: "it is woken again and again for something that it does not handle", None, READINESS;
    INTERRUPT_ENDS: "a signal that interrupts a wait ends it", None, READINESS;
    WHOLE_BUFFER: "it sends its whole buffer, and not only the bytes that a read has filled", Some("whole-buffer"), BLOCKING;
    SHORT_READ_ENDS: "it takes a read that fills less than its buffer for the end of the stream", Some("short-read-ends"), BLOCKING;
    TEXT_ONLY: "it takes bytes for text, and changes those that are not", Some("text-only"), BLOCKING;
    WAITS_FOR_LINE: "it waits for a line end before it answers", Some("text-only"), BLOCKING;
    WAITS_FOR_END: "it answers only when the client has ended its direction", None, BLOCKING;
    WAITS_FOR_BUFFER: "it answers only when a buffer is full", None, BLOCKING;
    UNBOUNDED_OUTPUT: "it goes on reading although its client does not, and keeps all of it", Some("unbounded-output"), PARTIAL_WRITES;
    BLOCKING_SOCKET: "it waits for one client, and serves no other meanwhile", Some("blocking-socket"), BLOCKING;
    ACCEPT_ERROR_ENDS: "an error of accept ends it", Some("accept-error-ends"), ACCEPT;
    EMFILE_SPIN: "it tries to accept again and again while it is out of descriptors", Some("emfile-spin"), ACCEPT;
    DEAF_LISTENER: "it waits for an event after an accept that failed, and none comes", Some("deaf-listener"), ACCEPT;
    GREEDY_PEER: "it serves one client for as long as that sends, and the others wait", Some("greedy-peer"), FAIRNESS;
    STUCK_BACK_PRESSURE: "it stops reading while it has bytes to send, and does not go on when they are gone", Some("stuck-back-pressure"), PARTIAL_WRITES;
    SENDS_FIRST: "it sends something that was not sent to it", None, BLOCKING;
    CHANGES_LINE_ENDS: "it changes line ends, or adds some", Some("text-only"), BLOCKING;
    CHANGES_CASE: "it changes the case of letters", None, BLOCKING;
    CUTS_EIGHTH_BIT: "it clears the eighth bit of each byte", None, BLOCKING;
    ENDS_AT_NUL: "it takes a zero byte for the end of a text", None, BLOCKING;
    CLOSES_AFTER_ONE: "it closes after one answer", None, HALF_CLOSE;
    SERVES_ONE_CLIENT: "it serves one client, and no other after it", None, BLOCKING;
    DIES_OF_PEER: "a fault of one client ends the whole server", None, HALF_CLOSE;
    BLOCKED_WRITE_ENDS: "it takes a write that would have to wait for a failed one, and ends", None, PARTIAL_WRITES;
    KEEPS_DESCRIPTORS: "it does not close its end of connections that are gone", None, HALF_CLOSE;
    LEAVES_ZOMBIES: "it does not wait for its children, which stay as zombies", None, THREADS;
    CANNOT_REBIND: "it does not set SO_REUSEADDR before it binds", None, BLOCKING;
    MIXES_CLIENTS: "it sends bytes of one client to another", None, READINESS;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::client::check::zoo::SPECIMENS;

    #[test]
    fn each_chapter_that_is_named_exists() {
        let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/src");
        for mistake in Mistake::ALL {
            assert!(guide.join(mistake.chapter).with_extension("md").is_file(), "{mistake:?}");
        }
    }

    #[test]
    fn each_specimen_is_named_by_a_mistake_of_its_chapter() {
        for specimen in SPECIMENS {
            let named = Mistake::ALL.iter().find(|mistake| mistake.specimen == Some(specimen.name));
            let named = named.unwrap_or_else(|| panic!("no mistake names {}", specimen.name));
            assert_eq!(named.chapter, specimen.chapter, "{}", specimen.name);
        }
        let known = |name: &str| SPECIMENS.iter().any(|specimen| specimen.name == name);
        assert!(Mistake::ALL.iter().filter_map(|mistake| mistake.specimen).all(known));
    }
}
