//! A run with pictures of phones in which just one thing is broken.

use rehearsal_sim::{
    LinkConfig,
    clients::{
        media::MediaPlan,
        phone::{Asked, Broken, Codec, PhonePlan, Sets, Shows, Video, Voice},
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::PlayPlan,
    },
};

use super::*;

const SHOWS: usize = 0;
const WATCHES: usize = 1;
const LOSSY: usize = 2;

/// One who shows something, one who watches, and asks for a keyframe, and one on a bad line.
static PICTURES: Scenario = Scenario {
    name: "oracles/pictures",
    about: "",
    parity: false,
    heavy: false,
    plan: |_| {
        let mut plan = Plan::empty();
        let shows = Shows {
            frame_ms: 40,
            gop_frames: 20,
            slices: 2,
            slice_bytes: 1_500,
            payload_bytes: 1_000,
            aggregates: true,
            is_adorned: true,
            sets: Sets::InBand,
            obeys: true,
        };
        let video = Video { shows: Some(shows), tells_by_rtcp: true, ..Video::default() };
        let of = |dial: &str, stream: &str, video: Video| PhonePlan {
            start_ms: 1_500,
            dial: dial.to_owned(),
            voice: Some(Voice { stream: stream.to_owned(), epoch: 1 }),
            video: Some(video),
            talk_ms: Some(8_000),
            leave_ms: 100_000,
            ..PhonePlan::default()
        };
        let asks = Video { tells_by_rtcp: true, asks_ms: vec![2_300], ..Video::default() };
        plan.phone("shows", LinkConfig::lan(), of("talk", "call/talk", video.clone()));
        let watches = of("play-x", "live/x", asks);
        let voice = Some(Voice { stream: "live/x".to_owned(), epoch: 99 });
        plan.phone("watches", LinkConfig::lan(), PhonePlan { voice, ..watches });
        let mut link = LinkConfig::lan();
        link.up.loss_ppm = 20_000;
        plan.phone("lossy", link, of("lossy", "call/lossy", video));
        let media = MediaPlan {
            gop_frames: 50,
            b_frames: 0,
            telephone: Some(Codec::Pcmu),
            ..MediaPlan::default()
        };
        let publish = PublishPlan {
            stream: "live/x".to_owned(),
            epoch: 1,
            start_ms: 0,
            source: Source::Generated(media),
            duration_ms: 15_000,
            leave: Leave::Orderly,
            digest: false,
        };
        plan.publisher("publisher", LinkConfig::lan(), publish);
        for stream in ["talk", "lossy"] {
            let play = PlayPlan {
                stream: format!("call/{stream}"),
                start_ms: 0,
                leave_ms: 20_000,
                stall: None,
                pause: None,
            };
            plan.player(&format!("hears-{stream}"), LinkConfig::lan(), Protocol::Rtmp, play);
        }
        plan
    },
    check: |_| Vec::new(),
};

const O2: &str = "O2 decodable start";

/// Where in what a player has the picture of number `index` is.
fn place(seen: &Evidence, player: usize, index: u32) -> usize {
    let mut received = seen.players[player].received.iter();
    let is_it = |it: &Logged| {
        matches!(it.kind, Kind::Keyframe | Kind::Inter)
            && it.stamp.is_some_and(|stamp| stamp.index == index)
    };
    received.position(is_it).expect("the player has it")
}

/// The first picture of the phone on the bad line that its player lacks.
fn spoilt(seen: &Evidence) -> u32 {
    let has = |index: u32| {
        seen.players[1]
            .received
            .iter()
            .any(|it| it.kind != Kind::Audio && it.stamp.is_some_and(|stamp| stamp.index == index))
    };
    (0..).find(|index| !has(*index)).expect("one is lost")
}

