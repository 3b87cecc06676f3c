//! Packets of RTP and RTCP from strangers to every port that calls may have, while calls go on.

use rehearsal_core::rtp::source::Follow;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::stranger::{StrangerPlan, Target},
};

use super::mutate::{self, noise, pick};
use crate::{
    catalogue::Scenario,
    plan::Plan,
    sip::{calls_go_on, calls_went_on},
};

/// Packets of each stranger.
const PACKETS: u64 = 500;
/// Strangers come when each phone was heard at both of its ports: who is first is who is followed, where anyone may be.
const COME_MS: u64 = 8_000;
const PORTS: (u16, u16) = (20_000, 20_011);

/// Makes the packet of a number.
type Packet = fn(&mut Rng, u64) -> Vec<u8>;

/// Strangers who talk like a phone, and those who do not.
pub const RTP: Scenario = Scenario {
    name: "fuzz/rtp",
    about: "strangers send RTP, RTCP and nonsense to all ports of calls; calls go on as without them",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        (plan.config.rtp.first_port, plan.config.rtp.last_port) = PORTS;
        let follow = [Follow::Nobody, Follow::SameIp, Follow::Anyone];
        plan.config.rtp.follow = *pick(&mut Rng::named(seed, "scenario/fuzz/follow"), &follow);
        calls_go_on(&mut plan);
        let kinds: [(&str, Packet); 3] = [("says", audio), ("tells", report), ("babbles", babble)];
        for (host, packet) in kinds {
            let mut rng = Rng::named(seed, &format!("scenario/fuzz/{host}"));
            let begins = rng.next_u64() & 0xffff_ffff;
            let stranger = StrangerPlan {
                start_ms: COME_MS + rng.below(500),
                port: 0,
                target: Target::Ports(PORTS.0, PORTS.1),
                datagrams: (0..PACKETS).map(|index| packet(&mut rng, begins + index)).collect(),
                every_us: *pick(&mut rng, &[1_000, 5_000, 20_000]),
                leave_ms: 25_000,
            };
            plan.stranger(host, LinkConfig::lan(), stranger);
        }
        // Whatever wakes a call has it do what is due within 5 ms, and what is due waits for so long in case something does.
        plan.terms.twin_within_ms = Some(12);
        plan
    },
    check: calls_went_on,
};

/// A stream as phones send it.
fn audio(_: &mut Rng, number: u64) -> Vec<u8> {
    let head = [0x80, 0, (number >> 8) as u8, number as u8];
    let timestamp = (number as u32).wrapping_mul(160).to_be_bytes();
    [&head[..], &timestamp, b"SSRC", &[0x55; 160]].concat()
}

/// A report or a farewell, of anybody about anybody.
fn report(rng: &mut Rng, _: u64) -> Vec<u8> {
    let kind = *pick(rng, &[200, 201, 202, 203, 204, 205, 206]);
    let count = rng.below(4) as u8;
    let words = *pick(rng, &[1, 6, 7, 12, 60]);
    let mut bytes = vec![0x80 | count, kind, 0, words];
    bytes.extend(noise(rng, 4 * usize::from(words)));
    if rng.below(3) == 0 {
        mutate::bytes(rng, &mut bytes);
    }
    bytes
}

/// Audio with mistakes, or noise of any length.
fn babble(rng: &mut Rng, number: u64) -> Vec<u8> {
    match rng.below(3) {
        0 => {
            let count = *pick(rng, &[0, 1, 11, 12, 13, 200, 3_000]);
            noise(rng, count)
        }
        1 => {
            let mut bytes = audio(rng, number);
            // Padding, extensions, contributors, and other types.
            bytes[0] = 0x80 | rng.below(64) as u8;
            bytes[1] = rng.below(256) as u8;
            bytes
        }
        _ => {
            let mut bytes = audio(rng, number);
            mutate::bytes(rng, &mut bytes);
            bytes
        }
    }
}
