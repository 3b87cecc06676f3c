//! Where we can be called: an account is registered with its registrar, and kept so until it is not wanted any more (RFC 3261,
//! section 10.2).
//!
//! Each REGISTER is answered before the next goes out, so that an account either has one on its way, or waits for the time of
//! the next: its refresh, or another try after one that came to nothing.

use std::{collections::BTreeMap, time::Duration};

use super::{Agent, AgentEvent, Purpose, Timed, auth::ClientAuth, within::retry_after};
use crate::sip::{
    dialog::FIRST_CSEQ_BOUND,
    digest::Credentials,
    fields::{CSeq, NameAddr, decimal},
    headers::HeaderName,
    message::{Request, Response, reason_phrase},
    method::Method,
    tokens::Tokens,
    transport::{Hop, Transport},
    uri::Uri,
};

/// Longest wait before the first of several tries in a row is repeated; it doubles with each (RFC 5626, section 4.5).
const BACK_OFF_MS: u32 = 30_000;
/// What it doubles up to.
const BACK_OFF_MS_MAX: u32 = 1_800_000;
/// How long before its end a registration is refreshed at most; a twentieth of it if that is less.
const MARGIN_MAX: Duration = Duration::from_secs(5);
/// Least time between two refreshes, however short what is granted may be.
const REFRESH_WAIT_MIN: Duration = Duration::from_secs(1);

/// Somebody as whom this end can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountRef(u64);

/// Somebody as whom this end can be called: where it registers, and what proves who it is.
#[derive(Clone, Debug)]
pub struct Account {
    /// Address of record: what others call.
    pub address: Uri,
    /// The registrar's domain, without a user.
    pub registrar: Uri,
    /// The first on the way to it.
    pub hop: Hop,
    /// User part of the Contact, by which calls to this account are told from others.
    pub contact_user: String,
    /// What proves who it is.
    pub credentials: Option<Credentials>,
    /// For how long it asks to be registered.
    pub expires: Duration,
}

/// An account and how far it is registered.
#[derive(Debug)]
pub(super) struct Registration {
    account: Account,
    /// One for all its requests, as the number goes on.
    call_id: String,
    tag: String,
    cseq: u32,
    auth: ClientAuth,
    /// What is asked for: by the account, or what its registrar wants at least.
    expires: Duration,
    stage: Stage,
    /// Tries in a row that came to nothing.
    failures: u32,
    /// The registrar may have our Contact.
    may_be_bound: bool,
    /// It is not wanted any more.
    is_leaving: bool,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// A REGISTER is on its way: to have the account registered no more, or after one that was too brief.
    Asking { is_last: bool, is_longer: bool },
    /// Nothing is.
    Waiting { at: Duration, is_registered: bool },
}

impl Agent {
    /// Registers an account, and keeps it registered until [`Self::unregister`].
    pub fn register(&mut self, now: Duration, account: Account) -> AccountRef {
        let tokens = self.transactions.tokens();
        let registration = Registration {
            call_id: tokens.hex(),
            tag: tokens.hex(),
            cseq: tokens.below(FIRST_CSEQ_BOUND),
            auth: ClientAuth::default(),
            expires: account.expires,
            stage: Stage::Waiting { at: now, is_registered: false },
            failures: 0,
            may_be_bound: false,
            is_leaving: false,
            account,
        };
        self.next_account += 1;
        let account = AccountRef(self.next_account);
        self.accounts.insert(account, registration);
        self.begin_registration(now, account);
        account
    }

    /// Has an account be registered no more; nothing more is heard of it.
    pub fn unregister(&mut self, now: Duration, account: AccountRef) {
        let Some(own) = self.accounts.get_mut(&account) else { return };
        own.is_leaving = true;
        self.events.retain(|event| {
            !matches!(event,
                AgentEvent::Registered { account: told, .. }
                | AgentEvent::RegistrationFailed { account: told, .. } if *told == account)
        });
        // What is on its way is answered first (section 10.2).
        if matches!(own.stage, Stage::Waiting { .. }) {
            self.leave(now, account);
        }
    }

