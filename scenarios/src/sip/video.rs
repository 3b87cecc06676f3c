//! Calls with pictures: shown, watched, lost on their way, held, and refused by either end.

use std::time::Duration;

use rehearsal_core::{config::Route, sdp};
use rehearsal_sim::{
    Direction, LinkConfig, Rng,
    clients::{
        media::MediaPlan,
        phone::{Change, Codec, PhonePlan, PhoneReport, Sets, Shows, Video, Voice},
        publisher::{PublishPlan, Source},
        verify::Kind,
    },
};

use super::{
    HEARD, call, call_by_name, ends, hear, hear_on, listen, publish_audio,
    registered::{TAKES, registered, registers},
};
use crate::{catalogue::Scenario, live::unless, oracles::Violation, plan::Plan, run::Evidence};

/// Least time between requests for a keyframe, where many are due.
const REQUEST_MS: u64 = 1_000;

/// Whoever is called registers when pictures are published, and is offered them.
const REGISTERS_MS: u64 = 1_500;

/// Pictures of a phone, of a shape that `rng` draws; `sets` are told in any way if no line loses them.
pub(crate) fn shows(rng: &mut Rng, is_lossy: bool) -> Shows {
    let sets = [Sets::InBand, Sets::Described, Sets::Changing][rng.below(3) as usize];
    let sets = if is_lossy && sets == Sets::Changing { Sets::InBand } else { sets };
    Shows {
        frame_ms: [33, 40, 66][rng.below(3) as usize],
        gop_frames: rng.range(5..=40) as u32,
        slices: rng.range(1..=4) as u8,
        slice_bytes: rng.range(60..=6_000) as usize,
        payload_bytes: [300, 1_100][rng.below(2) as usize],
        aggregates: rng.below(2) == 0,
        is_adorned: rng.below(2) == 0,
        sets,
        obeys: rng.below(3) > 0,
    }
}

/// The same with how it tells of lost pictures.
pub(crate) fn video(rng: &mut Rng, is_lossy: bool) -> Video {
    let shows = Some(shows(rng, is_lossy));
    Video { shows, tells_by_rtcp: rng.below(2) == 0, ..Video::default() }
}

/// Somebody who publishes audio of telephony and pictures on [`HEARD`].
fn publish_pictures(rng: &mut Rng, duration_ms: u64) -> PublishPlan {
    with_pictures(rng, publish_audio(0, duration_ms, Codec::Pcmu))
}

/// The same publish of generated media with pictures.
pub(crate) fn with_pictures(rng: &mut Rng, publish: PublishPlan) -> PublishPlan {
    let Source::Generated(audio) = &publish.source else { return publish };
    let media = MediaPlan {
        gop_frames: rng.range(10..=30) as u32,
        b_frames: [0, 2][rng.below(2) as usize],
        keyframe_bytes: rng.range(200..=20_000) as usize,
        header_every_gops: [0, 2][rng.below(2) as usize],
        ..audio.clone()
    };
    PublishPlan { source: Source::Generated(media), ..publish }
}

/// Somebody who registers as `called`, with `video`, and is called to see and hear [`HEARD`] in one of `codecs`.
pub(super) fn called(plan: &mut Plan, video: Option<Video>, codecs: Vec<Codec>) {
    let phone = PhonePlan {
        start_ms: REGISTERS_MS,
        video,
        codecs,
        voice: Some(Voice { stream: HEARD.to_owned(), epoch: 99 }),
        ..registered(registers("called", 20_000), vec![TAKES])
    };
    plan.phone("called", LinkConfig::dsl(), phone);
    let call = call_by_name(plan, "called");
    (call.publish, call.play) = (None, Some(HEARD.to_owned()));
}

/// How many pictures a player has.
fn pictures(evidence: &Evidence, player: usize) -> usize {
    let received = evidence.players[player].received.iter();
    received.filter(|seen| matches!(seen.kind, Kind::Keyframe | Kind::Inter)).count()
}

/// How many whole pictures a phone has seen.
fn seen(report: &PhoneReport) -> usize {
    report.pictures.seen.iter().filter(|seen| seen.broken.is_none()).count()
}

