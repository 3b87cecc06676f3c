//! O16 for phones that register at the gateway: what is granted is what was asked for, within the gateway's bounds, and is there
//! until it is over, neither shorter nor longer. It shows in what the gateway lists of a user, and in whom it calls.

use std::time::Duration;

use rehearsal_sim::clients::phone::{ALL, PhoneReport, Registration, Saying, Way};

use super::{Case, SOON, of_each};
use crate::run::Evidence;

/// Least and longest time that the gateway grants, in seconds.
const GRANTED_S: (u32, u32) = (60, 3_600);

/// Every phone that registers, by what all of them have been told.
pub(crate) fn judge(evidence: &Evidence) -> Vec<String> {
    // A gateway that begins anew knows of nobody, and who was told of an outage is another matter.
    if !evidence.plan.outages().is_empty() {
        return Vec::new();
    }
    let known = Known::of(evidence);
    of_each(evidence, |case| {
        let mut found = Vec::new();
        for answered in &case.report.registrations {
            found.extend(grant(answered));
            found.extend(listed(&known, answered));
        }
        found.extend(called(evidence, case));
        found
    })
}

/// What is granted follows from what is asked for.
fn grant(answered: &Registration) -> Option<String> {
    let (least, most) = GRANTED_S;
    let Registration { at, asked_s, granted_s, .. } = *answered;
    let is_brief = asked_s > 0 && asked_s < least;
    let is_of_all = answered.contacts == [ALL];
    match (answered.status?, granted_s) {
        // All can be taken back, and nothing else (RFC 3261, section 10.2.2).
        (status, _)
            if is_of_all && (status == 400) != (asked_s > 0) && [200, 400].contains(&status) =>
        {
            Some(format!(
                "at {at:?}, {asked_s} s were asked for of all, and answered with {status}"
            ))
        }
        (400, _) if is_of_all => None,
        (423, _) if !is_brief => Some(format!("at {at:?}, {asked_s} s were too brief")),
        (200, _) if is_brief => Some(format!("at {at:?}, {asked_s} s were granted")),
        (200, granted_s) => {
            let due = (asked_s > 0).then_some(asked_s.min(most));
            (granted_s != due).then(|| {
                format!("at {at:?}, {granted_s:?} s were granted of {asked_s}, due were {due:?}")
            })
        }
        _ => None,
    }
}

/// Where a user can be called, as one of its phones has been told.
struct Binding<'a> {
    by: &'a Registration,
    contact: &'a str,
}

/// All registrations of all phones.
struct Known<'a>(Vec<Told<'a>>);

/// What one phone was told, and when connections that it had made were lost.
#[derive(Clone, Copy)]
struct Told<'a> {
    registration: &'a Registration,
    report: &'a PhoneReport,
}

impl Told<'_> {
    /// Whether the connection by which it was said may be lost, and what was registered by it with it, until `at`.
    fn is_cut_off(self, at: Duration) -> bool {
        let connections = self.report.connections.iter().filter(|it| it.is_own);
        let mut ends = connections.filter_map(|it| it.ended);
        ends.any(|(ended, _)| (self.registration.asked_at..=at).contains(&ended))
    }
}

/// What is known of a contact at a time.
enum State {
    /// It is there until so long after the one, and not longer than after the other.
    Until(Duration, Duration),
    /// It is not there.
    Nowhere,
    /// A request may have come to the gateway, of which nobody was told.
    Unsure,
}

impl<'a> Known<'a> {
    fn of(evidence: &'a Evidence) -> Self {
        let all = evidence.phones.iter().flat_map(|report| {
            report.registrations.iter().map(move |registration| Told { registration, report })
        });
        let mut all: Vec<_> = all.collect();
        all.sort_by_key(|it| it.registration.asked_at);
        Self(all)
    }

    /// Every contact of `user` that was ever asked for, with the one who asked for it.
    fn contacts(&self, user: &str) -> Vec<Binding<'a>> {
        let own = self.0.iter().map(|it| it.registration).filter(|it| it.user == user);
        let all = own.flat_map(|by| by.contacts.iter().map(|contact| Binding { by, contact }));
        let mut all: Vec<Binding<'a>> = all.filter(|binding| binding.contact != ALL).collect();
        all.sort_by_key(|binding| binding.contact);
        all.dedup_by_key(|binding| binding.contact);
        all
    }

    /// What `answered` is to say of `binding`.
    fn state(&self, binding: &Binding<'_>, answered: &Registration) -> State {
        let user = &binding.by.user;
        let of_it = self.0.iter().filter(|it| {
            let Registration { user: own, contacts, .. } = it.registration;
            let is_it = |contact: &String| contact == binding.contact || contact == ALL;
            own == user && contacts.iter().any(is_it)
        });
        let mut state = State::Nowhere;
        for told in of_it {
            let other = told.registration;
            let is_own = std::ptr::eq(other, answered);
            if other.asked_at > answered.at {
                continue;
            }
            // Answered while this one was on its way, or not at all.
            let is_open = !is_own && other.at >= answered.asked_at;
            state = match other.status {
                None => State::Unsure,
                Some(200) if is_open => State::Unsure,
                Some(200) if other.asked_s == 0 => State::Nowhere,
                Some(200) if told.is_cut_off(answered.at) => State::Unsure,
                Some(200) => {
                    let granted = Duration::from_secs(other.asked_s.min(GRANTED_S.1).into());
                    State::Until(other.asked_at + granted, other.at + granted)
                }
                _ if may_be_taken(other) => State::Unsure,
                // Nothing has changed.
                Some(_) => state,
            };
        }
        state
    }
}

