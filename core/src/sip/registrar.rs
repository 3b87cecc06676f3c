//! Where users can be called: what phones have said of themselves, until it is over (RFC 3261, section 10.3).
//!
//! One domain is served: a user is known by the user part of its address, whatever the host behind it is.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    behind_nat::Behind,
    transport::Hop,
    uri::{SipUri, Uri},
};

/// For how long a phone is registered that does not say, in seconds (section 10.2.1.1).
const EXPIRES_S: u32 = 3_600;

/// Who may register, and how much and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistrarConfig {
    /// Of whom users are users.
    pub realm: String,
    /// Who may register, each as itself. None: anybody may, as whom it likes.
    pub users: Vec<User>,
    /// Whether a proof by SHA-256 is asked for before one by MD5.
    pub sha256: bool,
    /// Bindings at a time; for one more there is no room until another is over.
    pub bindings: usize,
    /// The same of one user.
    pub bindings_per_user: usize,
    /// Least time that may be asked for.
    pub expires_min: Duration,
    /// Longest time that is granted.
    pub expires_max: Duration,
}

/// Who may register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User part of its address, and name by which it proves who it is.
    pub name: String,
    /// What proves it.
    pub password: String,
}

/// Where a user can be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What its phone said.
    pub uri: Uri,
    /// The way there.
    pub hop: Hop,
    /// Where the phone takes itself to be, if it is seen somewhere else.
    pub behind: Option<Behind>,
}

/// What a phone says of one of its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Contact {
    pub(super) binding: Binding,
    /// Zero takes it away.
    pub(super) expires: Duration,
}

/// Why nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotBound {
    /// What was said later has come before.
    TooLate,
    /// There are too many; there may be room after this.
    NoRoom(Duration),
}

/// What others are to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum BindingChange {
    Bound { user: String, uri: Uri },
    Unbound { user: String },
}

/// A binding, and what made it.
#[derive(Debug)]
struct Stored {
    id: u64,
    binding: Binding,
    call_id: String,
    cseq: u32,
    expires_at: Duration,
}

/// All bindings.
#[derive(Debug)]
pub(super) struct Registrar {
    config: RegistrarConfig,
    /// Of each user, the one that was confirmed last at the end; of none there are none.
    bindings: BTreeMap<String, Vec<Stored>>,
    in_order: BTreeSet<(Duration, u64, String)>,
    next_id: u64,
    changes: Vec<BindingChange>,
}

