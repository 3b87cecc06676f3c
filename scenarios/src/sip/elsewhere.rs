//! Phones that want their media sent to addresses other than their own: to who wants it, and to who has never heard of them.

use std::net::{IpAddr, Ipv4Addr};

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Codec, Direction, PhonePlan},
        stranger::{StrangerPlan, Target},
    },
};

use super::{ends, listen, publish_audio};
use crate::{catalogue::Scenario, live::unless, plan::Plan, run::Evidence};

/// How long media goes where nothing is heard from.
const UNHEARD_MS: u64 = 3_000;
/// How long it goes on where something was.
const SILENCE_MS: u64 = 8_000;
/// How long phones want to hear something, and for how much of that the one whose media goes elsewhere reports it.
const TALK_MS: u64 = 30_000;
const REPORTS_MS: u64 = 14_000;
const REPORT_EVERY_MS: u64 = 2_000;
/// Where phones have their media, and the gateway.
const PHONES_PORT: u16 = 40_000;
const PORTS: (u16, u16) = (20_000, 20_005);
/// Bytes of a packet of audio.
const PACKET_BYTES: usize = 12 + 160;

/// Who is there where the phones say they are.
const PLACES: [&str; 3] = ["knows-nothing", "answers-nonsense", "listens"];

/// Media for others.
pub const ELSEWHERE: Scenario = Scenario {
    name: "sip/elsewhere",
    about: "phones want media sent to others: who does not answer, or with nonsense, is sent no more of it soon, and who reports it is",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.unheard_ms = UNHEARD_MS;
        plan.config.rtp.silence_ms = SILENCE_MS;
        (plan.config.rtp.first_port, plan.config.rtp.last_port) = PORTS;
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 35_000, Codec::Pcmu));
        let start_ms = 500 + rng.below(500);
        // The gateway, the publisher and the phones are at the addresses before.
        let first = 3 + PLACES.len() as u8;
        for (place, host) in (first..).zip(PLACES) {
            let phone = PhonePlan {
                voice: None,
                direction: Direction::RecvOnly,
                hears_at: Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, place))),
                ..listen(start_ms, TALK_MS)
            };
            plan.phone(&format!("says-{host}"), LinkConfig::lan(), phone);
        }
        for host in PLACES {
            let datagram = match host {
                "listens" => Some(report()),
                "answers-nonsense" => Some(vec![0x80, 127, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1]),
                _ => None,
            };
            let count = (REPORTS_MS / REPORT_EVERY_MS) as usize;
            let stranger = StrangerPlan {
                start_ms,
                port: PHONES_PORT,
                target: Target::Ports(PORTS.0, PORTS.1),
                datagrams: datagram.map_or(Vec::new(), |datagram| vec![datagram; count]),
                every_us: REPORT_EVERY_MS * 1_000,
                leave_ms: 60_000,
            };
            plan.stranger(host, LinkConfig::lan(), stranger);
        }
        plan
    },
    check: |evidence| {
        let packets = |ms: u64| (ms / 20) as usize;
        let soon = packets(UNHEARD_MS);
        // The last report comes one turn before the end of them.
        let later = packets(REPORTS_MS - REPORT_EVERY_MS + SILENCE_MS);
        let expected = [soon, soon, later];
        let sent = PLACES.iter().zip(&evidence.strangers).zip(expected);
        let sent = sent.filter_map(|((host, report), expected)| {
            let bytes: usize = report.received.iter().map(|(_, _, bytes)| bytes.len()).sum();
            // The first may wait for the call to be confirmed, and reports are sent besides.
            let allowed = (expected - 10) * PACKET_BYTES..(expected + 10) * PACKET_BYTES;
            unless(allowed.contains(&bytes), || {
                format!("{host} was sent {bytes} bytes, which should be {allowed:?}")
            })
        });
        sent.chain(over(evidence)).collect()
    },
};

/// All phones hang up by themselves.
fn over(evidence: &Evidence) -> impl Iterator<Item = crate::oracles::Violation> {
    let phones = evidence.plan.phones.iter().zip(&evidence.phones);
    phones.filter_map(|(phone, report)| ends(&phone.host, report, &["hung up"]))
}

/// A receiver report about nobody.
fn report() -> Vec<u8> {
    [&[0x80, 201, 0, 1][..], b"SSRC"].concat()
}