/// Phones that show something.
pub const VIDEO_PUBLISH: Scenario = Scenario {
    name: "sip/video-publish",
    about: "phones show H.264 in packets of every kind, with parameter sets in band or described; who plays them has each picture",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        for (host, link) in [("one", LinkConfig::lan()), ("other", LinkConfig::dsl())] {
            let stream = format!("call/{host}");
            hear_on(&mut plan, &stream, 15_000);
            let phone = PhonePlan {
                dial: host.to_owned(),
                voice: Some(Voice { stream, epoch: 1 }),
                video: Some(video(&mut rng, false)),
                ..call(500 + rng.below(500), 5_000)
            };
            plan.phone(host, link, phone);
        }
        // Pictures of several slices, as no publisher has them.
        let route =
            Route { dial: "watch-*".to_owned(), publish: None, play: Some("call/*".to_owned()) };
        plan.config.sip.routes.insert(0, route);
        let video = Some(Video { tells_by_rtcp: true, ..Video::default() });
        let watches =
            PhonePlan { dial: "watch-one".to_owned(), voice: None, video, ..call(1_500, 3_000) };
        plan.phone("watches", LinkConfig::lan(), watches);
        plan
    },
    check: |evidence| {
        let watches = &evidence.phones[2];
        let saw = seen(watches);
        let saw = unless(saw >= 40, || format!("watches saw {saw} pictures of one"));
        let over = ends("watches", watches, &["hung up"]);
        let phones = evidence.plan.phones.iter().zip(&evidence.phones).take(2).enumerate();
        let found = phones.flat_map(|(index, (phone, report))| {
            let (host, shown, has) =
                (&phone.host, report.pictures.shown.len(), pictures(evidence, index));
            let frame_ms =
                phone.plan.video.as_ref().and_then(|it| Some(it.shows.as_ref()?.frame_ms));
            let due = 4_900 / frame_ms.unwrap_or(1) as usize;
            // What is on its way when it hangs up may come too late.
            let whole = unless(shown >= due && (shown - 2..=shown).contains(&has), || {
                format!("{host} showed {shown} pictures of {due}, the player has {has}")
            });
            let asked = &report.pictures.asked;
            let asked = unless(asked.is_empty(), || format!("{host} was asked: {asked:?}"));
            [ends(host, report, &["hung up"]), whole, asked]
        });
        found.flatten().chain(over).chain(saw).collect()
    },
};

/// Phones that see a stream: some that call, of which one takes NAL units whole alone, and one that is called.
pub const VIDEO_PLAY: Scenario = Scenario {
    name: "sip/video-play",
    about: "phones see a stream from its newest keyframe on, in parts or whole, and are told once more what it is coded with when they ask for a keyframe",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_pictures(&mut rng, 12_000));
        for (host, tells_by_rtcp) in [("rtcp", true), ("info", false), ("whole", true)] {
            let asks_ms = vec![1_500 + rng.below(1_000), 4_000 + rng.below(500)];
            let whole_units = host == "whole";
            let video = Some(Video { tells_by_rtcp, whole_units, asks_ms, ..Video::default() });
            let phone = PhonePlan { video, ..listen(1_000 + rng.below(1_500), 6_000) };
            plan.phone(host, LinkConfig::lan(), phone);
        }
        let video = Some(Video { tells_by_rtcp: rng.below(2) == 0, ..Video::default() });
        called(&mut plan, video, vec![Codec::Pcmu]);
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let found = phones.flat_map(|(phone, report)| {
            let (host, seen, heard) = (&phone.host, seen(report), report.heard.len());
            let saw = unless(seen >= 140 && heard >= 290, || {
                format!("{host} saw {seen} pictures, and heard {heard} packets")
            });
            let asks = report.pictures.asks.len();
            let due = phone.plan.video.as_ref().map_or(0, |video| video.asks_ms.len());
            let asked = unless(asks == due, || format!("{host} asked {asks} times for a keyframe"));
            [ends(host, report, &["hung up"]), saw, asked]
        });
        found.flatten().collect()
    },
};

