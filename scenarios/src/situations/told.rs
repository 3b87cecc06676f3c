//! Situations that the gateway itself tells of: its moments and its fault points (`rehearsal_core::points`).

use super::{Situation, Witness};

/// Families of which the gateway's fault points are part.
const DRAWN: &[&str] = &["swarm"];

/// Families with phones.
const CALLED: &[&str] = &["sip", "swarm"];

const fn told(name: &'static str, families: &'static [&'static str]) -> Situation {
    Situation { name, families, witness: Witness::Gateway }
}

/// Each moment of the gateway.
pub(super) const MOMENTS: [Situation; 37] = [
    told(
        "a subscriber is closed because its socket took nothing",
        &["slow", "churn", "close", "leak"],
    ),
    told("a subscriber is closed because its frames wait for too long", &["stall", "slow", "leak"]),
    told("frames are on their way when the next publish begins", &["slow"]),
    told("a connection is refused because there are too many", &["exhaust", "leak"]),
    told("a peer is not read because it does not read its answers", &["segments"]),
    told("a message of a publisher makes no sense and is left out", &["leak", "fuzz"]),
    told("frames are dropped behind one that is half written", &["slow", "lossy", "leak"]),
    told("a ring lets go of its last keyframe", &["exhaust", "swarm"]),
    told("a publish is over before its subscriber has joined it", &["close"]),
    told("a publish that is over is given whole to who waited for it", &["close"]),
    told("a subscriber hears of the end of a publish when the next has begun", &["slow"]),
    told(
        "a subscriber finds frames and no keyframe among them",
        &["live", "stall", "exhaust", "swarm"],
    ),
    told("a subscriber is overrun where no keyframe is left", &["exhaust"]),
    told("a subscriber is overrun and goes on at an entry", &["slow", "live", "lossy"]),
    told(
        "a subscriber that is late goes on at an entry",
        &["lossy", "stall", "slow", "leak", "swarm"],
    ),
    told("a message begins inside one of another chunk stream", &["leak", "fuzz"]),
    told("the chunk size changes inside a message", &["leak"]),
    told("a message is aborted before it is whole", &["leak", "fuzz"]),
    told("an aggregate is taken apart", &["fuzz"]),
    told("a peer is closed because it has not answered a ping", &["stall", "churn", "leak"]),
    told("a copy of a request is answered once more", CALLED),
    told("a request is made again whose connection is lost", CALLED),
    told("an acceptance that nobody has acknowledged is sent again", CALLED),
    told("both ends want to change a call at once", CALLED),
    told("a call ends because its phone is silent", CALLED),
    told("a call of ours is taken that nobody wants any more", CALLED),
    told("another source takes the place of a phone's", CALLED),
    told("a phone is followed to another address", CALLED),
    told("a phone is asked to take what its stream has now", &["sip"]),
    told("a call ends because its phone cannot take what its stream has now", &["sip"]),
    told("a request is refused because there are too many", &["fuzz"]),
    told("media waits for somebody to be heard where it is to go", &["sip"]),
    told("the stream of somebody who answers is taken", &["sip"]),
    told("a packet comes when a later one was played", CALLED),
    told("a call comes for a user agent that is gone", CALLED),
    told("a phone tells of a lost picture by RTCP", CALLED),
    told("a phone is told by RTCP that a picture is lost", CALLED),
];

/// Each fault point of the gateway; met when it fires.
pub(super) const FAULT_POINTS: [Situation; 5] = [
    told("a delivery lets others go first", DRAWN),
    told("a delivery takes one frame and no more", DRAWN),
    told("an RTMP connection lets others go first", DRAWN),
    told("a ring lets go of all but its newest frame", DRAWN),
    told("a subscriber is taken to be late", &["slow", "swarm"]),
];
