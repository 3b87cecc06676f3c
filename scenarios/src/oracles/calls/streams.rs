//! O15 and O16 for phones that speak SIP over TCP: nothing is said twice, for nothing is lost; answers take the connection of what
//! they answer, as long as that is there; and who asks whether the gateway is there is answered.

use std::time::Duration;

use rehearsal_sim::clients::phone::{Connection, Saying, Signal, Way};

use super::{Case, HELD, is_ack, is_final};
use crate::fault::Lever;

impl Case<'_> {
    /// Whether it speaks SIP over TCP.
    pub(super) fn is_over_tcp(&self) -> bool {
        self.phone.plan.tcp.is_some()
    }

    /// Whether what it says and is told comes in order.
    pub(super) fn says_in_order(&self) -> bool {
        self.is_over_tcp() || self.is_in_order()
    }

    /// Whether nobody closes or resets connections of it.
    pub(super) fn keeps_connections(&self) -> bool {
        self.phone.plan.tcp.as_ref().is_none_or(|tcp| tcp.closes.is_empty())
            && !self.plan.is_befallen(&self.phone.host)
            && !self.plan.is_befallen("gateway")
    }

    /// What an acceptance may take longer that is lost with its connection, and the next one with the next: it is said again.
    pub(super) fn lost_for(&self) -> Duration {
        let t1 = Duration::from_millis(self.plan.config.sip.t1_ms);
        if self.keeps_connections() || !self.is_over_tcp() { Duration::ZERO } else { 4 * t1 }
    }

    /// Whether what was to follow at `at` within a time may be lost with its connection, and nobody can say it again: there is no other
    /// way to the phone, or the call is over.
    pub(super) fn may_be_lost(&self, at: Duration, within: Duration) -> bool {
        let mut byes = self.report.signals.iter().filter(|it| it.method == "BYE");
        let is_over = byes.any(|bye| (at..=at + within).contains(&bye.at));
        self.may_be_out_of_reach() || self.is_over_tcp() && !self.keeps_connections() && is_over
    }

    /// Whether a connection of it may be lost, and there is no other way to it.
    pub(super) fn may_be_out_of_reach(&self) -> bool {
        let Some(tcp) = &self.phone.plan.tcp else { return false };
        // It may have been called by an address that it has registered besides, and that leads nowhere else.
        let others = self.phone.plan.registers.iter().flat_map(|registers| &registers.others);
        let is_elsewhere = others.map(|uri| format!("INVITE {uri} ")).any(|called| {
            self.report.signals.iter().any(|it| it.raw.starts_with(called.as_bytes()))
        });
        let is_hidden = tcp.is_hidden || self.phone.plan.says_ip.is_some() || is_elsewhere;
        is_hidden && !self.keeps_connections()
    }

    /// Whether it may be hung up on by `at`, or just behind it: whoever cannot be reached when his session is to be refreshed is.
    pub(super) fn may_be_hung_up_on(&self, at: Duration) -> bool {
        // The gateway counts from its own answer, of which perhaps a copy came, or from that of the phone.
        let mut signals = self.report.signals.iter();
        let calls = signals.find(|it| it.way == Way::Sent && it.method == "INVITE").map(|it| it.at);
        let calls = calls.filter(|_| self.phone.plan.called.is_none());
        let counts_from = calls.or(self.report.answered_at).unwrap_or_default();
        let refreshed = Duration::from_millis(self.plan.config.sip.session_expires_ms) / 2;
        self.may_be_out_of_reach() && at + HELD + self.round_trip() >= counts_from + refreshed
    }

    /// Whether at most connections of it are lost, while it and the gateway are there.
    pub(super) fn is_at_most_cut_off(&self) -> bool {
        let (from, to) = (self.phone.plan.start_ms, self.phone.plan.leave_ms);
        let hosts = [&self.phone.host[..], "gateway"];
        let mut faults = self.plan.faults.iter().filter(|it| hosts.contains(&&it.host[..]));
        let is_harmless =
            faults.all(|it| matches!(it.lever, Lever::ResetConnections | Lever::StepWallClock(_)));
        is_harmless && !self.plan.is_faulty(&self.phone.host) && !self.plan.meets_outage(from, to)
    }

    /// The connection that `signal` took.
    fn connection(&self, signal: &Signal) -> Option<&Connection> {
        let over = signal.over?;
        self.report.connections.iter().find(|connection| connection.number == over)
    }

    /// Whether the connection of `signal` was over at `at`, as the phone knows.
    fn was_lost(&self, signal: &Signal, at: Duration) -> bool {
        let ended = self.connection(signal).and_then(|connection| connection.ended);
        ended.is_some_and(|(ended, _)| ended <= at)
    }
}