    /// The registrar of `account` was found at `hop`, where it goes from the next time on.
    pub fn move_registrar(&mut self, account: AccountRef, hop: Hop) {
        if let Some(own) = self.accounts.get_mut(&account) {
            own.account.hop = hop;
        }
    }

    /// Begins to register an account, or to refresh that.
    pub(super) fn begin_registration(&mut self, now: Duration, account: AccountRef) {
        let Some(own) = self.accounts.get_mut(&account) else { return };
        own.auth.begin();
        self.send_register(now, account, false, false);
    }

    /// Begins to take an account's Contact away from the registrar, if it may have it.
    fn leave(&mut self, now: Duration, account: AccountRef) {
        let Some(own) = self.accounts.get_mut(&account) else { return };
        if own.may_be_bound {
            own.auth.begin();
            self.send_register(now, account, true, false);
        } else {
            self.remove_account(account);
        }
    }

    fn send_register(
        &mut self,
        now: Duration,
        account: AccountRef,
        is_last: bool,
        is_longer: bool,
    ) {
        let Some(contact) = self.contact_of(account) else { return };
        let Some(own) = self.accounts.get_mut(&account) else { return };
        let hop = own.account.hop;
        own.cseq += 1;
        own.stage = Stage::Asking { is_last, is_longer };
        let expires = if is_last { Duration::ZERO } else { own.expires };
        let request = own.request(contact, expires, self.transactions.tokens());
        let id = self.transactions.request(now, request, (hop, None));
        self.clients.insert(id, Purpose::Register(account));
        self.deadlines.set(Timed::Account(account), None);
    }

    /// A REGISTER was answered finally with `status`; `response` said so, if somebody did.
    pub(super) fn handle_registration(
        &mut self,
        now: Duration,
        account: AccountRef,
        status: u16,
        response: Option<&Response>,
    ) {
        let Some(own) = self.accounts.get_mut(&account) else { return };
        let Stage::Asking { is_last, is_longer } = own.stage else { return };
        // Without an answer it may have come to the registrar all the same.
        own.may_be_bound |= response.is_none_or(|response| response.status < 300);
        if own.is_leaving && !is_last {
            self.leave(now, account);
            return;
        }
        match (status, response) {
            (401 | 407, Some(response))
                if own.account.credentials.is_some() && own.auth.take(response) =>
            {
                self.send_register(now, account, is_last, is_longer);
                return;
            }
            (423, Some(response)) if !is_last && !is_longer => {
                let least = response.headers.get(&HeaderName::MIN_EXPIRES).and_then(decimal);
                let least = least.map(|seconds| Duration::from_secs(seconds.into()));
                if let Some(least) = least.filter(|least| *least > own.expires) {
                    own.expires = least;
                    self.send_register(now, account, is_last, true);
                    return;
                }
            }
            _ => {}
        }
        if is_last {
            self.remove_account(account);
            return;
        }
        let Some(contact) = self.contact_of(account) else { return };
        let Some(own) = self.accounts.get_mut(&account) else { return };
        let granted = response
            .filter(|response| response.status < 300)
            .map(|response| granted(response, &contact, own.expires))
            .filter(|granted| !granted.is_zero());
        let (event, at) = match granted {
            Some(expires) => {
                own.failures = 0;
                let wait = (expires - (expires / 20).min(MARGIN_MAX)).max(REFRESH_WAIT_MIN);
                (AgentEvent::Registered { account, expires }, now + wait)
            }
            None => {
                let wait = back_off(own.failures, self.transactions.tokens());
                own.failures = own.failures.saturating_add(1);
                let asked = response.and_then(retry_after).unwrap_or_default();
                let longest = Duration::from_millis(BACK_OFF_MS_MAX.into());
                let said = response.map(|response| response.reason.clone());
                let reason = said.filter(|said| !said.is_empty());
                let reason = reason.unwrap_or_else(|| reason_phrase(status).to_owned());
                let event = AgentEvent::RegistrationFailed { account, status, reason };
                (event, now + wait.max(asked.min(longest)))
            }
        };
        own.stage = Stage::Waiting { at, is_registered: granted.is_some() };
        self.deadlines.set(Timed::Account(account), Some(at));
        self.events.push_back(event);
    }

