//! Family sip: phones that call, talk, listen, change their minds, and go.

mod basic;
mod crowd;
mod ends;
mod faults;
mod refused;
mod worn;

pub use basic::{BASIC_CALL, BOTH_HANG_UP, HOLD, PLAY};
pub use crowd::THOUSAND_CALLS;
pub use ends::{CANCEL, VANISHED_PHONE};
pub use faults::MESSAGE_FAULTS;
pub use refused::REJECT;
pub use worn::LOSSY;

use std::time::Duration;

use rehearsal_core::config::Config;
use rehearsal_sim::clients::{
    media::MediaPlan,
    phone::{Codec, PhonePlan, PhoneReport, Voice},
    publisher::{Leave, PublishPlan, Source},
    rtmp_player::PlayPlan,
};

use crate::{
    live::unless,
    oracles::Violation,
    plan::{Plan, Protocol},
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
        cancel: None,
        changes: Vec::new(),
        message_faults: Vec::new(),
        leave_ms: start_ms + talk_ms + LINGER_MS,
    }
}

/// The same, to hear a stream that others publish.
fn listen(start_ms: u64, talk_ms: u64) -> PhonePlan {
    let voice = Some(Voice { stream: HEARD.to_owned(), epoch: 99 });
    PhonePlan { dial: "play-x".to_owned(), voice, ..call(start_ms, talk_ms) }
}

/// Somebody who publishes audio of telephony.
fn publish_audio(start_ms: u64, duration_ms: u64, codec: Codec) -> PublishPlan {
    let media = MediaPlan {
        gop_frames: 0,
        audio_bytes: PACKET_BYTES,
        telephone: Some(codec),
        ..MediaPlan::default()
    };
    PublishPlan {
        stream: HEARD.to_owned(),
        epoch: 1,
        start_ms,
        source: Source::Generated(media),
        duration_ms,
        leave: Leave::Orderly,
        digest: false,
    }
}

/// Somebody over RTMP who hears what phones say on [`CALLED`] until `leave_ms`.
fn hear(plan: &mut Plan, leave_ms: u64) {
    let stream = CALLED.to_owned();
    let play = PlayPlan { stream, start_ms: 0, leave_ms, stall: None, pause: None };
    plan.player("player", rehearsal_sim::LinkConfig::lan(), Protocol::Rtmp, play);
}

/// After the last phone has gone, everything of it is gone: by what was to be said to it, if it did not say so itself.
fn calm_ms(config: &Config) -> u64 {
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