/// Pictures that are lost on the way to the gateway, and on the way from it.
pub const VIDEO_LOSS: Scenario = Scenario {
    name: "sip/video-loss",
    about: "a picture of which anything is lost is not passed on, nor what refers to it; the phone is asked for a keyframe, by RTCP or INFO",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.keyframe_request_ms = REQUEST_MS;
        for host in ["one", "other"] {
            let stream = format!("call/{host}");
            hear_on(&mut plan, &stream, 25_000);
            let shows = Shows { gop_frames: 20, ..shows(&mut rng, true) };
            let tells_by_rtcp = host == "one";
            let video = Video { shows: Some(shows), tells_by_rtcp, ..Video::default() };
            let phone = PhonePlan {
                dial: host.to_owned(),
                voice: Some(Voice { stream, epoch: 1 }),
                video: Some(video),
                ..call(500 + rng.below(500), 15_000)
            };
            let loss_ppm = [5_000, 10_000, 30_000][rng.below(3) as usize];
            let mut link = LinkConfig::lan();
            link.up = Direction { loss_ppm, ..link.up };
            plan.phone(host, link, phone);
        }
        plan.publisher("publisher", LinkConfig::lan(), publish_pictures(&mut rng, 20_000));
        let mut link = LinkConfig::lan();
        link.down = Direction { loss_ppm: 10_000, ..link.down };
        let video = Some(Video { tells_by_rtcp: true, ..Video::default() });
        plan.phone("watches", link, PhonePlan { video, ..listen(1_000, 12_000) });
        // INVITE and BYE may be lost, and are said again.
        plan.terms.slack_ms = 1_000;
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones).take(2).enumerate();
        let found = phones.flat_map(|(index, (phone, report))| {
            let (host, shown, has) =
                (&phone.host, report.pictures.shown.len(), pictures(evidence, index));
            let some = unless(has <= shown, || {
                format!("{host} showed {shown} pictures, the player has {has}")
            });
            let asked = report.pictures.asked.len();
            // Two may be on their way when it hangs up.
            let is_due = has + 2 < shown;
            let asked = unless(asked <= 17 && (asked > 0 || !is_due), || {
                format!(
                    "{host} was asked {asked} times for a keyframe, the player has {has} of {shown}"
                )
            });
            [ends(host, report, &["hung up"]), some, asked]
        });
        found.flatten().collect()
    },
};

/// Phones that have no pictures, or whose gateway has none.
fn refused(plan: &mut Plan, rng: &mut Rng) {
    plan.publisher("publisher", LinkConfig::lan(), publish_pictures(rng, 15_000));
    let shows = PhonePlan { video: Some(video(rng, false)), ..call(1_000 + rng.below(500), 6_000) };
    plan.phone("shows", LinkConfig::lan(), shows);
    called(plan, None, vec![Codec::Pcmu]);
    hear(plan, 15_000);
}

fn was_refused(evidence: &Evidence, has_pictures: bool) -> Vec<Violation> {
    let [shows, called] = [0, 1].map(|index| &evidence.phones[index]);
    let (said, has) = (shows.spoken.len(), evidence.players[0].received.len());
    let (shown, has_shown) = (shows.pictures.shown.len(), pictures(evidence, 0));
    let is_shown = unless((shown > 0) == has_pictures && (has_shown > 0) == has_pictures, || {
        format!("{shown} pictures were shown, the player has {has_shown}")
    });
    let whole = unless(said >= 290 && (has_pictures || has == said), || {
        format!("{said} packets were said, the player has {has} messages")
    });
    let (heard, seen) = (called.heard.len(), called.pictures.came.len());
    let heard = unless(heard >= 290 && seen == 0, || {
        format!("called heard {heard} packets, and {seen} of pictures came")
    });
    let over = [ends("shows", shows, &["hung up"]), ends("called", called, &["hung up"])];
    over.into_iter().chain([is_shown, whole, heard]).flatten().collect()
}