impl Registrar {
    pub(super) fn new(config: RegistrarConfig) -> Self {
        let (bindings, in_order) = (BTreeMap::new(), BTreeSet::new());
        Self { config, bindings, in_order, next_id: 0, changes: Vec::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bindings.is_empty()
    }

    /// What is granted to who asks for `asked` seconds, or does not say; `Err` is what is to be asked for at least.
    pub(super) fn grant(&self, asked_s: Option<u32>) -> Result<Duration, Duration> {
        let RegistrarConfig { expires_min, expires_max, .. } = self.config;
        match asked_s.map(|asked_s| Duration::from_secs(asked_s.into())) {
            Some(Duration::ZERO) => Ok(Duration::ZERO),
            Some(asked) if asked < expires_min => Err(expires_min),
            Some(asked) => Ok(asked.min(expires_max)),
            None => Ok(Duration::from_secs(EXPIRES_S.into()).clamp(expires_min, expires_max)),
        }
    }

    /// Does all that a request with `call_id` and `cseq` says of `user`, or nothing.
    pub(super) fn update(
        &mut self,
        now: Duration,
        user: &str,
        (call_id, cseq): (&str, u32),
        contacts: Vec<Contact>,
    ) -> Result<(), NotBound> {
        self.handle_timeout(now);
        let own = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        let stored_of = |contact: &Contact| {
            own.iter().find(|stored| stored.binding.uri.is_equivalent(&contact.binding.uri))
        };
        let mut added = 0;
        for contact in &contacts {
            match stored_of(contact) {
                Some(stored) if stored.call_id == call_id && stored.cseq >= cseq => {
                    return Err(NotBound::TooLate);
                }
                Some(_) => added -= isize::from(contact.expires.is_zero()),
                None => added += isize::from(!contact.expires.is_zero()),
            }
        }
        let has_room = |before: usize, most| before.saturating_add_signed(added) <= most;
        let until = |at: Option<Duration>| NotBound::NoRoom(at.unwrap_or(now).saturating_sub(now));
        if added > 0 && !has_room(own.len(), self.config.bindings_per_user) {
            return Err(until(own.iter().map(|stored| stored.expires_at).min()));
        }
        if added > 0 && !has_room(self.in_order.len(), self.config.bindings) {
            return Err(until(self.poll_timeout()));
        }
        for contact in contacts {
            self.set(now, user, (call_id, cseq), contact);
        }
        Ok(())
    }

    /// Takes all of `user` away.
    pub(super) fn clear(
        &mut self,
        now: Duration,
        user: &str,
        request: (&str, u32),
    ) -> Result<(), NotBound> {
        let own = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        let gone =
            |stored: &Stored| Contact { binding: stored.binding.clone(), expires: Duration::ZERO };
        let contacts = own.iter().map(gone).collect();
        self.update(now, user, request, contacts)
    }

    fn set(&mut self, now: Duration, user: &str, (call_id, cseq): (&str, u32), contact: Contact) {
        let Contact { binding, expires } = contact;
        let own = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        let mut stored = own.iter();
        let before = stored.find(|stored| stored.binding.uri.is_equivalent(&binding.uri));
        let before = before.map(|stored| stored.id);
        if expires.is_zero() {
            if let Some(id) = before {
                self.remove(user, id);
            }
            return;
        }
        let all = self.bindings.entry(user.to_owned()).or_default();
        match before.and_then(|id| all.iter().position(|stored| stored.id == id)) {
            Some(at) => {
                let stored = all.remove(at);
                self.in_order.remove(&(stored.expires_at, stored.id, user.to_owned()));
            }
            None => {
                let uri = binding.uri.clone();
                self.changes.push(BindingChange::Bound { user: user.to_owned(), uri });
            }
        }
        self.next_id += 1;
        let (id, expires_at, call_id) = (self.next_id, now + expires, call_id.to_owned());
        all.push(Stored { id, binding, call_id, cseq, expires_at });
        self.in_order.insert((expires_at, id, user.to_owned()));
    }

    fn remove(&mut self, user: &str, id: u64) {
        let Some(all) = self.bindings.get_mut(user) else { return };
        if let Some(at) = all.iter().position(|stored| stored.id == id) {
            let stored = all.remove(at);
            self.in_order.remove(&(stored.expires_at, id, user.to_owned()));
        }
        if all.is_empty() {
            self.bindings.remove(user);
            self.changes.push(BindingChange::Unbound { user: user.to_owned() });
        }
        // An empty map would keep its last node.
        if self.bindings.is_empty() {
            (self.bindings, self.in_order) = (BTreeMap::new(), BTreeSet::new());
        }
    }

    /// Where `user` can be called, and for how long.
    pub(super) fn list(&self, now: Duration, user: &str) -> Vec<(&Binding, Duration)> {
        let own = self.bindings.get(user).map(Vec::as_slice).unwrap_or_default();
        let left = |stored: &Stored| stored.expires_at.saturating_sub(now);
        let all = own.iter().map(|stored| (&stored.binding, left(stored)));
        all.filter(|(_, left)| !left.is_zero()).collect()
    }

    /// The connection `hop` is no more: whoever has said where it waits for others is called there, others cannot be called.
    pub(super) fn handle_lost_way(&mut self, hop: Hop) {
        for stored in self.bindings.values_mut().flatten() {
            let said = stored.binding.uri.as_sip().and_then(SipUri::address);
            if stored.binding.hop == hop
                && let Some(other) = said.and_then(|said| hop.other(said))
            {
                stored.binding.hop = other;
            }
        }
        self.handle_unreachable(hop);
    }

    /// Nobody can be called by `hop`.
    pub(super) fn handle_unreachable(&mut self, hop: Hop) {
        let is_lost = |stored: &&Stored| stored.binding.hop == hop;
        let all = self.bindings.iter();
        let lost = all.flat_map(|(user, own)| {
            own.iter().filter(is_lost).map(|stored| (user.clone(), stored.id))
        });
        for (user, id) in lost.collect::<Vec<_>>() {
            self.remove(&user, id);
        }
    }

    /// Takes away what is over at `now`.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        while let Some((_, id, user)) = self.in_order.first().filter(|(at, ..)| *at <= now) {
            let (id, user) = (*id, user.clone());
            self.remove(&user, id);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.in_order.first().map(|(at, ..)| *at)
    }

