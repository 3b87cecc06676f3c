//! What the clients of a run saw, without what a few milliseconds decide, and how two runs differ in it.

use std::time::Duration;

use rehearsal_scenarios::run::{Evidence, Outcome};
use rehearsal_sim::clients::verify::{Kind, Logged};

/// How much earlier in the stream one of two players may start: a GOP of 2 s, whose end one of them just missed, and the
/// time that connecting takes.
const EARLIER_MAX_MS: u32 = 2_500;

/// What tells a player that its stream begins.
const PUBLISHED: &str = "NetStream.Play.PublishNotify";
/// Longer than connecting takes on any network.
const ALONG_MS: u64 = 500;

/// One frame, or a header between frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    kind: Kind,
    timestamp_ms: u32,
    hash: u64,
}

/// What a player got of one publish.
#[derive(Clone, Debug)]
pub struct Epoch {
    number: u32,
    /// Kinds of what came before the first frame, which the network may put in one order or another.
    pub lead: Vec<String>,
    /// From the first frame on.
    pub frames: Vec<Frame>,
}

/// What one client saw.
#[derive(Clone, Debug)]
pub struct Client {
    host: String,
    /// How it ended, its refusals, statuses, gaps and metadata: equal or not.
    pub facts: Vec<String>,
    /// What a publisher sent.
    pub sent: Vec<Frame>,
    /// What a player received, publish by publish.
    pub epochs: Vec<Epoch>,
}

/// What all clients of a run saw, in the order of the plan.
pub fn seen(outcome: &Outcome) -> Vec<Client> {
    let evidence: &Evidence = outcome.evidence.as_ref().expect("the run came to its end");
    let plan = &evidence.plan;
    let publishers = plan.publishers.iter().zip(&evidence.publishers).map(|(publisher, report)| {
        let facts = vec![format!("end {}", report.end), format!("refused {:?}", report.refused)];
        let sent = report.sent.iter().map(frame).collect();
        Client { host: publisher.host.clone(), facts, sent, epochs: Vec::new() }
    });
    let players = plan.players.iter().zip(&evidence.players).map(|(player, report)| {
        let mut facts = vec![format!("end {}", report.end), format!("gaps {}", report.gaps)];
        // Who comes along with a publisher is told of it or finds it there, as the delays of a network will have it.
        let start_ms = player.plan.start_ms;
        let comes_along = plan.publishers.iter().any(|publisher| {
            publisher.plan.stream == player.plan.stream
                && publisher.plan.start_ms.abs_diff(start_ms) < ALONG_MS
        });
        let until = Duration::from_millis(start_ms + 2 * ALONG_MS);
        let along = |at: Duration, code: &str| comes_along && code == PUBLISHED && at < until;
        let statuses = report.statuses.iter().filter(|(at, code)| !along(*at, code));
        facts.extend(statuses.map(|(_, code)| code.clone()));
        let is_data = |seen: &&Logged| matches!(seen.kind, Kind::Metadata | Kind::Data);
        let data = report.received.iter().filter(is_data);
        facts.extend(data.map(|seen| format!("{:?} {:016x}", seen.kind, seen.hash)));
        let host = player.host.clone();
        Client { host, facts, sent: Vec::new(), epochs: epochs(&report.received) }
    });
    publishers.chain(players).collect()
}

fn frame(seen: &Logged) -> Frame {
    Frame { kind: seen.kind, timestamp_ms: seen.timestamp_ms, hash: seen.hash }
}

fn epochs(received: &[Logged]) -> Vec<Epoch> {
    let mut epochs: Vec<Epoch> = Vec::new();
    for seen in received {
        if matches!(seen.kind, Kind::Metadata | Kind::Data) {
            continue;
        }
        // A file has no stamps, and is one epoch.
        let number = seen.stamp.map_or(0, |stamp| stamp.epoch);
        if epochs.last().is_none_or(|epoch| epoch.number != number) {
            epochs.push(Epoch { number, lead: Vec::new(), frames: Vec::new() });
        }
        let epoch = epochs.last_mut().expect("one was pushed");
        let is_header = matches!(seen.kind, Kind::VideoHeader | Kind::AudioHeader);
        match is_header && epoch.frames.is_empty() {
            true => epoch.lead.push(format!("{:?}", seen.kind)),
            false => epoch.frames.push(frame(seen)),
        }
    }
    epochs.iter_mut().for_each(|epoch| epoch.lead.sort());
    epochs
}

/// What differs between two runs of the same plan.
pub fn differences(one: &[Client], other: &[Client]) -> Vec<String> {
    let mut differences = Vec::new();
    for (one, other) in one.iter().zip(other) {
        let mut differ = |what: String| differences.push(format!("{}: {what}", one.host));
        if one.facts != other.facts {
            differ(format!("{:?} against {:?}", one.facts, other.facts));
        }
        if one.sent != other.sent {
            differ(format!("sent {} and {} messages", one.sent.len(), other.sent.len()));
        }
        let numbers = |client: &Client| -> Vec<u32> {
            client.epochs.iter().map(|epoch| epoch.number).collect()
        };
        if numbers(one) != numbers(other) {
            differ(format!("saw epochs {:?} and {:?}", numbers(one), numbers(other)));
        }
        for (one, other) in one.epochs.iter().zip(&other.epochs) {
            if one.lead != other.lead {
                differ(format!("epoch {} began {:?} and {:?}", one.number, one.lead, other.lead));
            }
            if let Err(what) = agree(&one.frames, &other.frames) {
                differ(format!("epoch {}: {what}", one.number));
            }
        }
    }
    differences
}

/// One of two players may have started earlier. From the first frame that both have to the end, both have the same ones,
/// with the same headers between them and the same times from one to the next.
fn agree(one: &[Frame], other: &[Frame]) -> Result<(), String> {
    let (Some(first), Some(other_first)) = (one.first(), other.first()) else {
        return match one.len() + other.len() {
            0 => Ok(()),
            _ => Err(format!("{} and {} frames", one.len(), other.len())),
        };
    };
    let place = |frames: &[Frame], wanted: &Frame| {
        frames.iter().position(|frame| frame.kind == wanted.kind && frame.hash == wanted.hash)
    };
    let (longer, shorter, skipped) = match (place(one, other_first), place(other, first)) {
        (Some(skipped), _) => (one, other, skipped),
        (None, Some(skipped)) => (other, one, skipped),
        (None, None) => return Err("nobody starts within what the other has".to_owned()),
    };
    let common = &longer[skipped..];
    let earlier_ms = common[0].timestamp_ms.wrapping_sub(longer[0].timestamp_ms);
    if earlier_ms > EARLIER_MAX_MS {
        return Err(format!("one starts {earlier_ms} ms earlier in the stream"));
    }
    let shift_ms = common[0].timestamp_ms.wrapping_sub(shorter[0].timestamp_ms);
    for (index, (one, other)) in common.iter().zip(shorter).enumerate() {
        let timestamp_ms = other.timestamp_ms.wrapping_add(shift_ms);
        if *one != (Frame { timestamp_ms, ..*other }) {
            return Err(format!("after {index} frames {one:?} against {other:?}"));
        }
    }
    match common.len() == shorter.len() {
        true => Ok(()),
        false => Err(format!("{} and {} frames to the end", common.len(), shorter.len())),
    }
}