/// A phone that is offered pictures and takes none.
pub const VIDEO_REFUSED: Scenario = Scenario {
    name: "sip/video-refused",
    about: "a phone that is called refuses pictures by port 0 and hears the stream; another one's pictures go on meanwhile",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        refused(&mut plan, &mut Rng::named(seed, "scenario/sip"));
        plan
    },
    check: |evidence| was_refused(evidence, true),
};

/// A gateway that takes no pictures.
pub const VIDEO_UNWANTED: Scenario = Scenario {
    name: "sip/video-unwanted",
    about: "a gateway without H.264 refuses pictures by port 0, and audio goes on",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        plan.config.sip.codecs.retain(|codec| *codec != sdp::Codec::H264);
        refused(&mut plan, &mut Rng::named(seed, "scenario/sip"));
        plan
    },
    check: |evidence| was_refused(evidence, false),
};

/// When the phones of [`VIDEO_HOLD`] change who speaks and shows, after the answer.
const HOLD_MS: [u64; 4] = [1_500, 4_000, 6_000, 8_000];

/// Phones that hold their calls.
pub const VIDEO_HOLD: Scenario = Scenario {
    name: "sip/video-hold",
    about: "who holds a call sees nothing and is not seen, and both go on by a keyframe",
    parity: false,
    heavy: false,
    plan: |seed| {
        use rehearsal_sim::clients::phone::Direction;
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_pictures(&mut rng, 15_000));
        let directions =
            [Direction::Inactive, Direction::SendRecv, Direction::SendOnly, Direction::SendRecv];
        let changes = HOLD_MS.into_iter().zip(directions);
        let changes: Vec<Change> =
            changes.map(|(at_ms, direction)| Change { at_ms, direction }).collect();
        let watching = Some(Video { tells_by_rtcp: true, ..Video::default() });
        let watches = PhonePlan {
            video: watching,
            changes: changes.clone(),
            ..listen(500 + rng.below(500), 10_000)
        };
        // Parameter sets that come only once may be among what is left out.
        let showing = Some(video(&mut rng, true));
        let shows = PhonePlan { video: showing, changes, ..call(500 + rng.below(500), 10_000) };
        plan.phone("watches", LinkConfig::lan(), watches);
        plan.phone("shows", LinkConfig::lan(), shows);
        hear(&mut plan, 20_000);
        plan
    },
    check: |evidence| {
        let [watches, shows] = [0, 1].map(|index| &evidence.phones[index]);
        let over = [ends("watches", watches, &["hung up"]), ends("shows", shows, &["hung up"])];
        over.into_iter().flatten().chain(held(evidence)).collect()
    },
};

/// Pictures were there where they were agreed on, and only there.
fn held(evidence: &Evidence) -> Vec<Violation> {
    let soon = Duration::from_millis(200);
    let [watches, shows] = [0, 1].map(|index| &evidence.phones[index]);
    let mut found = Vec::new();
    for (host, report) in [("watches", watches), ("shows", shows)] {
        let changes = report.pictures.agreed.len();
        // The end is one, too.
        found.extend(unless(changes == 6, || format!("{host} changed {changes} times")));
    }
    let spans = |report: &PhoneReport| {
        let agreed = report.pictures.agreed.clone().into_iter();
        let ends = report.pictures.agreed.iter().skip(1).map(|(at, ..)| *at);
        let spans =
            agreed.zip(ends).map(|((from, shows, sees), to)| (from + soon..to, shows, sees));
        spans.collect::<Vec<_>>()
    };
    for (span, _, sees) in spans(watches) {
        let came = watches.pictures.seen.iter().filter(|seen| span.contains(&seen.at)).count();
        found.extend(unless((came > 0) == sees, || format!("{came} pictures came in {span:?}")));
    }
    for (span, shows, _) in spans(shows) {
        let received = evidence.players[0].received.iter();
        let has = received.filter(|it| it.kind != Kind::Audio && span.contains(&it.at)).count();
        found.extend(unless((has > 0) == shows, || format!("{has} pictures are of {span:?}")));
    }
    found
}
