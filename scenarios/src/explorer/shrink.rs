//! Makes a plan smaller, as long as its run still fails in the same way.
//!
//! First what can be taken away is, by delta debugging over chunks (Zeller and Hildebrandt, "Simplifying and isolating
//! failure-inducing input", 2002); then what is left is made plain: links, configuration, times, rates. All of it again, until
//! nothing more goes.

use rehearsal_core::config::Config;
use rehearsal_sim::{LinkConfig, clients::publisher::Source};

use super::elements::{self, Element};
use crate::plan::Plan;

/// Below this many milliseconds no time is halved any more.
const TIME_MS_MIN: u64 = 10;
/// Smallest picture that media are made of.
const KEYFRAME_BYTES_MIN: usize = 64;

/// What is tried next, and what it made of the plan so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Plans that were tried.
    pub tried: u64,
    /// Elements that are left.
    pub elements: usize,
}

/// Makes `plan`, which fails, smaller. `fails` runs a plan and says whether it fails in the same way; `None` ends
/// the search with what there is.
pub fn shrink(plan: Plan, fails: impl FnMut(&Plan, Progress) -> Option<bool>) -> Plan {
    let mut search = Search { best: plan, fails, tried: 0, is_over: false };
    loop {
        let before = search.best.clone();
        search.take_away();
        search.take_pieces_away();
        search.take_datagrams_away();
        search.make_plain();
        search.make_short();
        if search.is_over || search.best == before {
            return search.best;
        }
    }
}

struct Search<F> {
    best: Plan,
    fails: F,
    tried: u64,
    is_over: bool,
}

impl<F: FnMut(&Plan, Progress) -> Option<bool>> Search<F> {
    /// Whether `plan` is another one and fails, too; it is the best one then.
    fn try_plan(&mut self, plan: Plan) -> bool {
        if self.is_over || plan == self.best {
            return false;
        }
        self.tried += 1;
        let elements = elements::all(&self.best).len();
        match (self.fails)(&plan, Progress { tried: self.tried, elements }) {
            None => self.is_over = true,
            Some(false) => {}
            Some(true) => {
                self.best = plan;
                return true;
            }
        }
        false
    }

    /// Tries the best plan with a change.
    fn try_change(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        let mut plan = self.best.clone();
        change(&mut plan);
        self.try_plan(plan)
    }

    /// Clients and faults, in chunks that get smaller.
    fn take_away(&mut self) {
        let plan = self.best.clone();
        let left = minimal(elements::all(&plan), |kept: &[Element]| {
            self.try_plan(elements::only(&plan, kept))
        });
        debug_assert!(self.is_over || elements::only(&plan, &left) == self.best);
    }

    /// What raw clients send.
    fn take_pieces_away(&mut self) {
        for client in 0..self.best.raw_clients.len() {
            let pieces = self.best.raw_clients[client].plan.pieces.clone();
            minimal((0..pieces.len()).collect(), |kept: &[usize]| {
                self.try_change(|plan| {
                    plan.raw_clients[client].plan.pieces =
                        kept.iter().map(|index| pieces[*index].clone()).collect();
                })
            });
        }
    }

    /// What strangers send.
    fn take_datagrams_away(&mut self) {
        for stranger in 0..self.best.strangers.len() {
            let datagrams = self.best.strangers[stranger].plan.datagrams.clone();
            minimal((0..datagrams.len()).collect(), |kept: &[usize]| {
                self.try_change(|plan| {
                    plan.strangers[stranger].plan.datagrams =
                        kept.iter().map(|index| datagrams[*index].clone()).collect();
                })
            });
        }
    }

