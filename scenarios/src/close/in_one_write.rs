//! A whole publish in one write, which is over before anybody else has had a turn.

use std::time::Duration;

use rehearsal_core::{
    amf::Value,
    rtmp::message::{Message, type_id},
};
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::{Generated, MediaPlan},
        raw::RawPlan,
    },
};

use super::healthy;
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::Listener,
    wire::{Received, call, link, opening, opening_until},
};

/// How much is published: with the calls around it, it fits into one segment, which one read takes.
const LASTS: Duration = Duration::from_millis(80);

/// Publish, media, play on another stream of the same connection, and the end of the publish, without waiting for an answer.
pub const IN_ONE_WRITE: Scenario = Scenario {
    name: "close/in-one-write",
    about: "a publish that is over as soon as it has begun is given whole to who waited, and not to who came into it",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/in-one-write");
        let mut plan = healthy(seed);
        let start_ms = 2_000 + rng.below(2_000);
        for (host, start_ms, pieces) in [
            ("waits", 500 + rng.below(1_000), vec![opening("play", "brief")]),
            ("writes", start_ms, vec![opening_until("", "", 2), whole_publish()]),
        ] {
            let raw = RawPlan {
                start_ms,
                pieces,
                pause_ms: 20,
                half_close: false,
                read_from_ms: 0,
                leave_ms: 8_000,
            };
            plan.raw_client(host, LinkConfig::lan(), Listener::Rtmp, raw);
            plan.terms.faulty.push(host.to_owned());
        }
        plan
    },
    check: |evidence| {
        let reports: Vec<_> = evidence.raw_clients.iter().flatten().collect();
        let [waits, writes] = reports[..] else {
            return unless(false, || "not all could connect".to_owned()).into_iter().collect();
        };
        let expected = media().count();
        let [waits, writes] = [waits, writes].map(|report| Received::parse(&report.received));
        let has_all = waits.as_ref().is_ok_and(|seen| seen.media == expected);
        let has_none = writes.as_ref().is_ok_and(|seen| seen.media == 0 && seen.replies == 3);
        let all = unless(has_all, || format!("who waited has {waits:?}, and not {expected} media"));
        let none = unless(has_none, || format!("who came into it has {writes:?}"));
        all.into_iter().chain(none).collect()
    },
};

/// Audio and video of the publish.
fn media() -> impl Iterator<Item = Message> {
    let media = MediaPlan { keyframe_bytes: 200, audio_bytes: 60, ..MediaPlan::default() };
    let items = Generated::new(media, "live/brief", 1);
    let items = items.take_while(|item| item.due < LASTS);
    let messages = items.map(|item| Message {
        type_id: item.type_id,
        stream_id: 1,
        timestamp_ms: item.timestamp_ms,
        payload: item.payload,
    });
    messages.filter(|message| matches!(message.type_id, type_id::AUDIO | type_id::VIDEO))
}

fn whole_publish() -> Vec<u8> {
    let mut link = link();
    media().for_each(|message| link.send_message(6, &message));
    [
        call("createStream", 0, vec![Value::Null]),
        call("publish", 1, vec![Value::Null, "brief".into()]),
        link.poll_output(),
        call("play", 2, vec![Value::Null, "brief".into()]),
        call("deleteStream", 0, vec![Value::Null, 1.0.into()]),
    ]
    .concat()
}
