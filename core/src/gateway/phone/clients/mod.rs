//! Clients of the application `sip`: each is a user agent with an address, at most one registration, and at most one call.
//!
//! Here are the clients, and how they come and go. [`orders`] does what they want, [`events`] tells them what has happened. One
//! whose address another proves to have is told so, and forgotten.

mod events;
mod orders;
mod rate;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use bytes::Bytes;
use tracing::info;

use self::rate::Rate;
use super::{
    Phones,
    desk::{Action, Attachment, CallNotice, ClientRef},
    locating::{Unlocatable, Wanted},
    refusal::words,
    route::Destination,
};
use crate::{
    env::Env,
    gateway::count,
    sdp::Codec,
    sip::{
        agent::{Account, AccountRef, CallRef},
        digest::Credentials,
        fields::NameAddr,
        transport::Hop,
        uri::{SipUri, Uri},
    },
};

/// For how long a client is registered at a time.
const EXPIRES: Duration = Duration::from_secs(180);
/// Status of a call that a client does not take: nor does it anywhere else.
const DECLINE: u16 = 603;
/// Status of a call to a client that is gone, who may be reached elsewhere.
pub(super) const UNAVAILABLE: u16 = 480;
/// What the user part of a client's Contact begins with, so that it is no number that may be routed.
const CONTACT_MARK: char = '~';

/// All clients, and what leads to each.
#[derive(Debug, Default)]
pub(super) struct Clients {
    clients: BTreeMap<ClientRef, Client>,
    accounts: BTreeMap<AccountRef, ClientRef>,
    /// By the user part of its Contact.
    contacts: BTreeMap<String, ClientRef>,
    /// As long as the call's streams are not free.
    calls: BTreeMap<CallRef, ClientRef>,
    /// What was sent for them of late.
    rate: Rate,
}

/// Who is called by an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Called {
    /// This client.
    Client(ClientRef),
    /// A client that is not attached any more, of which a registrar may not know yet.
    Gone,
    /// None.
    Nobody,
}

/// A user agent.
#[derive(Debug)]
struct Client {
    address: NameAddr,
    /// Where its connection comes from.
    ip: IpAddr,
    credentials: Option<Credentials>,
    /// What it can when it says nothing else.
    codecs: Vec<Codec>,
    contact_user: String,
    standing: Standing,
    talk: Talk,
    /// It holds its call, or wants to.
    wants_hold: bool,
    /// Its latest offer says so.
    offered_hold: bool,
    /// A call that is over, but whose streams are not free yet.
    leaving: Option<CallRef>,
    /// What waits for that.
    waiting: VecDeque<(f64, Action)>,
    /// Callees that were looked for.
    sought: u64,
}

/// Whether a client is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Its registrar is looked for.
    Locating,
    /// Its registrar is asked for the first time.
    Registering(AccountRef),
    /// It is, and can be called unless the registration is lost.
    Registered { account: AccountRef, is_lost: bool },
    /// It is, and cannot be called.
    Anonymous,
}

/// How far a client's call is.
#[derive(Debug, Default)]
enum Talk {
    #[default]
    None,
    /// Where the callee is, is being found out.
    Seeking { number: u64, to: NameAddr, codecs: Vec<Codec>, is_named: bool },
    /// The callee has not answered; the last status that it gave.
    Calling { call: CallRef, is_named: bool, status: u16 },
    /// Somebody calls, and the client has not answered.
    Invited { call: CallRef, sdp: Option<Bytes>, source: Hop },
    /// The client has answered, and the caller does not know it yet.
    Accepting { call: CallRef, is_named: bool },
    /// It is up.
    Up { call: CallRef, is_held: bool },
}

impl Talk {
    fn call(&self) -> Option<CallRef> {
        match self {
            Self::None | Self::Seeking { .. } => None,
            Self::Calling { call, .. }
            | Self::Invited { call, .. }
            | Self::Accepting { call, .. }
            | Self::Up { call, .. } => Some(*call),
        }
    }
}

impl Client {
    fn account(&self) -> Option<AccountRef> {
        match self.standing {
            Standing::Registering(account) | Standing::Registered { account, .. } => Some(account),
            Standing::Locating | Standing::Anonymous => None,
        }
    }