    /// Links without properties, the default configuration, plain media.
    fn make_plain(&mut self) {
        self.try_change(|plan| plan.config = Config::default());
        self.try_change(|plan| plan.config.rtmp = Config::default().rtmp);
        self.try_change(|plan| plan.config.http = Config::default().http);
        self.try_change(|plan| plan.config.live = Config::default().live);
        self.try_change(|plan| plan.config.sip = Config::default().sip);
        self.try_change(|plan| plan.config.rtp = Config::default().rtp);
        self.try_change(|plan| plan.config.limits = Config::default().limits);
        let lan = LinkConfig::lan();
        self.try_change(|plan| plan.links_mut().for_each(|link| *link = lan));
        for index in 0..self.best.links_mut().count() {
            self.try_change(|plan| {
                if let Some(link) = plan.links_mut().nth(index) {
                    *link = lan;
                }
            });
        }
        for index in 0..self.best.players.len() {
            self.try_change(|plan| plan.players[index].plan.stall = None);
            self.try_change(|plan| plan.players[index].plan.pause = None);
        }
        for index in 0..self.best.phones.len() {
            self.try_change(|plan| plan.phones[index].plan.changes.clear());
            self.try_change(|plan| plan.phones[index].plan.acts.clear());
            self.try_change(|plan| plan.phones[index].plan.digits.clear());
            self.try_change(|plan| plan.phones[index].plan.dials_by_info = false);
            self.try_change(|plan| plan.phones[index].plan.numbering = None);
            self.try_change(|plan| plan.phones[index].plan.cancel = None);
            self.try_change(|plan| plan.phones[index].plan.voice = None);
            self.try_change(|plan| plan.phones[index].plan.says_ip = None);
            self.try_change(|plan| plan.phones[index].plan.hears_at = None);
            self.try_change(|plan| plan.phones[index].plan.registers = None);
            self.try_change(|plan| plan.phones[index].plan.tcp = None);
            self.try_change(|plan| {
                if let Some(tcp) = &mut plan.phones[index].plan.tcp {
                    tcp.closes.clear();
                }
            });
            self.try_change(|plan| {
                if let Some(tcp) = &mut plan.phones[index].plan.tcp {
                    (tcp.cuts, tcp.pings_ms) = (Vec::new(), None);
                    (tcp.joins, tcp.leads) = (false, false);
                }
            });
            self.try_change(|plan| {
                if let Some(registers) = &mut plan.phones[index].plan.registers {
                    registers.others.clear();
                }
            });
        }
        for index in 0..self.best.sip_clients.len() {
            self.try_change(|plan| plan.sip_clients[index].plan.reactions.clear());
            self.try_change(|plan| plan.sip_clients[index].plan.password = None);
            self.try_change(|plan| plan.sip_clients[index].plan.voice = None);
            self.try_change(|plan| plan.sip_clients[index].plan.listens = None);
        }
        self.try_change(|plan| plan.terms.twin_within_ms = None);
        for index in 0..self.best.publishers.len() {
            while self.try_change(|plan| match &mut plan.publishers[index].plan.source {
                Source::Generated(media) => {
                    media.audio_bytes /= 2;
                    media.keyframe_bytes = (media.keyframe_bytes / 2).max(KEYFRAME_BYTES_MIN);
                }
                Source::FlvFile(_) => {}
            }) {}
        }
    }

    /// Everything sooner, and for a shorter time.
    fn make_short(&mut self) {
        while self.try_change(|plan| plan.times_mut().for_each(|time| *time = halved(*time))) {}
        for index in 0..self.best.times_mut().count() {
            while self.try_change(|plan| {
                if let Some(time) = plan.times_mut().nth(index) {
                    *time = halved(*time);
                }
            }) {}
        }
    }
}

fn halved(time_ms: u64) -> u64 {
    if time_ms < TIME_MS_MIN { time_ms } else { time_ms / 2 }
}

/// A part of `all` that still fails and of which no single one can be spared, as far as `fails` has only answered for parts.
fn minimal<T: Clone>(all: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = all;
    let mut chunk = left.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < left.len() {
            let end = (start + chunk).min(left.len());
            let less: Vec<T> = left[..start].iter().chain(&left[end..]).cloned().collect();
            match fails(&less) {
                // What follows has moved here.
                true => left = less,
                false => start = end,
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    left
}