/// Whether it was made once more and refused for its number, which is that of the first time (RFC 3261, section 10.3, step 7): then
/// that was taken, and the answer to it lost with its connection.
fn may_be_taken(registration: &Registration) -> bool {
    registration.is_again && registration.status == Some(500)
}

/// What the gateway lists is what there is, each for as long as is left of it.
fn listed(known: &Known<'_>, answered: &Registration) -> Vec<String> {
    if answered.status != Some(200) {
        return Vec::new();
    }
    let (from, to) = (answered.asked_at.saturating_sub(SOON), answered.at + SOON);
    let contacts = known.contacts(&answered.user);
    let unknown = answered
        .listed
        .iter()
        .filter(|(contact, _)| !contacts.iter().any(|binding| binding.contact == contact));
    let mut found: Vec<String> = unknown
        .map(|(contact, _)| format!("at {to:?} {contact} was listed, which nobody has registered"))
        .collect();
    for binding in contacts {
        let left_s = answered.listed.iter().find(|(contact, _)| contact == binding.contact);
        let left_s = left_s.map(|(_, left_s)| *left_s);
        let contact = binding.contact;
        match (known.state(&binding, answered), left_s) {
            (State::Unsure, _) | (State::Nowhere, None) => {}
            (State::Nowhere, Some(left_s)) => found.push(format!(
                "at {to:?} {contact} was listed for {left_s} s, which is not registered"
            )),
            (State::Until(least, _), None) if to < least => found.push(format!(
                "at {to:?} {contact} was not listed, which is registered until {least:?}"
            )),
            (State::Until(..), None) => {}
            (State::Until(least, most), Some(left_s)) => {
                let left = Duration::from_secs(left_s.into());
                // Whole seconds, and one for what is left.
                let is_right = least <= to + left
                    && from + left < most + Duration::from_secs(1)
                    && from < most;
                if !is_right {
                    found.push(format!(
                        "at {to:?} {contact} was listed for {left_s} s, registered it is until {most:?}"
                    ));
                }
            }
        }
    }
    found
}

/// Whoever is called by a name is registered under it when the call begins.
fn called(evidence: &Evidence, case: Case<'_>) -> Vec<String> {
    let Some(registers) = &case.phone.plan.registers else { return Vec::new() };
    let calls = &evidence.plan.config.sip.calls;
    let is_named = calls.iter().any(|call| call.to == registers.user);
    let is_addressed = calls.iter().any(|call| {
        let address = call.to.trim_end_matches(";transport=tcp");
        address.ends_with(&format!("@{}", case.phone.host))
    });
    if !is_named || is_addressed || !case.says_in_order() {
        return Vec::new();
    }
    let begun = case.asked().into_iter().map(|copies| copies[0]);
    let begun = begun.filter(|it| it.what == Saying::Request && it.method == "INVITE");
    let begun = begun.filter(|it| it.to_tag.is_none() && it.way == Way::Received);
    // Of one that was lost, copies come for so long.
    let is_sure_to_come = case.is_faithful() && !case.plan.is_faulty(&case.phone.host);
    let copies = Duration::from_millis(64 * evidence.plan.config.sip.t1_ms);
    let late = case.round_trip() + if is_sure_to_come { Duration::ZERO } else { copies };
    let wrong = begun.filter_map(|invite| {
        let sent = case.report.registrations.iter().filter(|it| it.asked_at <= invite.at);
        let (mut until, mut is_sure) = (None, true);
        for registration in sent {
            match registration.status {
                // Nobody knows whether it came.
                None => is_sure = false,
                Some(200) => {
                    let granted_s = registration.granted_s.unwrap_or(0);
                    until = Some(registration.at + Duration::from_secs(granted_s.into()));
                    is_sure = true;
                }
                Some(_) if may_be_taken(registration) => is_sure = false,
                Some(_) => {}
            }
        }
        let is_late = until.is_none_or(|until| invite.at > until + late);
        let at = invite.at;
        (is_sure && is_late)
            .then(|| format!("it was called at {at:?}, and was registered until {until:?}"))
    });
    wrong.collect()
}