    /// Whom it is: user, host and port of its address.
    fn identity(&self) -> Option<(String, String, Option<u16>)> {
        let uri = self.address.uri.as_sip()?;
        Some((uri.user_name()?, uri.host.to_ascii_lowercase(), uri.port))
    }

    /// What it calls, and is called, by.
    fn address(&self) -> String {
        self.address.uri.to_string()
    }
}

impl Clients {
    /// Which client is called by `to`.
    pub(super) fn called(&self, to: &Uri) -> Called {
        match super::outgoing::user_of(to) {
            Some(user) if user.starts_with(CONTACT_MARK) => {
                self.contacts.get(&user).map_or(Called::Gone, |client| Called::Client(*client))
            }
            _ => Called::Nobody,
        }
    }

    /// When something is to be done.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        self.rate.poll_timeout()
    }

    /// Does what is due at `now`.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        self.rate.handle_timeout(now);
    }

    fn by_call(&mut self, call: CallRef) -> Option<(ClientRef, &mut Client)> {
        let client = *self.calls.get(&call)?;
        Some((client, self.clients.get_mut(&client)?))
    }

    fn forget_call(&mut self, call: CallRef) -> Option<ClientRef> {
        let client = self.calls.remove(&call);
        // An empty map would keep its last node.
        if self.calls.is_empty() {
            self.calls = BTreeMap::new();
        }
        client
    }

    /// Takes a client away. What is left of its call stays until its streams are free.
    fn remove(&mut self, client: ClientRef) -> Option<Client> {
        let removed = self.clients.remove(&client)?;
        self.contacts.remove(&removed.contact_user);
        if let Some(account) = removed.account() {
            self.accounts.remove(&account);
        }
        if self.clients.is_empty() {
            (self.clients, self.contacts) = (BTreeMap::new(), BTreeMap::new());
            self.accounts = BTreeMap::new();
        }
        Some(removed)
    }
}

impl<E: Env> Phones<E> {
    /// Somebody wants to be a client: it is one at once, or when it is registered.
    fn attach(&mut self, client: ClientRef, attachment: Attachment) {
        if self.is_ending {
            self.desk.tell(client, CallNotice::NotAttached(words(503)));
            return;
        }
        let mut random = [0; 8];
        self.shared.env.fill_random(&mut random);
        let contact_user = format!("{CONTACT_MARK}{:016x}", u64::from_be_bytes(random));
        let Attachment { address, credentials, codecs, ip } = attachment;
        let is_anonymous = credentials.is_none();
        if !is_anonymous && !self.take_rate(ip) {
            self.desk.tell(client, CallNotice::NotAttached(words(503)));
            return;
        }
        let standing = if is_anonymous { Standing::Anonymous } else { Standing::Locating };
        let uri = address.uri.clone();
        self.clients.contacts.insert(contact_user.clone(), client);
        let own = Client {
            address,
            ip,
            credentials,
            codecs,
            contact_user,
            standing,
            talk: Talk::None,
            wants_hold: false,
            offered_hold: false,
            leaving: None,
            waiting: VecDeque::new(),
            sought: 0,
        };
        self.clients.clients.insert(client, own);
        if is_anonymous {
            self.settle(client);
        } else if let Uri::Sip(uri) = uri {
            self.locate(&uri, Wanted::Registrar(client));
        }
    }

    /// Whether something may be sent for a client at `ip` that others receive.
    fn take_rate(&mut self, ip: IpAddr) -> bool {
        let (now, sip) = (self.now(), &self.shared.config.sip);
        let may = self.clients.rate.take(now, ip, sip.max_client_calls_per_minute, sip.max_calls);
        if !may {
            info!(%ip, "a user agent wants too much: see sip.max_client_calls_per_minute");
        }
        may
    }

    /// A client's registrar is found, or is not.
    pub(super) fn handle_registrar(
        &mut self,
        now: Duration,
        client: ClientRef,
        hop: Result<Hop, Unlocatable>,
    ) {
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        let domain = own.address.uri.as_sip().map(|uri| SipUri::at(&uri.host, uri.port));
        let hop = match hop {
            Ok(hop) => hop,
            Err(error) => {
                return self.dismiss(now, client, CallNotice::NotAttached(error.to_string()));
            }
        };
        let Some(domain) = domain else { return };
        let account = self.agent.register(
            now,
            Account {
                address: own.address.uri.clone(),
                registrar: Uri::Sip(domain),
                hop,
                contact_user: own.contact_user.clone(),
                credentials: own.credentials.clone(),
                expires: EXPIRES,
            },
        );
        own.standing = Standing::Registering(account);
        self.clients.accounts.insert(account, client);
    }

