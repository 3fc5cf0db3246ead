//! What a run has reached. A test checks that all of it is reached, so the simulator cannot lose sight of something
//! without a failure.

use std::fmt;

macro_rules! features {
    ($($name:ident),* $(,)?) => {
        /// Something that a simulation must reach.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Feature {
            $($name),*
        }

        const ALL: &[Feature] = &[$(Feature::$name),*];
    };
}

features![
    // What the server did.
    Turn,
    Idle,
    Accepted,
    RefusedMaxConnections,
    RefusedMaxPerIp,
    RefusedRegisterFailed,
    Blocked,
    Yielded,
    BackedOff,
    ExpiredIdle,
    ExpiredStalled,
    ExpiredLingering,
    ExpiredQuiet,
    Finished,
    Failed,
    ClosedIdle,
    Stalled,
    ClosedByServer,
    ClosedAborted,
    CutAtDeadline,
    CutWhileSending,
    UnacknowledgedAfterLinger,
    OnceClosedFirst,
    ClientNamed,
    ClientUnnamed,
    ClientRefused,
    ClientOverRate,
    RefusedDenied,
    RefusedNotAllowed,
    RefusedAcceptRate,
    RefusedAcceptRatePerIp,
    RateRefilled,
    ClientRateRefilled,
    RefusedUnknownProxy,
    RefusedHeaderMissing,
    RefusedHeaderMalformed,
    RefusedHeaderOversized,
    RefusedHeaderIncomplete,
    RefusedHeaderTimedOut,
    SilentProxy,
    DatagramEchoed,
    DatagramRefused,
    DatagramDenied,
    DatagramOverRate,
    AnswerFailed,
    KernelDropped,
    ReceiveFailed,
    LeftDatagrams,
    Scraped,
    ScrapedWhileStopping,
    ScrapedNotReady,
    ScrapeRefused,
    ScraperTooSlow,
    ScrapersCrowded,
    Stopped,
    Aborted,
    DrainedAfterDelay,
    AbortedInDelay,
    LeftToSuccessor,
    AcceptedWithoutEvent,
    // What was done to it.
    Interrupted,
    ResetMidTurn,
    Spurious,
    Urgent,
    HeaderInParts,
    BytesBehindHeader,
    HeaderNeverSent,
    HeaderLost,
    Discarded,
    FullQueue,
    AcceptFailsPerConnection,
    Exhausted,
    ExhaustedWithFullQueue,
    SlotReused,
    SlotReusedInBatch,
    FullPending,
    LostTime,
    SlowTurn,
    RoomWithoutEdge,
    StoppedWithQueue,
];

/// How often each was reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage(Vec<u64>);

impl Default for Coverage {
    fn default() -> Self {
        Self(vec![0; ALL.len()])
    }
}

impl Coverage {
    pub fn note(&mut self, feature: Feature) {
        self.0[feature as usize] += 1;
    }

    pub fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(&other.0).for_each(|(sum, n)| *sum += n);
    }

    pub fn of(&self, feature: Feature) -> u64 {
        self.0[feature as usize]
    }

    /// What was never reached.
    pub fn missing(&self) -> Vec<Feature> {
        ALL.iter().copied().filter(|feature| self.of(*feature) == 0).collect()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for feature in ALL {
            write!(f, "{separator}{feature:?} {}", self.of(*feature))?;
            separator = ", ";
        }
        Ok(())
    }
}