    /// Nothing can be sent to `hop`. A registrar that reached us by a connection there does so no more: what is registered with
    /// it is refreshed sooner.
    pub(super) fn refresh_sooner(&mut self, now: Duration, hop: Hop) {
        for (account, own) in &mut self.accounts {
            let Stage::Waiting { at, is_registered: true } = &mut own.stage else { continue };
            if own.account.hop == hop && hop.transport == Transport::Tcp {
                *at = (now + back_off(0, self.transactions.tokens())).min(*at);
                self.deadlines.set(Timed::Account(*account), Some(*at));
            }
        }
    }

    fn contact_of(&self, account: AccountRef) -> Option<NameAddr> {
        let own = &self.accounts.get(&account)?.account;
        Some(self.contact(Some(&own.contact_user), own.hop.transport))
    }

    fn remove_account(&mut self, account: AccountRef) {
        self.accounts.remove(&account);
        self.deadlines.set(Timed::Account(account), None);
        // An empty map would keep its last node.
        if self.accounts.is_empty() {
            self.accounts = BTreeMap::new();
        }
    }
}

impl Registration {
    fn request(
        &mut self,
        mut contact: NameAddr,
        expires: Duration,
        tokens: &mut Tokens,
    ) -> Request {
        let seconds = expires.as_secs().to_string();
        let (address, cseq) = (NameAddr::new(self.account.address.clone()), self.cseq);
        contact.params.set("expires", Some(seconds.clone()));
        let mut request = Request::new(Method::Register, self.account.registrar.clone());
        for (name, value) in [
            (HeaderName::MAX_FORWARDS, "70".to_owned()),
            (HeaderName::FROM, address.clone().with_tag(&self.tag).to_string()),
            (HeaderName::TO, address.to_string()),
            (HeaderName::CALL_ID, self.call_id.clone()),
            (HeaderName::CSEQ, CSeq { number: cseq, method: Method::Register }.to_string()),
            (HeaderName::CONTACT, contact.to_string()),
            (HeaderName::EXPIRES, seconds),
        ] {
            request.headers.push(name, value);
        }
        self.auth.authorize(&mut request, self.account.credentials.as_ref(), tokens);
        request
    }
}

/// What a 2xx grants to `contact`, of which `asked` was asked for. All contacts of the address are listed; if there is one alone, it
/// is ours, however it may have been written anew on its way.
fn granted(response: &Response, contact: &NameAddr, asked: Duration) -> Duration {
    let listed = response.headers.list(&HeaderName::CONTACT);
    let listed: Vec<_> = listed.into_iter().filter_map(NameAddr::parse).collect();
    let own = listed.iter().find(|listed| listed.uri.is_equivalent(&contact.uri));
    let own = own.or_else(|| listed.first().filter(|_| listed.len() == 1));
    let seconds = own.and_then(|own| decimal(&own.params.get("expires")?));
    let seconds = seconds.or_else(|| decimal(response.headers.get(&HeaderName::EXPIRES)?));
    seconds.map_or(asked, |seconds| Duration::from_secs(seconds.into()))
}

/// How long to wait after `failures` tries in a row and one more; at random, lest all who lost their registrar come back at once.
fn back_off(failures: u32, tokens: &mut Tokens) -> Duration {
    let most_ms = (BACK_OFF_MS << failures.min(6)).min(BACK_OFF_MS_MAX);
    Duration::from_millis((most_ms / 2 + tokens.below(most_ms / 2 + 1)).into())
}