    /// What has changed since it was asked last.
    pub(super) fn take_changes(&mut self) -> Vec<BindingChange> {
        std::mem::take(&mut self.changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::transport::Transport;

    const S: Duration = Duration::from_secs(1);

    fn registrar() -> Registrar {
        Registrar::new(RegistrarConfig {
            realm: "r".into(),
            users: Vec::new(),
            bindings: 4,
            bindings_per_user: 2,
            expires_min: 60 * S,
            sha256: true,
            expires_max: 7_200 * S,
        })
    }

    fn contact(uri: &str, expires_s: u32) -> Contact {
        let hop = Hop { transport: Transport::Tcp, address: "192.0.2.9:61000".parse().unwrap() };
        let binding = Binding { uri: Uri::parse(uri).unwrap(), hop, behind: None };
        Contact { binding, expires: expires_s * S }
    }

    fn uris(own: &Registrar, now: Duration, user: &str) -> Vec<String> {
        own.list(now, user)
            .iter()
            .map(|(own, left)| format!("{} {}", own.uri, left.as_secs()))
            .collect()
    }

    /// As `+user uri` and `-user`.
    fn changes(own: &mut Registrar) -> Vec<String> {
        let written = |change| match change {
            BindingChange::Bound { user, uri } => format!("+{user} {uri}"),
            BindingChange::Unbound { user } => format!("-{user}"),
        };
        own.take_changes().into_iter().map(written).collect()
    }

    #[test]
    fn what_is_granted_is_within_bounds() {
        let own = registrar();
        let cases = [
            (None, Ok(3_600)),
            (Some(0), Ok(0)),
            (Some(59), Err(60)),
            (Some(60), Ok(60)),
            (Some(u32::MAX), Ok(7_200)),
        ];
        for (asked, granted) in cases {
            let expected = granted.map(|own| own * S).map_err(|own: u32| own * S);
            assert_eq!(own.grant(asked), expected, "{asked:?}");
        }
    }

    #[test]
    fn a_phone_is_there_until_its_time_is_over_and_the_last_that_came_is_the_newest() {
        let mut own = registrar();
        own.update(S, "a", ("c1", 1), vec![contact("sip:a@h1", 100)]).unwrap();
        own.update(2 * S, "a", ("c2", 1), vec![contact("sip:a@h2", 60)]).unwrap();
        assert_eq!(changes(&mut own), ["+a sip:a@h1", "+a sip:a@h2"]);
        assert_eq!(uris(&own, 2 * S, "a"), ["sip:a@h1 99", "sip:a@h2 60"]);
        own.update(3 * S, "a", ("c1", 2), vec![contact("sip:a@H1", 100)]).unwrap();
        assert_eq!(uris(&own, 3 * S, "a"), ["sip:a@h2 59", "sip:a@H1 100"]);
        assert_eq!(own.poll_timeout(), Some(62 * S));
        own.handle_timeout(62 * S);
        assert_eq!(uris(&own, 62 * S, "a"), ["sip:a@H1 41"]);
        assert_eq!((changes(&mut own), own.poll_timeout()), (vec![], Some(103 * S)));
        assert!(uris(&own, 103 * S, "a").is_empty());
        own.handle_timeout(103 * S);
        assert_eq!(changes(&mut own), ["-a"]);
        assert!(own.is_empty() && own.poll_timeout().is_none() && own.changes.capacity() == 0);
    }

    #[test]
    fn what_comes_too_late_changes_nothing() {
        let mut own = registrar();
        let both = |expires_s| vec![contact("sip:a@h1", expires_s), contact("sip:a@h2", expires_s)];
        own.update(S, "a", ("c1", 7), vec![contact("sip:a@h1", 100)]).unwrap();
        for cseq in [6, 7] {
            assert_eq!(own.update(S, "a", ("c1", cseq), both(0)), Err(NotBound::TooLate));
            assert_eq!(own.clear(S, "a", ("c1", cseq)), Err(NotBound::TooLate));
            assert_eq!(own.update(S, "a", ("c1", cseq), both(60)), Err(NotBound::TooLate));
        }
        assert_eq!(uris(&own, S, "a"), ["sip:a@h1 100"]);
        own.update(S, "a", ("c2", 1), both(60)).unwrap();
        own.clear(S, "a", ("c2", 2)).unwrap();
        own.clear(S, "a", ("c2", 2)).unwrap();
        assert_eq!(changes(&mut own), ["+a sip:a@h1", "+a sip:a@h2", "-a"]);
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut own = registrar();
        let no_room = |seconds: u32| Err(NotBound::NoRoom(seconds * S));
        own.update(S, "a", ("c", 1), vec![contact("sip:a@h1", 100)]).unwrap();
        own.update(S, "a", ("c", 1), vec![contact("sip:a@h2", 200)]).unwrap();
        let third = || vec![contact("sip:a@h3", 100)];
        assert_eq!(own.update(11 * S, "a", ("c", 2), third()), no_room(90));
        // One that is there needs no room, one that another makes way for neither.
        own.update(11 * S, "a", ("c", 2), vec![contact("sip:a@h2", 200)]).unwrap();
        let exchanged = vec![contact("sip:a@h1", 0), contact("sip:a@h3", 100)];
        own.update(11 * S, "a", ("c", 3), exchanged).unwrap();
        own.update(11 * S, "b", ("c", 1), vec![contact("sip:b@h", 70)]).unwrap();
        own.update(11 * S, "c", ("c", 1), vec![contact("sip:c@h", 80)]).unwrap();
        assert_eq!(own.update(11 * S, "d", ("c", 1), vec![contact("sip:d@h", 100)]), no_room(70));
        own.update(81 * S, "d", ("c", 1), vec![contact("sip:d@h", 100)]).unwrap();
    }

    #[test]
    fn who_is_reached_by_a_connection_is_gone_with_it() {
        let mut own = registrar();
        own.update(S, "a", ("c", 1), vec![contact("sip:a@h", 100)]).unwrap();
        let mut other = contact("sip:b@h", 100);
        other.binding.hop.address.set_port(1);
        own.update(S, "b", ("c", 1), vec![other]).unwrap();
        own.handle_lost_way(contact("sip:a@h", 0).binding.hop);
        assert_eq!(changes(&mut own), ["+a sip:a@h", "+b sip:b@h", "-a"]);
    }
}
