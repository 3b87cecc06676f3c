//! Phones that hear a stream which is not there when they call, and has now this codec and now that one.

use rehearsal_core::config::Route;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        phone::{Codec, PhonePlan, PhoneReport, Voice},
        publisher::{PublishPlan, Source},
    },
};

use super::{
    HEARD,
    callees::{call_out, callee},
    ends, hear_on, listen, publish_on,
};
use crate::{catalogue::Scenario, live::unless, plan::Plan};

/// When the stream has G.711, Speex in wide band, and AAC, each for so long.
const G711_AT_MS: u64 = 2_000;
const SPEEX_AT_MS: u64 = 7_000;
const AAC_AT_MS: u64 = 12_000;
const LASTS_MS: u64 = 4_000;
/// Packets that a phone hears of one publish at least.
const HEARD_EACH: usize = 180;
/// Who can take nothing of the stream is let go within this.
const SOON_MS: u64 = 1_000;

/// A phone of each kind.
pub const STREAM_CHANGES: Scenario = Scenario {
    name: "sip/stream-changes",
    about: "phones call before their stream is there, and it changes its codec: who can take what it has now is asked to, who cannot and has nothing else is let go",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let g711 = publish_on(HEARD, G711_AT_MS, LASTS_MS, Codec::Pcmu);
        let speex = publish_on(HEARD, SPEEX_AT_MS, LASTS_MS, Codec::Wideband);
        let aac = publish_on(HEARD, AAC_AT_MS, LASTS_MS, Codec::Pcmu);
        let aac = match aac.source.clone() {
            Source::Generated(media) => {
                let media = MediaPlan { telephone: None, ..media };
                PublishPlan { source: Source::Generated(media), ..aac }
            }
            _ => aac,
        };
        for (publish, epoch) in [g711, speex, aac].into_iter().zip(1..) {
            let publish = PublishPlan { epoch, ..publish };
            plan.publisher(&format!("publisher-{epoch}"), LinkConfig::lan(), publish);
        }
        let route = Route {
            dial: "meet-*".to_owned(),
            publish: Some("call/meet-*".to_owned()),
            play: Some(HEARD.to_owned()),
        };
        plan.config.sip.routes.insert(0, route);
        for (host, codecs) in [
            ("any", vec![Codec::Pcma, Codec::Wideband, Codec::Pcmu]),
            ("narrow", vec![Codec::Narrowband, Codec::Pcmu]),
            ("g711", vec![Codec::Pcmu]),
            ("other", vec![Codec::Pcma]),
        ] {
            let link = [LinkConfig::lan(), LinkConfig::dsl()][rng.below(2) as usize];
            let phone = PhonePlan { codecs, ..listen(rng.below(1_000), 20_000) };
            plan.phone(host, link, phone);
        }
        let meets = PhonePlan {
            dial: "meet-me".to_owned(),
            codecs: vec![Codec::Pcmu],
            voice: Some(Voice { stream: "call/meet-me".to_owned(), epoch: 1 }),
            ..listen(rng.below(1_000), 15_000)
        };
        plan.phone("meets", LinkConfig::lan(), meets);
        hear_on(&mut plan, "call/meet-me", 30_000);
        let called = PhonePlan {
            codecs: vec![Codec::Pcmu, Codec::Wideband],
            voice: Some(Voice { stream: HEARD.to_owned(), epoch: 99 }),
            talk_ms: Some(20_000),
            ..callee("called", vec![super::callees::TAKES])
        };
        let call = call_out(&mut plan, LinkConfig::lan(), called);
        (call.publish, call.play) = (None, Some(HEARD.to_owned()));
        plan
    },
    check: |evidence| {
        let let_go = |at_ms: u64| ("hung up by the gateway", Some(at_ms));
        let due = [
            (2, let_go(AAC_AT_MS)),
            (2, let_go(AAC_AT_MS)),
            (1, let_go(SPEEX_AT_MS)),
            (0, let_go(G711_AT_MS)),
            (1, ("hung up", None)),
            (2, let_go(AAC_AT_MS)),
        ];
        let phones = evidence.plan.phones.iter().zip(&evidence.phones).zip(due);
        let found = phones.flat_map(|((phone, report), (publishes, (end, at_ms)))| {
            let host = &phone.host;
            let heard = [1, 2, 3].map(|epoch| heard_of(report, epoch));
            let whole = heard.iter().take(publishes).all(|packets| *packets >= HEARD_EACH)
                && heard.iter().skip(publishes).all(|packets| *packets == 0);
            let whole = unless(whole, || format!("{host} heard {heard:?} packets"));
            let ended_ms = report.ended.map(|(at, _)| at.as_millis() as u64);
            let in_time = at_ms.is_none_or(|due_ms| {
                ended_ms.is_some_and(|ended| (due_ms..due_ms + SOON_MS).contains(&ended))
            });
            let in_time = unless(in_time, || {
                format!("the call of {host} ended after {ended_ms:?} ms, due was {at_ms:?}")
            });
            [ends(host, report, &[end]), whole, in_time]
        });
        found.flatten().collect()
    },
};

/// Packets of one publish that a phone heard.
fn heard_of(report: &PhoneReport, epoch: u32) -> usize {
    let stamps = report.heard.iter().filter_map(|heard| heard.stamp.ok().flatten());
    stamps.filter(|stamp| stamp.epoch == epoch).count()
}
