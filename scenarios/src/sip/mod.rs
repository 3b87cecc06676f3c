//! Family sip: phones that call, talk, listen, change their minds, and go.

mod accounts;
mod answered;
mod basic;
mod behind_nat;
mod callees;
pub(crate) mod clients;
mod crowd;
mod cut_off;
mod digits;
mod early;
mod elsewhere;
mod ends;
mod faults;
mod glare;
mod moves;
mod numbers;
mod one_way;
mod over_tcp;
mod proven;
mod refused;
mod registered;
mod sessions;
mod speex;
mod stream_changes;
pub(crate) mod video;
mod worn;

pub use accounts::REGISTER;
pub use answered::ANSWERED;
pub use basic::{BASIC_CALL, BOTH_HANG_UP, HOLD, PLAY};
pub use behind_nat::PRIVATE_ADDRESSES;
pub use callees::{AUTHENTICATION, CALLEE_BUSY, FORK, LATE_ANSWER, OUTGOING, RING_AND_CANCEL};
pub(crate) use callees::{call_out, callee};
pub use clients::{
    CLIENT_CALLED, CLIENT_CALLS, CLIENT_CUT, CLIENT_GIVES_UP, CLIENT_HOLDS, CLIENT_OUTLIVES,
    CLIENT_REFUSES, CLIENT_REGISTRATION, CLIENT_REPLACED, CLIENT_SHUTDOWN,
};
pub use crowd::THOUSAND_CALLS;
pub use cut_off::{TCP_CUT_OFF, TCP_REGISTERED_ANEW};
pub use digits::DIGITS_LOST;
pub use early::SPEAKS_EARLY;
pub use elsewhere::ELSEWHERE;
pub use ends::{CANCEL, VANISHED_PHONE};
pub use faults::MESSAGE_FAULTS;
pub use glare::GLARE;
pub use moves::{ADDRESS_MOVE, PORT_MOVE, REBOUND, SOURCE_CHANGE};
pub use numbers::WRAPPING;
pub use one_way::{EARLY_MEDIA, ONE_WAY, RESTART};
pub(crate) use over_tcp::any_way;
pub use over_tcp::{TCP_CALL, TCP_CALLED, TCP_LOSSY, TCP_MIXED, TCP_REGISTERED};
pub use proven::{REGISTER_FLOOD, REGISTRAR_ALGORITHMS, REGISTRAR_PROOFS};
pub use refused::{NO_PORTS, REJECT};
pub(crate) use registered::call_by_name;
pub use registered::{REGISTERED, REGISTERED_ALL, REGISTERED_REBOUND, REGISTRATION_LAPSES};
pub use sessions::SESSION_TIMERS;
pub use speex::{SPEEX_PLAY, SPEEX_PUBLISH, SPEEX_REFUSED};
pub use stream_changes::STREAM_CHANGES;
pub use video::{VIDEO_HOLD, VIDEO_LOSS, VIDEO_PLAY, VIDEO_PUBLISH, VIDEO_REFUSED, VIDEO_UNWANTED};
pub use worn::LOSSY;

use std::time::Duration;

use rehearsal_core::config::{Config, Route};
use rehearsal_sim::{
    LinkConfig,
    clients::{
        media::MediaPlan,
        phone::{Codec, PhonePlan, PhoneReport, Voice},
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::PlayPlan,
    },
};

use crate::{
    live::unless,
    oracles::Violation,
    plan::{Plan, Protocol},
    run::Evidence,
};

/// What phones say becomes this stream, if nothing else is said.
const CALLED: &str = "call/talk";
/// What phones hear.
const HEARD: &str = "live/x";
/// Bytes of audio in a packet of 20 ms.
const PACKET_BYTES: usize = 160;
/// A phone is there for as long as copies of its messages may come, twice over: it may have to wait for answers, too.
pub(crate) const LINGER_MS: u64 = 70_000;

/// A phone that calls at `start_ms`, and hangs up `talk_ms` after the answer.
pub(crate) fn call(start_ms: u64, talk_ms: u64) -> PhonePlan {
    PhonePlan {
        start_ms,
        dial: "talk".to_owned(),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        voice: Some(Voice { stream: CALLED.to_owned(), epoch: 1 }),
        talk_ms: Some(talk_ms),
        leave_ms: start_ms + talk_ms + LINGER_MS,
        ..PhonePlan::default()
    }
}

