//! Which features a seed switches on: each by itself, but for those that must not be together.

use super::{Lots, Theme, clients::PUBLISHERS};

/// What befalls the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Strike {
    /// It crashes and comes back.
    Crash,
    /// It is told to end and is started again.
    ShutDown,
    /// Its process stands still for a while.
    Freeze,
    /// It may hold no more sockets for a while.
    Descriptors,
    /// Connections die before it accepts them.
    Accepts,
    /// Its reads and writes are short.
    ShortIo,
    /// Its wall clock is set.
    WallClock,
}

const STRIKES: [Strike; 7] = [
    Strike::Crash,
    Strike::ShutDown,
    Strike::Freeze,
    Strike::Descriptors,
    Strike::Accepts,
    Strike::ShortIo,
    Strike::WallClock,
];

/// The features of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Features {
    /// Of a hundred clients that could take part, so many do.
    pub(super) share: u32,
    /// Streams.
    pub(super) names: u64,
    /// Publishers follow each other rather than compete.
    pub(super) in_turn: bool,
    /// Publishers are killed.
    pub(super) killed: bool,
    /// Publishers fall silent.
    pub(super) silent: bool,
    /// Subscribers stop to read.
    pub(super) stalls: bool,
    /// Subscribers pass by.
    pub(super) passing: bool,
    /// Clients that speak no protocol.
    pub(super) raw: bool,
    /// Deadlines are small.
    pub(super) tight: bool,
    /// Limits are small.
    pub(super) small: bool,
    /// Things happen around deadlines, and around what others do.
    pub(super) edges: bool,
    /// Some publishers have one track.
    pub(super) one_track: bool,
    /// Some publishers have large pictures.
    pub(super) large: bool,
    /// Some publishers send headers again, have other codecs, or begin just before their times wrap.
    pub(super) unusual: bool,
    /// Some hosts are far away.
    pub(super) far: bool,
    /// Some links lose packets.
    pub(super) lossy: bool,
    /// Faults of hosts.
    pub(super) faults: bool,
    /// A fault of the gateway.
    pub(super) strike: Option<Strike>,
    /// Fault points of the gateway.
    pub(super) points: bool,
    /// The twin run: no stream has a second publisher, no fault is a publisher's, links of others leave nothing to chance, and nobody
    /// stops to read or leaves in mid-stream.
    pub(super) twin: bool,
}

impl Features {
    pub(super) fn draw(lots: &Lots) -> Self {
        let has = |feature: &str, percent| lots.chance(&format!("feature/{feature}"), percent);
        let is = |theme| lots.theme == theme;
        let shares = [35, 65, 100];
        let share = shares[lots.of("feature/share").below(3) as usize];
        let of_gateway = match lots.theme {
            Theme::Live => 0,
            Theme::Faults => 50,
            Theme::Limits => 15,
        };
        let strikes = if is(Theme::Faults) { &STRIKES[..] } else { &STRIKES[5..] };
        let drawn = strikes[lots.of("feature/strike/kind").below(strikes.len() as u64) as usize];
        let strike = has("strike", of_gateway).then_some(drawn);
        let is_outage = matches!(strike, Some(Strike::Crash | Strike::ShutDown));
        // Who is not served at once, and has deadlines of its own.
        let is_refusal = matches!(strike, Some(Strike::Descriptors | Strike::Accepts));
        // Short writes make more packets, whose times are not the same to the millisecond.
        let is_unnoticed = matches!(strike, None | Some(Strike::WallClock));
        let faults = is(Theme::Faults) && has("faults", 80);
        let twin = faults && is_unnoticed && has("twin", 50);
        let lossy = is(Theme::Faults) && !twin && has("lossy", 50);
        let far = has("far", 40);
        let names = match twin {
            true => PUBLISHERS as u64,
            false => lots.of("feature/names").range(1..=3),
        };
        Self {
            share,
            names,
            in_turn: has("in-turn", 50),
            killed: has("killed", 50),
            // Who says nothing is never told that the host it talked to has forgotten it.
            silent: !is_outage && has("silent", 50),
            // Whether what comes when somebody stops to read or leaves is read is a matter of less than a millisecond.
            stalls: !twin && has("stalls", 40),
            passing: !twin && has("passing", 60),
            raw: !is_refusal && has("raw", 40),
            tight: has("tight", if is(Theme::Limits) { 85 } else { 50 }),
            small: is(Theme::Limits) && has("small", 75),
            edges: has("edges", 65),
            one_track: has("one-track", 30),
            // Large pictures take round trips to arrive, and loss makes them late.
            large: !lossy && !far && has("large", 30),
            unusual: has("unusual", 30),
            far,
            lossy,
            faults,
            strike,
            // In the twin run others would come to them.
            points: !twin && has("points", 40),
            twin,
        }
    }
}
