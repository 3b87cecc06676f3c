//! Accounts: where the gateway registers so that it can be called, for as long as it runs.

use std::time::Duration;

use tracing::{info, warn};

use super::{
    Phones,
    locating::Wanted,
    outgoing::{credentials, user_of},
};
use crate::{
    env::Env,
    sip::{
        agent::{Account, AccountRef},
        transport::Hop,
        uri::{SipUri, Uri},
    },
};

/// After how long a registrar that was not found is looked for again.
const LOCATE_AGAIN: Duration = Duration::from_secs(30);

/// How far an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Registering {
    /// Its registrar is looked for then.
    LocateAt(Duration),
    /// Its registrar is being looked for.
    Locating,
    /// The agent sees to it.
    Asked(AccountRef),
}

impl<E: Env> Phones<E> {
    /// When the next registrar is to be looked for.
    pub(super) fn next_account(&self) -> Option<Duration> {
        let at = |registering: &Registering| match registering {
            Registering::LocateAt(at) => Some(*at),
            _ => None,
        };
        self.accounts.iter().filter_map(at).min()
    }

    /// Looks for the registrars that are due at `now`.
    pub(super) fn locate_accounts(&mut self, now: Duration) {
        for index in 0..self.accounts.len() {
            if matches!(self.accounts[index], Registering::LocateAt(at) if at <= now) {
                self.accounts[index] = Registering::Locating;
                if let Some(uri) = self.registrar(index) {
                    self.locate(&uri, Wanted::Account(index));
                }
            }
        }
    }

    /// The registrar of an account is found, or is not; perhaps at another address than before.
    pub(super) fn handle_account(&mut self, now: Duration, index: usize, hop: Option<Hop>) {
        if let Registering::Asked(account) = self.accounts[index] {
            if let Some(hop) = hop {
                self.agent.move_registrar(account, hop);
            }
            return;
        }
        let account = &self.shared.config.sip.accounts[index];
        let uris = Uri::parse(&account.address).zip(self.registrar(index));
        let user = uris.as_ref().and_then(|(address, _)| user_of(address));
        let ((Some((address, registrar)), Some(contact_user)), Some(hop)) = ((uris, user), hop)
        else {
            self.accounts[index] = Registering::LocateAt(now + LOCATE_AGAIN);
            return;
        };
        // The domain, not the host that answers for it (RFC 3261, section 10.2).
        let domain = address.as_sip().map_or(registrar, |uri| SipUri::at(&uri.host, uri.port));
        let account = Account {
            address,
            registrar: Uri::Sip(domain),
            hop,
            contact_user,
            credentials: credentials(account),
            expires: Duration::from_secs(account.expires_s.into()),
        };
        self.accounts[index] = Registering::Asked(self.agent.register(now, account));
    }

    /// Tells of an account what has become of it. A registrar that does not answer is looked for once more: it may have moved.
    pub(super) fn note_registration(&self, account: AccountRef, failed: Option<(u16, String)>) {
        let is_it = |own: &Registering| *own == Registering::Asked(account);
        let Some(index) = self.accounts.iter().position(is_it) else { return };
        let address = &self.shared.config.sip.accounts[index].address;
        let Some((status, reason)) = failed else { return info!(%address, "registered") };
        warn!(%address, status, reason, "not registered, so nobody can call: trying again");
        if let (408 | 503, Some(uri)) = (status, self.registrar(index)) {
            self.locate(&uri, Wanted::Account(index));
        }
    }

    /// Nobody is to call any more.
    pub(super) fn unregister_all(&mut self, now: Duration) {
        for registering in std::mem::take(&mut self.accounts) {
            if let Registering::Asked(account) = registering {
                self.agent.unregister(now, account);
            }
        }
    }

    /// Where REGISTER goes: what the configuration says, or the domain of the address.
    fn registrar(&self, index: usize) -> Option<SipUri> {
        let account = &self.shared.config.sip.accounts[index];
        let uri = Uri::parse(account.registrar.as_ref().unwrap_or(&account.address))?;
        let mut uri = uri.as_sip()?.clone();
        uri.user = None;
        Some(uri)
    }
}