/// The same, to hear a stream that others publish.
fn listen(start_ms: u64, talk_ms: u64) -> PhonePlan {
    let voice = Some(Voice { stream: HEARD.to_owned(), epoch: 99 });
    PhonePlan { dial: "play-x".to_owned(), voice, ..call(start_ms, talk_ms) }
}

/// Somebody who publishes audio of telephony on [`HEARD`].
fn publish_audio(start_ms: u64, duration_ms: u64, codec: Codec) -> PublishPlan {
    publish_on(HEARD, start_ms, duration_ms, codec)
}

/// The same on any stream.
pub(crate) fn publish_on(
    stream: &str,
    start_ms: u64,
    duration_ms: u64,
    codec: Codec,
) -> PublishPlan {
    let media = MediaPlan {
        gop_frames: 0,
        audio_bytes: PACKET_BYTES,
        telephone: Some(codec),
        ..MediaPlan::default()
    };
    PublishPlan {
        stream: stream.to_owned(),
        epoch: 1,
        start_ms,
        source: Source::Generated(media),
        duration_ms,
        leave: Leave::Orderly,
        digest: false,
    }
}

/// One phone talks and is heard, another one listens, for 15 s, whatever others do.
pub(crate) fn calls_go_on(plan: &mut Plan) {
    plan.config.sip.routes.retain(|route| route.dial != "*");
    plan.config.sip.routes.push(Route {
        dial: "talk".to_owned(),
        publish: Some(CALLED.to_owned()),
        play: None,
    });
    plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 25_000, Codec::Pcmu));
    // They do not hang up at the moment at which a packet is due: it would be chance whether it is the last.
    plan.phone("talks", LinkConfig::lan(), call(1_500, 15_010));
    plan.phone("listens", LinkConfig::lan(), listen(1_500, 15_010));
    hear(plan, 25_000);
}

/// They did.
pub(crate) fn calls_went_on(evidence: &Evidence) -> Vec<Violation> {
    let [talks, listens] = [0, 1].map(|index| &evidence.phones[index]);
    let (said, has) = (talks.spoken.len(), evidence.players[0].received.len());
    let whole = unless(said >= 740 && has == said, || {
        format!("{said} packets were said, the player has {has}")
    });
    let heard = listens.heard.len();
    let heard = unless(heard >= 740, || format!("{heard} packets were heard"));
    let ends = [ends("talks", talks, &["hung up"]), ends("listens", listens, &["hung up"])];
    ends.into_iter().chain([whole, heard]).flatten().collect()
}

/// Somebody over RTMP who hears what phones say on [`CALLED`] until `leave_ms`.
fn hear(plan: &mut Plan, leave_ms: u64) {
    let stream = CALLED.to_owned();
    let play = PlayPlan { stream, start_ms: 0, leave_ms, stall: None, pause: None };
    plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play);
}

/// The same of `stream`, on a host that is named after it.
fn hear_on(plan: &mut Plan, stream: &str, leave_ms: u64) {
    let host = stream.replace("call/", "player-");
    let stream = stream.to_owned();
    let play = PlayPlan { stream, start_ms: 0, leave_ms, stall: None, pause: None };
    plan.player(&host, LinkConfig::lan(), Protocol::Rtmp, play);
}

/// After the last phone has gone, everything of it is gone: by what was to be said to it, if it did not say so itself.
pub(crate) fn calm_ms(config: &Config) -> u64 {
    let given_up_ms = 64 * config.sip.t1_ms;
    config.rtp.silence_ms + 2 * given_up_ms
}

/// A violation unless the call of `host` ended as `expected`.
fn ends(host: &str, report: &PhoneReport, expected: &[&str]) -> Option<Violation> {
    let end = report.end();
    unless(expected.contains(&end.as_str()), || {
        format!("{host} ended with {end}, not {expected:?}")
    })
}

/// How long a phone was in its call.
fn lasted(report: &PhoneReport) -> Duration {
    let (from, to) = (report.answered_at, report.ended.map(|(at, _)| at));
    from.zip(to).map_or(Duration::ZERO, |(from, to)| to - from)
}