    /// An account is registered, or is not. False when it is no client's.
    pub(super) fn note_client_registration(
        &mut self,
        now: Duration,
        account: AccountRef,
        failure: Option<String>,
    ) -> bool {
        let Some(client) = self.clients.accounts.get(&account).copied() else { return false };
        let Some(own) = self.clients.clients.get_mut(&client) else { return false };
        match (own.standing, failure) {
            (Standing::Registering(_), None) => {
                own.standing = Standing::Registered { account, is_lost: false };
                self.settle(client);
            }
            (Standing::Registering(_), Some(status)) => {
                self.dismiss(now, client, CallNotice::NotAttached(status));
            }
            (Standing::Registered { is_lost: true, .. }, None) => {
                own.standing = Standing::Registered { account, is_lost: false };
                self.desk.tell(client, CallNotice::Registered);
            }
            (Standing::Registered { is_lost: false, .. }, Some(status)) => {
                own.standing = Standing::Registered { account, is_lost: true };
                info!(address = own.address(), status, "a user agent is not registered any more");
                self.desk.tell(client, CallNotice::RegistrationLost(status));
            }
            _ => {}
        }
        true
    }

    /// A client is attached: others with its address are not any more, but those that have proven it where this one has not.
    fn settle(&mut self, client: ClientRef) {
        let Some(own) = self.clients.clients.get(&client) else { return };
        let (identity, is_anonymous) = (own.identity(), own.standing == Standing::Anonymous);
        info!(address = own.address(), registered = !is_anonymous, "a user agent is attached");
        let is_replaced = |(other, own): &(&ClientRef, &Client)| {
            let has_less = match own.standing {
                Standing::Anonymous => true,
                Standing::Registered { .. } => !is_anonymous,
                Standing::Locating | Standing::Registering(_) => false,
            };
            **other != client && has_less && own.identity() == identity
        };
        let others = self.clients.clients.iter().filter(is_replaced);
        let others: Vec<_> = others.map(|(other, _)| *other).collect();
        let now = self.now();
        for other in others {
            self.dismiss(now, other, CallNotice::Replaced);
        }
        self.desk.tell(client, CallNotice::Attached);
    }

    /// Forgets a client, which is told so.
    fn dismiss(&mut self, now: Duration, client: ClientRef, last: CallNotice) {
        self.detach(now, client);
        self.desk.tell(client, last);
    }

    /// Forgets a client, with its call and its registration.
    fn detach(&mut self, now: Duration, client: ClientRef) {
        self.end_talk(now, client, UNAVAILABLE);
        let Some(removed) = self.clients.remove(client) else { return };
        if let Some(account) = removed.account() {
            self.agent.unregister(now, account);
        }
        info!(address = removed.address(), "a user agent is detached");
    }

    /// Forgets all clients, because the shutdown has begun. Their connections tell them.
    pub(super) fn detach_all(&mut self, now: Duration) {
        let clients: Vec<_> = self.clients.clients.keys().copied().collect();
        for client in clients {
            self.detach(now, client);
        }
    }

    /// Ends a client's call, however far it has come, without telling it; one that it has not answered with `status`.
    fn end_talk(&mut self, now: Duration, client: ClientRef, status: u16) {
        let Some(own) = self.clients.clients.get_mut(&client) else { return };
        match std::mem::take(&mut own.talk) {
            Talk::None | Talk::Seeking { .. } => {}
            Talk::Invited { call, .. } => {
                self.clients.forget_call(call);
                count(&self.shared.counters.calls_refused, 1);
                self.agent.reject(now, call, status);
            }
            Talk::Calling { call, .. } | Talk::Accepting { call, .. } | Talk::Up { call, .. } => {
                own.leaving = Some(call);
                self.hang_up(call);
            }
        }
    }
}

/// What a client's calls are connected with.
fn destination(client: ClientRef) -> Destination {
    Destination { publish: Some(client.remote()), play: Some(client.local()) }
}
