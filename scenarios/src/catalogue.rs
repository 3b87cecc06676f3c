//! Every scenario there is, by name.

use crate::{
    churn, clock, close, exhaustion, fuzz, leak, live, lossy, oracles::Violation, plan::Plan,
    run::Evidence, segments, sip, slow, stall, stop, swarm, wrap,
};

/// A scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// Family and name.
    pub name: &'static str,
    /// What it shows, in a line.
    pub about: &'static str,
    /// Whether it comes out alike on every network: what its clients see depends neither on faults below the stream nor
    /// on the rates, queues and buffers of links and sockets.
    pub parity: bool,
    /// Whether a run takes seconds of real time: then `cargo rehearse run` is where it runs, and no test repeats it.
    pub heavy: bool,
    /// Makes its plan from a seed.
    pub plan: fn(u64) -> Plan,
    /// What must hold besides the oracles that judge every run.
    pub check: fn(&Evidence) -> Vec<Violation>,
}

impl Scenario {
    /// Whether `name` is that of the scenario or of its family.
    pub fn is_named(&self, name: &str) -> bool {
        let rest = self.name.strip_prefix(name.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// All scenarios, in the order they are listed and run.
pub const CATALOGUE: [Scenario; 145] = [
    live::ONE_PUBLISHER_THREE_PLAYERS,
    live::LATE_JOINER,
    live::REPUBLISH,
    live::PLAIN_LINES,
    live::PLAYER_FIRST,
    live::REAL_FILE,
    live::PAUSE,
    live::SLOW_PLAYER,
    live::NARROW_LINK,
    live::AUDIO_ONLY,
    live::VIDEO_ONLY,
    live::CHANGING_HEADERS,
    live::ENHANCED_RTMP,
    live::CROWD,
    churn::COMPETING_PUBLISHERS,
    churn::SILENCE_DEADLINE,
    churn::REBOUND_PUBLISHER,
    churn::RESET_PUBLISHER,
    churn::CRASHED_PLAYERS,
    wrap::TIMESTAMPS,
    wrap::TWO_MONTHS,
    wrap::FOUR_GIBIBYTES,
    exhaustion::DESCRIPTORS,
    exhaustion::ACCEPT_QUEUE,
    exhaustion::PORTS,
    exhaustion::CONNECTIONS,
    exhaustion::STREAMS,
    exhaustion::MEMORY,
    clock::WALL_CLOCK_STEPS,
    clock::IDLE_DAYS,
    clock::TIES,
    stop::SHUTDOWN,
    stop::CRASH,
    stop::FREEZE,
    stop::FREEZE_BEYOND_DEADLINES,
    lossy::LAST_MILE,
    lossy::LOSSY_PUBLISHER,
    lossy::PRESETS,
    lossy::TOO_NARROW,
    stall::SILENT,
    stall::DRIPPING,
    stall::ONE_TRACK,
    stall::TOO_OLD,
    segments::ONE_BYTE,
    segments::SHORT_IO,
    segments::BLOCKED_REPLIES,
    close::HALF_CLOSE,
    close::RESET,
    close::VANISH,
    close::PIPELINED,
    close::IN_ONE_WRITE,
    close::LAST_WORDS,
    slow::WINDOW_ZERO,
    slow::TENTH,
    slow::NEARLY,
    slow::RECOVERS,
    slow::TAKEN_TO_BE_LATE,
    slow::VANISHES,
    slow::HALF_CLOSED,
    slow::ACROSS_EPOCHS,
    fuzz::RTMP,
    fuzz::HTTP,
    fuzz::SIP,
    fuzz::SIP_FLOOD,
    fuzz::RTP,
    leak::PUBLISH_PLAY_STOP,
    leak::REPUBLISH,
    leak::REFUSED_PUBLISH,
    leak::ABANDONED_HANDSHAKE,
    leak::SLOW_SUBSCRIBER,
    leak::VIEWER_GONE,
    leak::BAD_INPUT,
    leak::CALLS,
    leak::START_STOP,
    sip::BASIC_CALL,
    sip::PLAY,
    sip::CANCEL,
    sip::REJECT,
    sip::NO_PORTS,
    sip::BOTH_HANG_UP,
    sip::HOLD,
    sip::VANISHED_PHONE,
    sip::LOSSY,
    sip::TCP_CALL,
    sip::TCP_CALLED,
    sip::TCP_REGISTERED,
    sip::TCP_MIXED,
    sip::TCP_LOSSY,
    sip::TCP_CUT_OFF,
    sip::TCP_REGISTERED_ANEW,
    sip::MESSAGE_FAULTS,
    sip::SOURCE_CHANGE,
    sip::PORT_MOVE,
    sip::ADDRESS_MOVE,
    sip::REBOUND,
    sip::ONE_WAY,
    sip::ELSEWHERE,
    sip::EARLY_MEDIA,
    sip::SPEAKS_EARLY,
    sip::DIGITS_LOST,
    sip::RESTART,
    sip::WRAPPING,
    sip::GLARE,
    sip::OUTGOING,
    sip::CALLEE_BUSY,
    sip::FORK,
    sip::RING_AND_CANCEL,
    sip::LATE_ANSWER,
    sip::ANSWERED,
    sip::AUTHENTICATION,
    sip::REGISTER,
    sip::REGISTERED,
    sip::REGISTRATION_LAPSES,
    sip::REGISTERED_REBOUND,
    sip::REGISTERED_ALL,
    sip::PRIVATE_ADDRESSES,
    sip::REGISTRAR_PROOFS,
    sip::REGISTRAR_ALGORITHMS,
    sip::REGISTER_FLOOD,
    sip::THOUSAND_CALLS,
    sip::SPEEX_PUBLISH,
    sip::SPEEX_PLAY,
    sip::SPEEX_REFUSED,
    sip::STREAM_CHANGES,
    sip::SESSION_TIMERS,
    sip::VIDEO_PUBLISH,
    sip::VIDEO_PLAY,
    sip::VIDEO_LOSS,
    sip::VIDEO_REFUSED,
    sip::VIDEO_UNWANTED,
    sip::VIDEO_HOLD,
    sip::CLIENT_CALLS,
    sip::CLIENT_CALLED,
    sip::CLIENT_REFUSES,
    sip::CLIENT_GIVES_UP,
    sip::CLIENT_HOLDS,
    sip::CLIENT_REGISTRATION,
    sip::CLIENT_REPLACED,
    sip::CLIENT_CUT,
    sip::CLIENT_OUTLIVES,
    sip::CLIENT_SHUTDOWN,
    swarm::LIVE,
    swarm::FAULTS,
    swarm::LIMITS,
    swarm::CALLS,
];

/// The scenario called `name`.
pub fn find(name: &str) -> Option<&'static Scenario> {
    CATALOGUE.iter().find(|scenario| scenario.name == name)
}

/// All scenarios whose runs take a moment, for tests that run each of them, some more than once.
pub fn light() -> impl Iterator<Item = &'static Scenario> {
    CATALOGUE.iter().filter(|scenario| !scenario.heavy)
}