/// What is broken in [`PICTURES`], and how.
pub(super) const PLANTED_PICTURES: &[Planted] = &[
    (O2, "a keyframe comes without parameter sets", &PICTURES, |seen| {
        let pictures = &mut seen.phones[WATCHES].pictures.seen;
        pictures.iter_mut().filter(|it| it.is_key).nth(1).unwrap().sets = None;
    }),
    (O2, "the first picture is no keyframe", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.seen.remove(0);
    }),
    (O2, "a picture is missing", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.seen.remove(20);
    }),
    (O19, "a number of pictures is missing", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.came[20].sequence += 1;
    }),
    (O19, "the source of pictures changes", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.came[20].ssrc ^= 1;
    }),
    (O19, "a picture ends without a mark", &PICTURES, |seen| {
        let came = &mut seen.phones[WATCHES].pictures.came;
        came.iter_mut().filter(|it| it.marker).nth(5).unwrap().marker = false;
    }),
    (O19, "pictures come by another number", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.came[20].payload_type = 99;
    }),
    (O19, "a picture comes in parts that do not fit", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.seen[20].broken = Some(Broken::Parts);
    }),
    (O19, "a picture is of another time", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.seen[20].timestamp += 90;
    }),
    (O19, "a picture comes late", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.seen[20].at += 500 * MS;
    }),
    (O19, "pictures begin late", &PICTURES, |seen| {
        let pictures = &mut seen.phones[WATCHES].pictures.seen;
        pictures.retain(|it| it.at > 5_000 * MS);
    }),
    (O19, "more pictures are told of than were sent", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.sender_reports[0].packets += 100;
    }),
    (O19, "a report tells of a loss of pictures that was none", &PICTURES, |seen| {
        seen.phones[SHOWS].pictures.reports.last_mut().unwrap().lost += 1;
    }),
    (O19, "a report is about pictures that the phone has not shown", &PICTURES, |seen| {
        seen.phones[SHOWS].pictures.reports[0].about += 1;
    }),
    (O19, "a report tells of too small a share of pictures that are lost", &PICTURES, |seen| {
        seen.phones[SHOWS].pictures.reports[0].fraction_lost += 50;
    }),
    (O19, "who asks for a keyframe is told nothing", &PICTURES, |seen| {
        let asked = seen.phones[WATCHES].pictures.asks[0].0;
        let pictures = &mut seen.phones[WATCHES].pictures.seen;
        pictures.iter_mut().filter(|it| it.at > asked).for_each(|it| it.sets = None);
    }),
    (O19, "who has not asked for a keyframe is told something", &PICTURES, |seen| {
        seen.phones[WATCHES].pictures.asks.clear();
    }),
    (O19, "a picture that was shown is not there", &PICTURES, |seen| {
        let place = place(seen, 0, 20);
        seen.players[0].received.remove(place);
    }),
    (O19, "a picture that was not shown is there", &PICTURES, |seen| {
        let place = place(seen, 0, 20);
        seen.players[0].received[place].stamp.as_mut().unwrap().index = 5_000;
    }),
    (O19, "a picture is there as a keyframe", &PICTURES, |seen| {
        let place = place(seen, 0, 25);
        seen.players[0].received[place].kind = Kind::Keyframe;
    }),
    (O19, "a picture is there late", &PICTURES, |seen| {
        let place = place(seen, 0, 20);
        seen.players[0].received[place].at += 500 * MS;
    }),
    (O19, "a picture is there of which something was lost", &PICTURES, |seen| {
        let index = spoilt(seen);
        let place = place(seen, 1, index - 1);
        let mut other = seen.players[1].received[place];
        other.stamp.as_mut().unwrap().index = index;
        seen.players[1].received.insert(place + 1, other);
    }),
    (O19, "pictures are ahead of what is said", &PICTURES, |seen| {
        let received = seen.players[0].received.iter_mut();
        received.filter(|it| it.kind == Kind::Audio).for_each(|it| it.timestamp_ms += 300);
    }),
    (O19, "nobody asks for a keyframe", &PICTURES, |seen| {
        seen.phones[LOSSY].pictures.asked.clear();
    }),
    (O19, "a keyframe is asked for without need", &PICTURES, |seen| {
        let asked = Asked { at: 4_000 * MS, by_rtcp: true };
        seen.phones[SHOWS].pictures.asked.push(asked);
    }),
    (O19, "a keyframe is asked for in another way", &PICTURES, |seen| {
        seen.phones[LOSSY].pictures.asked[0].by_rtcp = false;
    }),
    (O19, "keyframes are asked for too often", &PICTURES, |seen| {
        let mut asked = seen.phones[LOSSY].pictures.asked[0];
        asked.at += 1_000 * MS;
        seen.phones[LOSSY].pictures.asked.insert(1, asked);
    }),
];
