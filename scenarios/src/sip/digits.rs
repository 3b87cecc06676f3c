//! Digits that phones dial, of which any packets may be lost.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Codec, DIGIT_PACKETS, Dialled, PhonePlan, Voice},
        rtmp_player::PlayPlan,
    },
};

use super::{CALLED, call, calm_ms, ends};
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::{Plan, Protocol},
};

/// From one key to the next.
const EVERY_MS: u64 = 200;
/// As many as there are ways to lose packets of one.
const DIGITS: u64 = 1 << DIGIT_PACKETS;
const KEYS: &[u8; 16] = b"0123456789*#ABCD";

/// Every subset of a digit's packets is lost once, in an order that the seed draws, and so it is of a phone that speaks in wide
/// band; another is behind a bad line, and two dial by INFO.
pub const DIGITS_LOST: Scenario = Scenario {
    name: "sip/digits",
    about: "phones dial, and any packets of a digit are lost: it is told once and in order, if any packet of it comes",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        let lossy = LinkConfig::dsl().with_loss_ppm(200_000);
        for (name, link) in [
            ("subsets", LinkConfig::lan()),
            ("lossy", lossy),
            ("info", LinkConfig::lan()),
            ("info-lossy", lossy),
            ("wide", LinkConfig::lan()),
        ] {
            let dials_by_info = name.starts_with("info");
            let mut rng = Rng::named(seed, &format!("scenario/sip/{name}"));
            let mut subsets: Vec<u8> = (0..DIGITS as u8).collect();
            rng.shuffle(&mut subsets);
            let digits = subsets.into_iter().zip(1..).map(|(lost, index)| Dialled {
                at_ms: index * EVERY_MS,
                digit: char::from(KEYS[rng.below(16) as usize]),
                lost: if ["subsets", "wide"].contains(&name) { lost } else { 0 },
            });
            let digits: Vec<Dialled> = digits.collect();
            let dial = format!("talk-{name}");
            let stream = format!("{CALLED}-{name}");
            let voice = Some(Voice { stream: stream.clone(), epoch: 1 });
            let talk_ms = (DIGITS + 5) * EVERY_MS;
            let codecs = if name == "wide" { vec![Codec::Wideband] } else { vec![Codec::Pcmu] };
            let phone =
                PhonePlan { dial, voice, codecs, digits, dials_by_info, ..call(1_500, talk_ms) };
            plan.phone(name, link, phone);
            let play = PlayPlan { stream, start_ms: 0, leave_ms: 30_000, stall: None, pause: None };
            plan.player(&format!("player-{name}"), LinkConfig::lan(), Protocol::Rtmp, play);
        }
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan.terms.slack_ms = 1_000;
        plan
    },
    check: |evidence| {
        // One is lost whole.
        let told = [(0, "subsets", DIGITS - 1), (2, "info", DIGITS), (4, "wide", DIGITS - 1)];
        let told = told.into_iter().flat_map(|(index, host, due)| {
            let told = evidence.players[index].digits.len() as u64;
            let all =
                unless(told == due, || format!("of {host} {told} digits were told, not {due}"));
            [ends(host, &evidence.phones[index], &["hung up"]), all]
        });
        told.flatten().collect()
    },
};