/// O15: what comes by connections.
pub(super) fn connections(case: Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let unreadable = case.report.connections.iter().find(|connection| connection.is_unreadable);
    found.extend(unreadable.map(|it| {
        format!("what came by the connection of {:?} cannot be told apart", it.begun_at)
    }));
    found.extend(elsewhere(case));
    found.extend(case.report.connections.iter().filter_map(|it| unheard(case, it)));
    found
}

/// An answer comes by the connection by which its request went last, if that is still there (RFC 3261, section 18.2.2).
fn elsewhere(case: Case<'_>) -> Option<String> {
    let answers = case.report.signals.iter().filter(|it| it.way == Way::Received);
    let mut answers = answers.filter(|it| matches!(it.what, Saying::Response(_)));
    let wrong = answers.find(|answer| {
        let asked = case.report.signals.iter().filter(|it| {
            it.way == Way::Sent
                && it.what == Saying::Request
                && (&it.branch, &it.method) == (&answer.branch, &answer.method)
                && it.at <= answer.at
        });
        let mut asked: Vec<&Signal> = asked.collect();
        // One that has just gone by another connection may not have come, nor one whose connection has just been made, or never is; and
        // where segments are lost nobody knows when it comes.
        let is_news = |it: &&Signal| {
            let made_at = case.connection(it).and_then(|connection| connection.made_at);
            let gone_at = made_at.map_or(Duration::MAX, |made_at| made_at.max(it.at));
            !case.is_faithful() || gone_at.saturating_add(case.round_trip()) > answer.at
        };
        while asked.len() > 1 && asked.last().is_some_and(is_news) {
            asked.pop();
        }
        let is_its = asked.iter().any(|it| it.over == answer.over);
        let is_there = asked.last().is_some_and(|it| !case.was_lost(it, answer.at));
        !is_its && is_there
    })?;
    Some(format!(
        "the answer to {} at {:?} came by another connection than what it answers",
        wrong.method, wrong.at
    ))
}

/// Who asks whether the gateway is there is told so.
fn unheard(case: Case<'_>, connection: &Connection) -> Option<String> {
    let ended = connection.ended.map_or(case.report.left_at, |(at, _)| at);
    if !case.is_faithful() || !case.is_undisturbed() {
        return None;
    }
    let is_due = |at: Duration| at + case.round_trip() < ended;
    let due = connection.pings.iter().filter(|at| is_due(**at)).count();
    let (pings, pongs) = (connection.pings.len(), connection.pongs.len());
    let is_right = (due..=pings).contains(&pongs);
    (!is_right).then(|| format!("of {pings} questions whether it is there {pongs} were answered"))
}

/// O16: what the gateway says twice. A request that was lost with its connection may be made again by another one.
pub(super) fn copies(case: Case<'_>) -> Vec<String> {
    let mut found = Vec::new();
    // Each copy of an answer to INVITE is acknowledged.
    for copies in case.asked().into_iter().filter(|copies| !is_ack(copies[0])) {
        for pair in copies.windows(2) {
            let [before, copy] = pair else { continue };
            if !case.was_lost(before, copy.at) {
                let (method, at) = (&copy.method, copy.at);
                found.push(format!("the {method} of {:?} was said again at {at:?}", before.at));
            }
        }
    }
    // Those of a 2xx to INVITE have their times, as over datagrams.
    let is_accepted =
        |it: &Signal| it.method == "INVITE" && matches!(it.what, Saying::Response(..=299));
    for copies in case.answered().into_iter().filter(|copies| !is_accepted(copies[0])) {
        let asked = case.sent().filter(|(_, it)| {
            it.what == Saying::Request
                && !is_ack(it)
                && (&it.branch, &it.method) == (&copies[0].branch, &copies[0].method)
        });
        let asked = asked.count();
        if copies.len() > asked.max(1) && is_final(copies[0]) {
            let (method, at) = (&copies[0].method, copies[0].at);
            let times = copies.len();
            found.push(format!("the {method} answered at {at:?} was answered {times} times"));
        }
    }
    found
}
