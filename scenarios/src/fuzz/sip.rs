//! Messages of SIP from strangers: made wrong, cut off, out of any order, and in floods, while calls go on.

use rehearsal_core::sip::{ParseLimits, message::Message, parse};
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::stranger::{StrangerPlan, Target},
};

use super::mutate::{self, noise, pick};
use crate::{
    catalogue::Scenario,
    live::unless,
    oracles::Violation,
    plan::Plan,
    run::Evidence,
    sip::{calls_go_on, calls_went_on},
};

/// Messages of each host that makes mistakes.
const MESSAGES: usize = 120;
/// Messages of each host that floods.
const FLOOD: usize = 400;
/// Strangers come when calls are up.
const COME_MS: u64 = 4_000;
/// What is said again to those who do not acknowledge it is over by then.
const LEAVE_MS: u64 = 60_000;

/// Who registers and does not say for how long is forgotten after this.
const REGISTERED_MS: u64 = 3_600_000;

/// Strangers of every kind.
pub const SIP: Scenario = Scenario {
    name: "fuzz/sip",
    about: "strangers send mutated, truncated and senseless SIP, and floods of it; calls go on as without them",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        calls_go_on(&mut plan);
        let mut come =
            |host: &str, every_us: u64, message: fn(&mut Rng, usize) -> Vec<u8>, count| {
                let mut rng = Rng::named(seed, &format!("scenario/fuzz/{host}"));
                let datagrams = (0..count).map(|index| message(&mut rng, index)).collect();
                let stranger = StrangerPlan {
                    start_ms: COME_MS + rng.below(500),
                    port: 0,
                    target: Target::Sip,
                    datagrams,
                    every_us,
                    leave_ms: LEAVE_MS,
                };
                plan.stranger(host, LinkConfig::lan(), stranger);
            };
        come("mutates", 15_000, mutated, MESSAGES);
        come("truncates", 15_000, truncated, MESSAGES);
        come("babbles", 15_000, babble, MESSAGES);
        come("invites", 2_500, |rng, index| request(rng, index, "INVITE"), FLOOD);
        come("asks", 2_500, |rng, index| request(rng, index, "OPTIONS"), FLOOD);
        come("registers", 2_500, |rng, index| request(rng, index, "REGISTER"), FLOOD);
        plan.terms.twin_within_ms = Some(2);
        // Until whoever has registered is not any more.
        plan.terms.calm_ms = REGISTERED_MS + 150_000;
        plan
    },
    check: |evidence| {
        let strangers = evidence.plan.strangers.iter().zip(&evidence.strangers);
        let answers = strangers.filter_map(|(stranger, report)| {
            let wrong = report.received.iter().find_map(|(at, _, bytes)| {
                Some(format!("at {at:?} {} was told {}", stranger.host, senseless(bytes)?))
            });
            unless(wrong.is_none(), || wrong.unwrap_or_default())
        });
        answers.chain(asked_in_vain(evidence)).chain(calls_went_on(evidence)).collect()
    },
};

/// Who asks well, and not for too much, is answered.
fn asked_in_vain(evidence: &Evidence) -> Option<Violation> {
    let index = evidence.plan.strangers.iter().position(|it| it.host == "asks")?;
    let answers = evidence.strangers[index].received.len();
    unless(answers >= FLOOD, || format!("{answers} of {FLOOD} OPTIONS were answered"))
}

/// What is wrong with what a stranger was told, in words: an answer, or a request within a call that it began.
fn senseless(bytes: &[u8]) -> Option<String> {
    let limits = ParseLimits { message_bytes: 65_535, headers: 512 };
    match parse(bytes, &limits) {
        Ok(Message::Response(response)) if (100..700).contains(&response.status) => None,
        Ok(Message::Request(_)) => None,
        Ok(Message::Response(response)) => Some(format!("status {}", response.status)),
        // The answer to what is malformed has what is malformed.
        Err(_) if bytes.starts_with(b"SIP/2.0 4") || bytes.starts_with(b"SIP/2.0 5") => None,
        Err(error) => Some(format!("what is no SIP: {error}")),
    }
}

/// What is offered.
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 10.9.8.7\r\ns=-\r\nc=IN IP4 10.9.8.7\r\nt=0 0\r\n\
                   m=audio 4000 RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

