//! What phones saw of their calls, judged from outside: O15 signalling, O16 timers, O17 agreement about what is up, O18
//! changes that cross, O19 media, O20 digits.

mod agreement;
mod arrivals;
mod bindings;
mod clients;
mod commands;
mod digits;
mod echoes;
mod follows;
mod glare;
mod loss;
mod media;
mod order;
mod pictures;
mod registrations;
mod signalling;
mod sources;
mod streams;
mod timers;
mod voices;

use std::{collections::BTreeMap, time::Duration};

use rehearsal_core::config::{Call, Route};
use rehearsal_sim::{
    Direction, LinkConfig,
    clients::{
        phone::{CallEnd, Deed, PhoneReport, Saying, Signal, Way},
        sip_client::{Command, Talk},
    },
};

pub(super) use self::{
    agreement::judge as agreement, arrivals::judge as arrivals, bindings::judge as bindings,
    clients::judge as clients, commands::judge as commands, digits::judge as digits,
    echoes::judge as echoes, follows::judge as follows, glare::judge as glare, loss::judge as loss,
    media::judge as media, pictures::requests as picture_requests,
    pictures::resumed as pictures_resumed, pictures::shown as pictures_shown,
    pictures::watched as pictures_watched, registrations::judge as registrations,
    signalling::judge as signalling, timers::judge as timers, voices::judge as voices,
};
use crate::{
    plan::{Phone, Plan, SipClient},
    run::{Evidence, LostMessage},
};

/// For links and tasks, besides what links take.
const SOON: Duration = Duration::from_millis(50);

/// Packets are held to be put in order, and given out at their time.
const HELD: Duration = Duration::from_millis(100);

/// Longest way of what is published to a phone.
const DELAY_MAX: Duration = Duration::from_millis(300);

/// What is said before a player has its stream is not for it.
const BEFORE: Duration = Duration::from_secs(1);

/// For so long, before and after a phone goes on from another port, the gateway may take another one for its.
const MOVES: Duration = Duration::from_millis(150);

/// A phone with what it says.
#[derive(Clone, Copy)]
struct Case<'a> {
    evidence: &'a Evidence,
    plan: &'a Plan,
    phone: &'a Phone,
    report: &'a PhoneReport,
}

