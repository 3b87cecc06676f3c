//! Calls that are not taken.

use rehearsal_core::config::Route;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        phone::{Codec, PhonePlan, Voice},
        publisher::{PublishPlan, Source},
    },
};

use super::{CALLED, call, ends, hear, listen};
use crate::{catalogue::Scenario, live::unless, plan::Plan};

/// What each phone is told.
const TOLD: [(&str, &str); 5] = [
    ("first", "hung up"),
    ("busy", "rejected with 486"),
    ("unknown", "rejected with 404"),
    ("no-codec", "rejected with 488"),
    ("again", "hung up"),
];

/// Numbers that are busy, that are none, and streams that no phone can hear.
pub const REJECT: Scenario = Scenario {
    name: "sip/reject",
    about: "a busy number, one that is none and a stream of another codec are refused, and nobody notices",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.routes = vec![
            Route { dial: "talk".to_owned(), publish: Some(CALLED.to_owned()), play: None },
            Route { dial: "play-*".to_owned(), publish: None, play: Some("live/*".to_owned()) },
        ];
        let at = |ms: u64, rng: &mut Rng| ms + rng.below(1_000);
        let voice = |epoch| Some(Voice { stream: CALLED.to_owned(), epoch });
        let first = call(500, 6_000);
        let busy = PhonePlan { voice: voice(2), ..call(at(2_000, &mut rng), 1_000) };
        let unknown = PhonePlan {
            dial: "nobody".to_owned(),
            voice: voice(3),
            ..call(at(2_000, &mut rng), 1_000)
        };
        let no_codec = PhonePlan {
            codecs: vec![Codec::Pcmu],
            voice: voice(4),
            ..listen(at(2_000, &mut rng), 1_000)
        };
        let again = PhonePlan { voice: voice(5), ..call(at(8_000, &mut rng), 2_000) };
        for ((host, _), phone) in TOLD.into_iter().zip([first, busy, unknown, no_codec, again]) {
            plan.phone(host, LinkConfig::lan(), phone);
        }
        let media = Source::Generated(MediaPlan::default());
        let other = PublishPlan { source: media, ..super::publish_audio(0, 10_000, Codec::Pcmu) };
        plan.publisher("publisher", LinkConfig::lan(), other);
        hear(&mut plan, 15_000);
        plan
    },
    check: |evidence| {
        let told = TOLD.into_iter().zip(&evidence.phones);
        let told = told.filter_map(|((host, end), report)| ends(host, report, &[end]));
        let said: usize = [0, 4].iter().map(|index| evidence.phones[*index].spoken.len()).sum();
        let has = evidence.players[0].received.len();
        let whole = unless(has == said, || format!("{has} packets were heard of {said}"));
        told.chain(whole).collect()
    },
};

/// When each phone calls, for how long it wants to talk, and how its call ends. There are ports for two.
const PORTS: [(&str, u64, u64, &str); 6] = [
    ("first", 500, 5_000, "hung up"),
    ("second", 700, 5_500, "hung up"),
    ("third", 2_000, 1_000, "rejected with 503"),
    // Both are over, but their ports are not for others yet.
    ("hasty", 8_000, 1_000, "rejected with 503"),
    ("later", 18_000, 2_000, "hung up"),
    ("too", 18_200, 2_000, "hung up"),
];

/// More calls than there are ports for.
pub const NO_PORTS: Scenario = Scenario {
    name: "sip/no-ports",
    about: "calls for which no RTP ports are free, or have rested for long enough, are refused, and others are not",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let first = 20_000 + 2 * rng.below(1_000) as u16;
        (plan.config.rtp.first_port, plan.config.rtp.last_port) = (first, first + 3);
        plan.config.rtp.quarantine_ms = 5_000 + rng.below(5_000);
        for (host, start_ms, talk_ms, _) in PORTS {
            let stream = format!("call/{host}");
            let voice = Some(Voice { stream, epoch: 1 });
            let start_ms = start_ms + rng.below(200);
            let phone = PhonePlan { dial: host.to_owned(), voice, ..call(start_ms, talk_ms) };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        plan
    },
    check: |evidence| {
        let told = PORTS.into_iter().zip(&evidence.phones);
        let told = told.filter_map(|((host, .., end), report)| ends(host, report, &[end]));
        let misled =
            PORTS.into_iter().zip(&evidence.phones).filter_map(|((host, .., end), report)| {
                let is_misled = end != "hung up" && report.rang_at.is_some();
                unless(!is_misled, || format!("{host} heard that it rings"))
            });
        told.chain(misled).collect()
    },
};