/// A request as it should be; each has a call of its own.
pub(super) fn request(rng: &mut Rng, index: usize, method: &str) -> Vec<u8> {
    let id = rng.next_u64();
    let user = *pick(rng, &["talk", "nobody", "play-x", "x"]);
    let number = 1 + rng.below(5);
    let body = if method == "INVITE" { SDP } else { "" };
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    let length = body.len();
    format!(
        "{method} sip:{user}@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 10.9.8.7:5060;branch=z9hG4bK{id:x};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:stranger-{index}@10.9.8.7>;tag={id:x}\r\nTo: <sip:{user}@10.0.0.1>\r\n\
         Call-ID: {id:x}\r\nCSeq: {number} {method}\r\nContact: <sip:stranger@10.9.8.7>\r\n{content}\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A response to something nobody has asked.
pub(super) fn response(rng: &mut Rng, index: usize) -> Vec<u8> {
    let status = *pick(rng, &["100 Trying", "180 Ringing", "200 OK", "401 No", "487 No", "999 ?"]);
    let method = *pick(rng, &["INVITE", "BYE", "REGISTER", "ACK"]);
    let request = request(rng, index, method);
    let text = String::from_utf8_lossy(&request);
    let rest = text.split_once("\r\n").map_or("", |(_, rest)| rest);
    format!("SIP/2.0 {status}\r\n{rest}").into_bytes()
}

/// A message of any kind.
fn message(rng: &mut Rng, index: usize) -> Vec<u8> {
    const METHODS: [&str; 11] = [
        "INVITE",
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "INFO",
        "UPDATE",
        "SUBSCRIBE",
        "X",
    ];
    match rng.below(5) {
        0 => response(rng, index),
        _ => {
            let method = *pick(rng, &METHODS);
            request(rng, index, method)
        }
    }
}

/// Mistakes in bytes, lines, or what lines say.
fn mutated(rng: &mut Rng, index: usize) -> Vec<u8> {
    let mut bytes = message(rng, index);
    for _ in 0..1 + rng.below(3) {
        match rng.below(3) {
            0 => mutate::bytes(rng, &mut bytes),
            1 => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let mut lines: Vec<&str> = text.split("\r\n").collect();
                mutate::order(rng, &mut lines);
                bytes = lines.join("\r\n").into_bytes();
            }
            _ => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let (from, to) = *pick(rng, &REPLACED);
                bytes = text.replace(from, to).into_bytes();
            }
        }
    }
    bytes
}

/// What is said otherwise than it should be.
const REPLACED: [(&str, &str); 18] = [
    ("Content-Length: ", "Content-Length: 9999999999"),
    ("Content-Length: ", "Content-Length: -"),
    ("CSeq: ", "CSeq: 4294967296"),
    ("Max-Forwards: 70", "Max-Forwards: 0"),
    ("Max-Forwards: 70", "Max-Forwards: 256"),
    ("SIP/2.0\r", "SIP/3.0\r"),
    ("branch=z9hG4bK", "branch="),
    ("Via: ", "Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bKx, "),
    (";rport", ";rport=1;received=10.0.0.1"),
    ("<sip:", "<tel:"),
    ("10.9.8.7", "[::ffff:1:2:3]"),
    ("10.9.8.7", "10.0.0.1"),
    ("tag=", "tag=;tag="),
    ("Contact: ", "Contact: *, "),
    ("Call-ID: ", "Call-ID: \r\n "),
    ("m=audio 4000", "m=audio 0"),
    ("RTP/AVP 0 8 101", "RTP/AVP 0 0 0 999 255 -1"),
    ("c=IN IP4 10.9.8.7", "c=IN IP4 256.0.0.1/127/3"),
];

/// The begin of a message.
fn truncated(rng: &mut Rng, index: usize) -> Vec<u8> {
    let mut bytes = message(rng, index);
    let length = rng.below(bytes.len() as u64) as usize;
    bytes.truncate(length);
    bytes
}

/// What is no SIP at all.
fn babble(rng: &mut Rng, _: usize) -> Vec<u8> {
    let count = *pick(rng, &[0, 1, 4, 40, 1_400, 9_000]);
    match rng.below(4) {
        0 => b"\r\n\r\n".to_vec(),
        1 => b"INVITE ".repeat(count),
        2 => [&b"OPTIONS sip:x SIP/2.0\r\n"[..], &b"Via: x\r\n".repeat(count)].concat(),
        _ => noise(rng, count),
    }
}
