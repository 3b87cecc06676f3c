//! Thousands of players of one stream.

use rehearsal_sim::{LinkConfig, clients::media::MediaPlan};

use super::{play, publish, unless};
use crate::{
    catalogue::Scenario,
    plan::{Crowd, Plan, Protocol},
};

const PLAYERS: usize = 7_500;
/// All of them come within this.
const RAMP_MS: u64 = 5_000;
/// The publisher goes then.
const END_MS: u64 = 16_000;

/// A stream of 200 kbit/s and 7,500 players.
pub const CROWD: Scenario = Scenario {
    name: "live/crowd-7500",
    about: "7,500 players of one stream, over RTMP and HTTP-FLV, get every frame",
    parity: false,
    heavy: true,
    plan: |_| {
        let mut plan = Plan::empty();
        let media = MediaPlan { keyframe_bytes: 4_700, audio_bytes: 0, ..MediaPlan::default() };
        plan.publisher("publisher", LinkConfig::lan(), publish(END_MS, media));
        let shares = [("players", Protocol::Rtmp, 4), ("viewers", Protocol::HttpFlv, 1)];
        for (host, protocol, share) in shares {
            let count = PLAYERS * share / 5;
            plan.crowds.push(Crowd {
                host: host.to_owned(),
                link: LinkConfig::datacentre().with_rate_bps(0).with_delay_ms(20),
                protocol,
                count,
                every_us: RAMP_MS * 1_000 / count as u64,
                plan: play(500, END_MS + 3_000),
            });
        }
        plan
    },
    check: |evidence| {
        let sent = evidence.publishers[0].sent.last().map(|last| last.hash);
        let members = evidence.crowds.iter().flatten();
        let mut wrong = members.filter(|member| {
            member.gaps > 0
                || !member.violations.is_empty()
                || member.last.map(|last| last.hash) != sent
                || member.frames < (END_MS - RAMP_MS) / 40
        });
        let first = wrong.next();
        let told =
            first.map(|first| format!("one of {} that fared badly: {first:?}", 1 + wrong.count()));
        told.into_iter().filter_map(|what| unless(false, || what)).collect()
    },
};
