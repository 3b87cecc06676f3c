//! Family fuzz: sessions as clients have them, made wrong by the seed, beside a healthy stream that does not notice.
//!
//! Sessions over TCP: each input comes three times, one after the other, in other segments each time: as it is, cut at random, and a byte at a
//! time. That the outcome is the same, that ends come when due, and that what is answered is well formed, is for
//! O24 (`oracles/raw_clients.rs`) to judge; that the others fare as without it, for O7. Datagrams of SIP and RTP come from
//! strangers while calls go on.

mod flood;
mod http;
mod mutate;
mod rtmp;
mod rtp;
mod sip;

pub use flood::SIP_FLOOD;
pub use rtp::RTP;
pub use sip::SIP;

use rehearsal_core::config::Config;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{media::MediaPlan, raw::RawPlan},
};

use crate::{
    catalogue::Scenario,
    live::{play, publish, unless},
    oracles::Violation,
    plan::{Listener, Plan, Protocol},
    run::Evidence,
    wire::cut,
};

/// Names of inputs, and of the streams that they publish; no small change makes one of another.
const NAMES: [&str; 4] = ["alfa", "kilo", "romeo", "zulu"];
/// One segmentation of an input comes so long after the other: every deadline is over by then.
const TURN_MS: u64 = 9_000;
/// The healthy ones are there so long.
const HEALTHY_MS: u64 = 30_000;

/// Sessions of publishers and players.
pub const RTMP: Scenario = Scenario {
    name: "fuzz/rtmp",
    about: "mutated RTMP sessions have one outcome in every segmentation and disturb nobody",
    parity: false,
    heavy: false,
    plan: |seed| plan(seed, Listener::Rtmp, rtmp::input),
    check: everything_came,
};

/// Requests, some after others.
pub const HTTP: Scenario = Scenario {
    name: "fuzz/http",
    about: "mutated HTTP requests have one outcome in every segmentation and disturb nobody",
    parity: false,
    heavy: false,
    plan: |seed| plan(seed, Listener::Http, http::input),
    check: everything_came,
};

/// Deadlines of a second or two, far enough apart to be told one from the other.
fn deadlines() -> Config {
    let mut config = Config::default();
    config.rtmp.handshake_ms = 1_200;
    config.rtmp.command_ms = 1_600;
    config.rtmp.idle_ms = 1_300;
    config.rtmp.publisher_silence_ms = 2_000;
    config.rtmp.ping_ms = 1_800;
    config.rtmp.ping_timeout_ms = 900;
    config.http.head_ms = 1_500;
    config.http.wait_publisher_ms = 700;
    config.http.idle_ms = 1_100;
    config
}

/// Inputs of one protocol, each made by `input` for the stream with its name.
fn plan(seed: u64, listener: Listener, input: fn(&mut Rng, &str) -> Vec<u8>) -> Plan {
    let mut rng = Rng::named(seed, "scenario/fuzz");
    let mut plan = Plan::empty();
    plan.config = deadlines();
    // Little, because inputs that play it have it a byte at a time.
    let media = MediaPlan { keyframe_bytes: 1_000, audio_bytes: 60, ..MediaPlan::default() };
    plan.publisher("publisher", LinkConfig::lan(), publish(HEALTHY_MS, media));
    plan.player("player", LinkConfig::lan(), Protocol::Rtmp, play(0, HEALTHY_MS + 4_000));
    plan.player("viewer", LinkConfig::dsl(), Protocol::HttpFlv, play(0, HEALTHY_MS + 4_000));
    for name in NAMES {
        let bytes = input(&mut rng, name);
        let half_close = rng.below(4) == 0;
        let start_ms = 1_000 + rng.below(400);
        let lengths: Vec<usize> = (0..8).map(|_| 1 + rng.below(1_200) as usize).collect();
        // Without jitter packets of a byte would share their fate and arrive as one.
        let jittery = LinkConfig::lan().with(|direction| direction.jitter_ns = 1_000);
        let forms = [
            ("whole", LinkConfig::lan(), vec![bytes.clone()], 0),
            ("cut", LinkConfig::lan(), cut(&bytes, &lengths), 1 + rng.below(4)),
            ("bytes", jittery.with_mtu_bytes(41), vec![bytes.clone()], 0),
        ];
        for ((form, link, pieces, pause_ms), turn) in forms.into_iter().zip(0..) {
            let host = format!("{name}-{form}");
            let raw = RawPlan {
                start_ms: start_ms + turn * TURN_MS,
                pieces,
                pause_ms,
                half_close,
                read_from_ms: 0,
                leave_ms: HEALTHY_MS + 10_000,
            };
            plan.raw_client(&host, link, listener, raw);
            plan.terms.faulty.push(host);
        }
    }
    plan.terms.twin_within_ms = Some(2);
    plan
}

/// The healthy ones have everything.
fn everything_came(evidence: &Evidence) -> Vec<Violation> {
    let sent = evidence.publishers[0].sent.len();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let lacking = players.filter_map(|(player, report)| {
        unless(report.received.len() == sent, || {
            format!("{} has {} messages of {sent}", player.host, report.received.len())
        })
    });
    lacking.collect()
}
