//! Those who are called and are heard before they answer: nobody knows yet who they are, and where they want to hear.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Answer, Codec, PhonePlan, PhoneReport, Reply, Voice},
};

use super::{
    HEARD,
    callees::{call_out, callee},
    ends, hear_on, publish_audio,
};
use crate::{catalogue::Scenario, live::unless, plan::Plan};

/// How long it rings at least.
const RINGS_MS: u64 = 2_500;
/// How long the gateway lets somebody ring.
const RING_MS: u64 = 4_000;
/// Packets that somebody says at least while it rings.
const SAID: usize = 100;

/// Announcements before the answer, to calls that are taken, refused and given up.
pub const SPEAKS_EARLY: Scenario = Scenario {
    name: "sip/speaks-early",
    about: "who is called says by 183 what it speaks, and speaks: nobody hears that, and it hears nothing, before it has answered",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.ring_ms = RING_MS;
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 20_000, Codec::Pcmu));
        let mut early = |host: &str, answer, codec| {
            let rings_ms = Some(100 + rng.below(200));
            let reply = Reply { rings_ms, after_ms: RINGS_MS + rng.below(1_000), answer };
            let phone =
                PhonePlan { speaks_early: true, codecs: vec![codec], ..callee(host, vec![reply]) };
            (phone, [LinkConfig::lan(), LinkConfig::dsl()][rng.below(2) as usize])
        };
        for (host, answer, codec) in [
            ("talk", Answer::Accept, Codec::Pcmu),
            ("wide", Answer::Accept, Codec::Wideband),
            ("refuses", Answer::Refuse(486), Codec::Pcma),
            ("rings", Answer::Never, Codec::Pcmu),
        ] {
            let (phone, link) = early(host, answer, codec);
            hear_on(&mut plan, &format!("call/{host}"), 20_000);
            call_out(&mut plan, link, phone);
        }
        let (phone, link) = early("listens", Answer::Accept, Codec::Pcmu);
        let voice = Some(Voice { stream: HEARD.to_owned(), epoch: 99 });
        let call = call_out(&mut plan, link, PhonePlan { voice, ..phone });
        (call.publish, call.play) = (None, Some(HEARD.to_owned()));
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let taken = ["hung up", "hung up", "left before an answer", "left before an answer"];
        let found = phones.zip(taken.into_iter().chain(["hung up"])).enumerate();
        let found = found.flat_map(|(index, ((phone, report), end))| {
            let host = &phone.host;
            let early = said_early(report);
            let said = unless(early >= SAID, || format!("{host} said {early} packets early"));
            let due = report.spoken.len() - early;
            let player = evidence.players.get(index);
            let has = player.map_or(due, |player| player.received.len());
            let has = unless(has == due, || format!("of {due} packets of {host} came {has}"));
            [ends(host, report, &[end]), said, has]
        });
        let heard = evidence.phones[4].heard.len();
        let heard = unless(heard >= 290, || format!("listens heard {heard} packets"));
        found.flatten().chain(heard).collect()
    },
};

/// Packets that were said before the answer.
fn said_early(report: &PhoneReport) -> usize {
    let is_early =
        |at: std::time::Duration| report.answered_at.is_none_or(|answered| at < answered);
    report.spoken.iter().filter(|said| is_early(said.at)).count()
}
