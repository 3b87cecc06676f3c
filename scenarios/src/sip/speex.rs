//! Phones that speak Speex, of either rate, and those that have nothing in common with a stream.

use rehearsal_core::sdp;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Codec, PhonePlan, Voice},
};

use super::{
    call,
    callees::{call_out, callee},
    ends, hear_on, listen, publish_audio, publish_on,
};
use crate::{catalogue::Scenario, live::unless, oracles::Violation, plan::Plan, run::Evidence};

/// Streams that phones speak on, each of its host's name.
const TALKS: [&str; 3] = ["call/prefers", "call/narrow", "call/called"];

/// Phones that speak either, in whatever order they, or the gateway, like.
pub const SPEEX_PUBLISH: Scenario = Scenario {
    name: "sip/speex-publish",
    about: "phones speak Speex in narrow or wide band, as the gateway likes it best, by other numbers than its own; who plays them has all",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        if rng.below(2) == 0 {
            plan.config.sip.codecs.retain(|codec| *codec != sdp::Codec::Wideband);
            plan.config.sip.codecs.push(sdp::Codec::Wideband);
        }
        let mut both = vec![Codec::Narrowband, Codec::Wideband];
        if rng.below(2) == 0 {
            both.reverse();
        }
        let voice = |stream: &str| Some(Voice { stream: stream.to_owned(), epoch: 1 });
        let prefers = PhonePlan {
            dial: "prefers".to_owned(),
            codecs: both.clone(),
            voice: voice(TALKS[0]),
            ..call(500 + rng.below(500), 3_000)
        };
        let narrow = PhonePlan {
            dial: "narrow".to_owned(),
            codecs: vec![Codec::Narrowband],
            voice: voice(TALKS[1]),
            ..call(500 + rng.below(500), 3_000)
        };
        let taken = super::callees::TAKES;
        let called =
            PhonePlan { codecs: both, talk_ms: Some(3_000), ..callee("called", vec![taken]) };
        TALKS.iter().for_each(|stream| hear_on(&mut plan, stream, 12_000));
        plan.phone("prefers", LinkConfig::lan(), prefers);
        plan.phone("narrow", LinkConfig::dsl(), narrow);
        call_out(&mut plan, LinkConfig::lan(), called);
        plan
    },
    check: |evidence| {
        let mut order = evidence.plan.config.sip.codecs.iter();
        let liked = match order.position(|codec| *codec == sdp::Codec::Wideband) {
            Some(2) => Codec::Wideband,
            _ => Codec::Narrowband,
        };
        // Who is called chooses by himself, of what he is offered in the gateway's order.
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let found = phones.zip([liked, Codec::Narrowband, liked]).zip(&evidence.players);
        let found = found.flat_map(|(((phone, report), expected), player)| {
            let host = &phone.host;
            let agreed = unless(report.codec == Some(expected), || {
                format!("{host} speaks {:?}, not {expected:?}", report.codec)
            });
            let (said, has) = (report.spoken.len(), player.received.len());
            let whole = unless(said >= 140 && has == said, || {
                format!("{host} said {said} packets, the player has {has}")
            });
            [ends(host, report, &["hung up"]), agreed, whole]
        });
        found.flatten().collect()
    },
};

/// Phones that hear Speex of either rate.
pub const SPEEX_PLAY: Scenario = Scenario {
    name: "sip/speex-play",
    about: "phones hear Speex as it is published, or without its wide band who cannot take it",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let published = [Codec::Narrowband, Codec::Wideband][rng.below(2) as usize];
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(500, 12_000, published));
        for (host, codecs) in [
            ("narrow", vec![Codec::Narrowband]),
            ("wide", vec![Codec::Pcmu, Codec::Wideband]),
            ("both", vec![Codec::Narrowband, Codec::Wideband, Codec::Pcma]),
        ] {
            let phone = PhonePlan { codecs, ..listen(1_500 + rng.below(1_000), 4_000) };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        super::video::called(&mut plan, None, vec![Codec::Narrowband, Codec::Wideband]);
        plan
    },
    check: |evidence| {
        let is_wide = is_published_wide(&evidence.plan);
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let codecs = [Codec::Narrowband, Codec::Wideband, Codec::Wideband, Codec::Wideband];
        let found = phones.zip(codecs).flat_map(|((phone, report), codec)| {
            let host = &phone.host;
            let agreed = unless(report.codec == Some(codec), || {
                format!("{host} hears {:?}, not {codec:?}", report.codec)
            });
            let lengths = codec.packet_bytes();
            let expected = lengths[if is_wide { lengths.len() - 1 } else { 0 }];
            let other = report.heard.iter().find(|heard| heard.bytes != expected);
            let length = unless(other.is_none(), || {
                format!("{host} heard {other:?}, due are {expected} bytes")
            });
            let heard = report.heard.len();
            let heard =
                unless(heard >= 195, || format!("{host} heard {heard} packets in its call"));
            [ends(host, report, &["hung up"]), agreed, length, heard]
        });
        found.flatten().collect()
    },
};

fn is_published_wide(plan: &Plan) -> bool {
    let source = &plan.publishers[0].plan.source;
    matches!(source, rehearsal_sim::clients::publisher::Source::Generated(media)
        if media.telephone == Some(Codec::Wideband))
}

/// Phones that cannot hear what is there.
pub const SPEEX_REFUSED: Scenario = Scenario {
    name: "sip/speex-refused",
    about: "who cannot hear what is published is refused before it rings; who came before it was there is let go when it is",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let wide = Codec::Wideband;
        plan.publisher("speaks", LinkConfig::lan(), publish_on("live/speex", 1_000, 9_000, wide));
        let g711 = publish_on("live/g711", 1_000, 9_000, Codec::Pcmu);
        plan.publisher("talks", LinkConfig::lan(), g711);
        for (host, dial, codec, start_ms) in [
            ("early", "play-speex", Codec::Pcmu, 0),
            ("pcmu", "play-speex", Codec::Pcmu, 2_000),
            ("speex", "play-g711", Codec::Narrowband, 2_000),
            ("both", "play-g711", Codec::Pcmu, 2_000),
        ] {
            let stream = dial.replace("play-", "live/");
            let codecs = if host == "both" { vec![Codec::Wideband, codec] } else { vec![codec] };
            let phone = PhonePlan {
                dial: dial.to_owned(),
                codecs,
                voice: Some(Voice { stream, epoch: 99 }),
                ..listen(start_ms + rng.below(500), 5_000)
            };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        plan
    },
    check: refusals,
};

fn refusals(evidence: &Evidence) -> Vec<Violation> {
    let phones = evidence.plan.phones.iter().zip(&evidence.phones);
    let expected = ["hung up by the gateway", "rejected with 488", "rejected with 488", "hung up"];
    let found = phones.zip(expected).flat_map(|((phone, report), expected)| {
        let (host, heard) = (&phone.host, report.heard.len());
        let is_heard = host == "both";
        let heard = unless((heard > 240) == is_heard && (heard == 0) != is_heard, || {
            format!("{host} heard {heard} packets")
        });
        let is_refused = expected.starts_with("rejected");
        let rang = unless(!is_refused || report.rang_at.is_none(), || {
            format!("it rang for {host} at {:?}", report.rang_at)
        });
        [ends(host, report, &[expected]), heard, rang]
    });
    found.flatten().collect()
}
