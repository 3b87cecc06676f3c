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