/// What `judge` finds about each phone, with the name of its host.
fn of_each(evidence: &Evidence, judge: impl Fn(Case<'_>) -> Vec<String>) -> Vec<String> {
    let plan = &evidence.plan;
    let phones = plan.phones.iter().zip(&evidence.phones);
    let found = phones.flat_map(|(phone, report)| {
        let found = judge(Case { evidence, plan, phone, report });
        found.into_iter().map(|what| format!("{}: {what}", phone.host)).collect::<Vec<_>>()
    });
    found.collect()
}

impl<'a> Case<'a> {
    /// The stream that the phone hears, by the configuration of the gateway.
    fn plays(&self) -> Option<String> {
        if let Some(client) = self.client() {
            return client.plan.voice.as_ref().map(|voice| voice.stream.clone());
        }
        self.connected(|route| &route.play, |call| &call.play)
    }

    /// The stream of everybody's that the phone is heard on.
    fn publishes(&self) -> Option<String> {
        if self.client().is_some() {
            return None;
        }
        self.connected(|route| &route.publish, |call| &call.publish)
    }

    /// What its call is connected with: by the route of what it dials, or by who calls it.
    fn connected(
        &self,
        of_route: fn(&Route) -> &Option<String>,
        of_call: fn(&Call) -> &Option<String>,
    ) -> Option<String> {
        let (sip, dial) = (&self.plan.config.sip, &self.phone.plan.dial);
        if self.phone.plan.called.is_some() {
            let whom = self.phone.address();
            // Or by the name as which it has registered.
            let name = self.phone.plan.registers.as_ref().map(|it| &it.user);
            let mut calls = sip.calls.iter();
            let call = calls.find(|call| call.to == whom || Some(&call.to) == name)?;
            return of_call(call).clone();
        }
        let mut routes = sip.routes.iter();
        let (route, rest) = routes.find_map(|route| Some((route, route.matches(dial)?)))?;
        Some(of_route(route).as_ref()?.replace('*', rest))
    }

    /// The client of the application `sip` that calls it, or that it calls.
    fn client(&self) -> Option<&SipClient> {
        self.plan.sip_clients.iter().find(|client| calls(client, self.phone))
    }

    /// Whether packets of its line all arrive, once each and in order.
    fn is_faithful(&self) -> bool {
        let links = [self.phone.link, self.plan.gateway_link];
        let mut directions = links.into_iter().flat_map(|LinkConfig { up, down }| [up, down]);
        let is_befallen = self.plan.is_befallen(&self.phone.host);
        // Until the gateway follows it, a phone that does not say where it is is not heard, and does not hear.
        let is_lost = self.phone.plan.acts.iter().any(|act| act.deed == Deed::Rebind);
        directions.all(|direction| is_faithful(&direction)) && !is_befallen && !is_lost
    }

    /// Whether its line keeps packets in order and as they are, as far as they arrive.
    fn is_in_order(&self) -> bool {
        let links = [self.phone.link, self.plan.gateway_link];
        let mut directions = links.into_iter().flat_map(|LinkConfig { up, down }| [up, down]);
        directions.all(|it| it.duplicate_ppm == 0 && it.reorder_ppm == 0 && it.corrupt_ppm == 0)
    }

    /// Whether what it said and showed is not known.
    fn has_crashed(&self) -> bool {
        matches!(self.report.ended, Some((_, CallEnd::Crashed)))
    }

    /// Whether it and the gateway are there all the time.
    fn is_undisturbed(&self) -> bool {
        let (from, to) = (self.phone.plan.start_ms, self.phone.plan.leave_ms);
        let is_gateway_befallen = self.plan.is_befallen("gateway");
        !self.plan.is_faulty(&self.phone.host)
            && !self.plan.meets_outage(from, to)
            && !is_gateway_befallen
    }

    /// From one end of its line to the other and back, at most, with what tasks take; over TCP somebody may have to connect first.
    fn round_trip(&self) -> Duration {
        let links = [self.phone.link, self.plan.gateway_link];
        let directions = links.into_iter().flat_map(|LinkConfig { up, down }| [up, down]);
        let one_way = directions.map(|it| it.delay_ns + it.jitter_ns).sum();
        let way = Duration::from_nanos(one_way) + SOON + self.plan.slack();
        // Behind another message that is written.
        let tcp = self.phone.plan.tcp.as_ref();
        tcp.map_or(way, |tcp| way + 2 * (Duration::from_nanos(one_way) + tcp.writes_for()))
    }

    /// How much later than what was sent behind it something may come from the phone.
    fn uneven(&self) -> Duration {
        let links = [self.phone.link.up, self.plan.gateway_link.down];
        let by = |it: Direction| it.jitter_ns + if it.reorder_ppm > 0 { it.reorder_ns } else { 0 };
        Duration::from_nanos(links.map(by).iter().sum())
    }

    /// The least of the same.
    fn least_round_trip(&self) -> Duration {
        let links = [self.phone.link, self.plan.gateway_link];
        let directions = links.into_iter().flat_map(|LinkConfig { up, down }| [up, down]);
        Duration::from_nanos(directions.map(|it| it.delay_ns).sum())
    }

    /// Whether what the phone sends at `at` may cross an end of its call, or a change of it, that the gateway tells. What goes before
    /// the phone tells either comes before, too.
    fn is_cut_short(&self, at: Duration) -> bool {
        let within = at..=at + self.round_trip();
        let signals = self.report.signals.iter().filter(|it| it.what == Saying::Request);
        let mut told = signals.clone().filter(|it| it.way == Way::Received);
        let is_told = told.any(|it| {
            let is_change = it.method == "INVITE" && it.to_tag.is_some();
            (it.method == "BYE" || is_change) && within.contains(&it.at)
        });
        let has_hung_up =
            signals.clone().any(|it| it.way == Way::Sent && it.method == "BYE" && it.at >= at);
        let is_over = self.report.ended.is_some_and(|(ended, _)| within.contains(&ended));
        is_told || is_over && !has_hung_up
    }

    /// How long what the phone sends may wait to be put on its line: one that was frozen sends much at once.
    fn queued_for(&self) -> Duration {
        let up = self.phone.link.up;
        let is_sent_at_once = self.plan.is_faulty(&self.phone.host) && up.rate_bps > 0;
        let bits = if is_sent_at_once { up.queue_bytes * 8 } else { 0 };
        Duration::from_secs_f64(bits as f64 / up.rate_bps.max(1) as f64)
    }

    /// When the gateway said for the first time what came first as `first`, before that took its way: copies may have been lost. `None`
    /// where nobody noted what was.
    fn said_at(&self, first: &Signal) -> Option<Duration> {
        let mut copies = self.lost_of(first)?.filter(|it| it.is_request && !it.is_of_phone);
        Some(copies.next().map_or(first.at, |copy| copy.at.min(first.at)))
    }

    /// What was lost of the transaction of `signal`.
    fn lost_of(&self, signal: &'a Signal) -> Option<impl Iterator<Item = &'a LostMessage>> {
        let lost = self.evidence.host.as_ref()?.lost.as_ref()?.get(&self.phone.host);
        let lost = lost.into_iter().flat_map(|lost| &lost.messages);
        Some(lost.filter(|it| (&it.method, &it.branch) == (&signal.method, &signal.branch)))
    }

    /// Whether the gateway may still wait at `at` for the answer to what came first as `first`: all that the phone has said was lost.
    fn is_open_at(&self, first: &'a Signal, at: Duration) -> bool {
        let answers = self.report.signals.iter().filter(|it| {
            it.way == Way::Sent
                && is_final(it)
                && (&it.branch, &it.method) == (&first.branch, &first.method)
        });
        let said = answers.filter(|it| it.arrived_at.is_some_and(|sent| sent <= at)).count();
        let lost = self.lost_of(first).map_or(0, |lost| {
            lost.filter(|it| it.is_of_phone && !it.is_request && it.at <= at + SOON).count()
        });
        first.at <= at && said <= lost
    }

    /// Requests of the gateway, copies too, by their transactions in the order they began.
    fn asked(&self) -> Vec<Vec<&Signal>> {
        self.grouped(Way::Received, |signal| signal.what == Saying::Request)
    }

    /// Final answers of the gateway, copies too, by their transactions.
    fn answered(&self) -> Vec<Vec<&Signal>> {
        self.grouped(Way::Received, is_final)
    }

    fn grouped(&self, way: Way, is_it: impl Fn(&Signal) -> bool) -> Vec<Vec<&Signal>> {
        let mut groups = Vec::<Vec<&Signal>>::new();
        let mut index = BTreeMap::new();
        for signal in self.report.signals.iter().filter(|it| it.way == way && is_it(it)) {
            // The ACK of an answer that is no 2xx has the branch of its INVITE, and is another request.
            let is_ack = signal.what == Saying::Request && is_ack(signal);
            let at = *index.entry((&signal.branch, &signal.method, is_ack)).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(group) => group.push(signal),
                None => groups.push(vec![signal]),
            }
        }
        groups
    }

    /// Whether it was called, and had not heard at `at` that its answer has come: before, nobody knows who talks there.
    fn is_early(&self, at: Duration) -> bool {
        let mut signals = self.report.signals.iter();
        let ack = self.report.answered_at.and_then(|answered| {
            signals.find(|it| it.way == Way::Received && is_ack(it) && it.at >= answered)
        });
        self.phone.plan.called.is_some() && ack.is_none_or(|ack| at < ack.at)
    }

    /// Whether a change that the phone has asked for may hold for the gateway at `at`, and not yet for the phone.
    fn is_changing(&self, at: Duration) -> bool {
        let signals = self.report.signals.iter();
        let mut asked = signals.clone().filter(|it| {
            it.way == Way::Sent && it.what == Saying::Request && it.method == "INVITE"
        });
        asked.any(|asked| {
            let is_it = |it: &&Signal| it.branch == asked.branch && is_final(it);
            let mut answers = signals.clone().filter(|it| it.way == Way::Received).filter(is_it);
            let known_at = answers.find_map(|it| it.arrived_at).unwrap_or(Duration::MAX);
            asked.at <= at && at <= known_at
        })
    }

    /// What the phone sent and its own faults let through, each with when they did.
    fn sent(&self) -> impl Iterator<Item = (Duration, &Signal)> {
        let sent = self.report.signals.iter().filter(|it| it.way == Way::Sent);
        sent.filter_map(|it| Some((it.arrived_at?, it)))
    }
}

/// Whether `client` and `phone` call one another by their plans.
fn calls(client: &SipClient, phone: &Phone) -> bool {
    let mut orders = client.plan.orders.iter();
    let invites =
        orders.any(|it| matches!(&it.command, Command::Invite(to) if host_of(to) == phone.host));
    let (_, domain) = client.plan.user_and_domain();
    invites || phone.plan.calls_back_ms.is_some() && domain == phone.host
}

/// Whether `talk` of `client` is, or was to be, with `phone`.
fn is_with(client: &SipClient, talk: &Talk, phone: &Phone) -> bool {
    let (_, domain) = client.plan.user_and_domain();
    match talk.is_incoming {
        true => phone.plan.calls_back_ms.is_some() && domain == phone.host,
        false => host_of(&talk.peer) == phone.host,
    }
}

/// The host of an address.
fn host_of(address: &str) -> &str {
    let behind_user = address.rsplit_once('@').map_or(address, |(_, host)| host);
    behind_user.split([':', ';', '>']).next().unwrap_or_default()
}

/// Whether all packets arrive, once each and in order.
fn is_faithful(direction: &Direction) -> bool {
    let chances =
        [direction.loss_ppm, direction.duplicate_ppm, direction.reorder_ppm, direction.corrupt_ppm];
    direction.burst_loss.is_none() && chances.iter().all(|ppm| *ppm == 0)
}

fn is_final(signal: &Signal) -> bool {
    matches!(signal.what, Saying::Response(200..))
}

/// Whether it is an ACK; its number is that of the INVITE.
fn is_ack(signal: &Signal) -> bool {
    signal.method == "ACK"
}
