//! Lines on which packets are lost, alone or in bursts, and come unevenly.

use rehearsal_sim::{
    Direction, GilbertElliott, LinkConfig, Rng,
    clients::phone::{PhonePlan, Saying, Voice, Way},
};

use super::{CALLED, call, calm_ms, listen, publish_audio};
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::{Plan, Protocol},
};
use rehearsal_sim::clients::{phone::Codec, rtmp_player::PlayPlan};

/// Loss of each phone's line, in parts per million, and whether it comes in bursts.
const LINES: [(&str, u32, bool); 6] = [
    ("little", 5_000, false),
    ("much", 200_000, false),
    ("bursts", 50_000, true),
    ("uneven", 10_000, false),
    ("mixed", 0, false),
    ("doubled", 10_000, false),
];
/// Packets of the line that mixes them up which come later than others, and by how much at most.
const MIXED_PPM: u32 = 30_000;
const MIXED_MS: u64 = 120;
/// Packets of another line that come twice.
const DOUBLED_PPM: u32 = 50_000;

fn line(loss_ppm: u32, in_bursts: bool, jitter_ms: u64) -> LinkConfig {
    // A burst lasts 4 packets on average, and half of them are lost.
    let bursts = GilbertElliott {
        to_bad_ppm: loss_ppm / 2,
        to_good_ppm: 250_000,
        good_loss_ppm: 0,
        bad_loss_ppm: 500_000,
    };
    LinkConfig::dsl().with(|direction: &mut Direction| {
        direction.loss_ppm = if in_bursts { 0 } else { loss_ppm };
        direction.burst_loss = in_bursts.then_some(bursts);
        direction.jitter_ns = jitter_ms * 1_000_000;
    })
}

/// Phones behind lines that lose up to a fifth of everything, in both directions.
pub const LOSSY: Scenario = Scenario {
    name: "sip/lossy",
    about: "phones behind lines that lose packets, mix them up or double them talk and listen; what is told of the loss is true",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        for (name, loss_ppm, in_bursts) in LINES {
            let link = line(loss_ppm, in_bursts, if name == "uneven" { 30 } else { 0 });
            let link = link.with(|direction| {
                direction.reorder_ppm = if name == "mixed" { MIXED_PPM } else { 0 };
                direction.reorder_ns = MIXED_MS * 1_000_000;
                direction.duplicate_ppm = if name == "doubled" { DOUBLED_PPM } else { 0 };
            });
            let stream = format!("{CALLED}-{name}");
            let talks = PhonePlan {
                dial: format!("talk-{name}"),
                voice: Some(Voice { stream: stream.clone(), epoch: 1 }),
                ..call(500 + rng.below(500), 20_000)
            };
            plan.phone(&format!("talks-{name}"), link, talks);
            let hears = listen(500 + rng.below(500), 10_000);
            plan.phone(&format!("hears-{name}"), link, hears);
            let play = PlayPlan { stream, start_ms: 0, leave_ms: 60_000, stall: None, pause: None };
            plan.player(&format!("player-{name}"), LinkConfig::lan(), Protocol::Rtmp, play);
        }
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 20_000, Codec::Pcmu));
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan.terms.slack_ms = 1_000;
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let answered = phones.filter_map(|(phone, report)| {
            let invites = report.signals.iter().filter(|it| {
                it.way == Way::Sent && it.what == Saying::Request && it.method == "INVITE"
            });
            let lost = evidence.host.as_ref().and_then(|host| host.lost.as_ref()?.get(&phone.host));
            let lost = lost.into_iter().flat_map(|lost| &lost.messages);
            let lost = lost.filter(|it| it.is_of_phone && it.is_request && it.method == "INVITE");
            // Nobody knows of a call of which no copy has come.
            let is_unheard = invites.count() == lost.count();
            unless(report.answered_at.is_some() || is_unheard, || {
                format!("{} ended with {}", phone.host, report.end())
            })
        });
        answered.collect()
    },
};
