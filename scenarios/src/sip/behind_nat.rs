//! Phones behind NATs in front of private networks, seen from one that is private as well: what they say of themselves in Via,
//! Contact and SDP is where nobody can reach them from there.

use std::net::{IpAddr, Ipv4Addr};

use rehearsal_core::rtp::source::Follow;
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{Change, Codec, Direction, PhonePlan, Voice, Way},
};

use super::{
    HEARD, call, calm_ms, ends, hear_on, listen, publish_audio,
    registered::{TAKES, call_by_name, of, registered, registers},
};
use crate::{
    catalogue::Scenario, fault::Lever, live::unless, oracles::Violation, plan::Plan, run::Evidence,
};

/// A call of which nothing is heard for so long is hung up.
const SILENCE_MS: u64 = 6_000;
/// The addresses that phones say: each network has its own, which others have as well.
const SAYS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(192, 168, 1, 7), Ipv4Addr::new(172, 16, 3, 4), Ipv4Addr::new(100, 64, 0, 9)];

/// Phones that call and are called, those that are hung up on, and those that only listen.
pub const PRIVATE_ADDRESSES: Scenario = Scenario {
    name: "sip/private-addresses",
    about: "phones say addresses of private networks that are not where they are seen: calls work both ways, and end from both ends",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = SILENCE_MS;
        // NATs that change ports leave no way to phones that are to be heard from where they said alone.
        let changes_ports = rng.below(2) == 0;
        plan.config.rtp.follow = if changes_ports { Follow::SameIp } else { Follow::Nobody };
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 40_000, Codec::Pcmu));
        let voice = |host: &str| Some(Voice { stream: format!("call/{host}"), epoch: 1 });
        let holds = vec![
            Change { at_ms: 2_000, direction: Direction::Inactive },
            Change { at_ms: 3_500, direction: Direction::SendRecv },
        ];
        let talks = PhonePlan {
            dial: "talks".to_owned(),
            voice: voice("talks"),
            changes: holds,
            ..call(500, 9_000)
        };
        let listens =
            PhonePlan { voice: None, direction: Direction::RecvOnly, ..listen(500, 9_000) };
        let listens = if changes_ports { listen(500, 9_000) } else { listens };
        let silent =
            PhonePlan { dial: "silent".to_owned(), voice: None, talk_ms: None, ..call(500, 9_000) };
        let called = registered(registers("called", 70_000), vec![TAKES]);
        let mute = registered(registers("mute", 70_000), vec![TAKES]);
        let mute = PhonePlan { voice: None, talk_ms: None, ..mute };
        let hears = registered(registers("hears", 70_000), vec![TAKES]);
        let hears =
            PhonePlan { voice: Some(Voice { stream: HEARD.to_owned(), epoch: 99 }), ..hears };
        for (host, phone) in [
            ("talks", talks),
            ("listens", listens),
            ("silent", silent),
            ("called", called),
            ("mute", mute),
            ("hears", hears),
        ] {
            let says_ip = Some(IpAddr::V4(SAYS[rng.below(3) as usize]));
            let start_ms = phone.start_ms + rng.below(1_000);
            plan.phone(host, LinkConfig::dsl(), PhonePlan { says_ip, start_ms, ..phone });
            if changes_ports {
                plan.fault(0, host, Lever::RebindNat);
            }
        }
        for user in ["called", "mute"] {
            call_by_name(&mut plan, user);
        }
        let call = call_by_name(&mut plan, "hears");
        (call.publish, call.play) = (None, Some(HEARD.to_owned()));
        for host in ["talks", "called"] {
            hear_on(&mut plan, &format!("call/{host}"), 60_000);
        }
        plan.terms.calm_ms += calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let hung_up = ["talks", "listens", "called", "hears"].map(|host| (host, "hung up"));
        let by_gateway = ["silent", "mute"].map(|host| (host, "hung up by the gateway"));
        let over = hung_up.into_iter().chain(by_gateway);
        let over = over.filter_map(|(host, end)| ends(host, of(evidence, host), &[end]));
        let heard = [("listens", 440), ("hears", 290)].into_iter().filter_map(|(host, least)| {
            let heard = of(evidence, host).heard.len();
            unless(heard >= least, || format!("{host} heard {heard} packets"))
        });
        let whole = ["talks", "called"].into_iter().zip(&evidence.players);
        let whole = whole.filter_map(|(host, player)| {
            let (said, has) = (of(evidence, host).spoken.len(), player.received.len());
            // What is held to be put in order when the call is.
            let lost = if host == "talks" { 3 } else { 0 };
            unless(said >= 290 && has <= said && said <= has + lost, || {
                format!("{host} said {said} packets, {has} were heard")
            })
        });
        over.chain(heard).chain(whole).chain(byes_once(evidence)).collect()
    },
};

/// Whoever is hung up on is told so once: the first time comes there.
fn byes_once(evidence: &Evidence) -> Vec<Violation> {
    let byes = |host| {
        let signals = of(evidence, host).signals.iter();
        let came = signals.filter(|it| it.way == Way::Received);
        let byes = came.filter(|it| it.method == "BYE").count();
        unless(byes == 1, || format!("{host} was hung up on {byes} times"))
    };
    ["silent", "mute"].into_iter().filter_map(byes).collect()
}
