//! Calls that the gateway makes: those of the configuration, again and again if it says so.

use std::time::Duration;

use tracing::{info, warn};

use super::{Owner, Phones, locating::Wanted, media::Change, refusal::Refusal, route::Destination};
use crate::{
    config,
    env::Env,
    gateway::count,
    sdp::Codec,
    sip::{
        agent::{CallRef, Target},
        behind_nat::Behind,
        digest::Credentials,
        fields::NameAddr,
        registrar::Binding,
        transport::Hop,
        uri::{SipUri, Uri},
    },
};

/// What becomes of a call of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialling {
    /// It is made then.
    At(Duration),
    /// It is made as soon as a phone has registered under its name.
    WaitsForPhone,
    /// Where it goes to is being found out.
    Locating,
    /// It is not over.
    Going,
    /// It is not made any more.
    Done,
}

impl<E: Env> Phones<E> {
    /// When the next call is to be made.
    pub(super) fn next_dialled(&self) -> Option<Duration> {
        let at = |dialling: &Dialling| match dialling {
            Dialling::At(at) => Some(*at),
            _ => None,
        };
        self.dialled.iter().filter_map(at).min()
    }

    /// Makes the calls that are due at `now`.
    pub(super) async fn dial_due(&mut self, now: Duration) {
        for index in 0..self.dialled.len() {
            if matches!(self.dialled[index], Dialling::At(at) if at <= now) {
                self.dial(now, index).await;
            }
        }
    }

    /// A phone has registered as `user`: whoever waits for it calls it.
    pub(super) async fn dial_registered(&mut self, now: Duration, user: &str) {
        if self.is_ending {
            return;
        }
        for index in 0..self.dialled.len() {
            let is_wanted = self.shared.config.sip.calls[index].to == user;
            if is_wanted && self.dialled[index] == Dialling::WaitsForPhone {
                self.dial(now, index).await;
            }
        }
    }

    async fn dial(&mut self, now: Duration, index: usize) {
        let call = self.shared.config.sip.calls[index].clone();
        match Uri::parse(&call.to) {
            Some(Uri::Sip(uri)) => {
                self.dialled[index] = Dialling::Locating;
                self.locate(&self.next_hop(&call, uri), Wanted::Dialled(index));
            }
            _ => match self.agent.binding(now, &call.to) {
                Some(Binding { uri, hop, behind }) => {
                    let said = uri.as_sip().and_then(SipUri::address);
                    let other = said.and_then(|said| hop.other(said));
                    self.place(index, uri, (hop, other), behind).await;
                }
                None => self.dialled[index] = Dialling::WaitsForPhone,
            },
        }
    }

    /// Who is next on the way to `uri`: the registrar of the account that calls, if both are of one domain.
    fn next_hop(&self, call: &config::Call, uri: SipUri) -> SipUri {
        let account = call.from.as_ref().and_then(|from| self.account(from));
        let registrar = account.and_then(|account| {
            let address = Uri::parse(&account.address)?;
            let is_same = address.as_sip()?.host.eq_ignore_ascii_case(&uri.host);
            let registrar = account.registrar.as_ref().filter(|_| is_same)?;
            Uri::parse(registrar)?.as_sip().cloned()
        });
        registrar.unwrap_or(uri)
    }

    /// Where the call goes is known, or cannot be found.
    pub(super) async fn handle_dialled(&mut self, index: usize, hop: Option<Hop>) {
        if self.dialled[index] != Dialling::Locating {
            return;
        }
        let uri = Uri::parse(&self.shared.config.sip.calls[index].to);
        match uri.zip(hop) {
            Some((uri, hop)) => self.place(index, uri, (hop, hop.again()), None).await,
            None => self.note_over(Owner::Dialled(index)),
        }
    }

    /// Makes the call to somebody at `hop`, or at `other` once a connection there is lost, who may take itself to be somewhere else.
    async fn place(
        &mut self,
        index: usize,
        uri: Uri,
        (hop, other): (Hop, Option<Hop>),
        behind: Option<Behind>,
    ) {
        let config = self.shared.config.sip.calls[index].clone();
        let account = config.from.as_ref().and_then(|from| self.account(from));
        let from = config.from.as_deref().and_then(Uri::parse);
        let nobody = || Uri::Sip(SipUri::new(Some("rehearsal"), self.contact));
        let target = Target {
            uri,
            hop,
            other,
            behind,
            from: NameAddr::new(from.unwrap_or_else(nobody)),
            credentials: account.and_then(credentials),
            contact_user: config.from.as_deref().and_then(Uri::parse).and_then(|uri| user_of(&uri)),
        };
        let destination = Destination { publish: config.publish, play: config.play };
        match self.call(Owner::Dialled(index), target, &destination, None).await {
            Ok(_) => {
                info!(to = config.to, peer = %hop, "calling");
                self.dialled[index] = Dialling::Going;
            }
            Err(refusal) => {
                warn!(to = config.to, %refusal, "a call is not made");
                self.note_over(Owner::Dialled(index));
            }
        }
    }

    /// Calls `target` for `owner`, and connects it with the streams of `destination`: what it is heard on must be free, and is
    /// published when it answers.
    pub(super) async fn call(
        &mut self,
        owner: Owner,
        target: Target,
        destination: &Destination,
        codecs: Option<Vec<Codec>>,
    ) -> Result<CallRef, Refusal> {
        // Whoever names it wants it.
        let wants_video = match &codecs {
            Some(codecs) => codecs.contains(&Codec::H264),
            None => destination.has_pictures(&self.shared.live),
        };
        let mut prepared = self.prepare(destination, codecs, false).await?;
        if wants_video {
            self.prepare_video(&mut prepared).await;
        }
        let (now, hop) = (self.now(), target.hop);
        let offer = prepared.negotiator.offer();
        let call = self.agent.call(now, target, offer.into());
        let awaits = destination.publish.as_deref().map(Box::from);
        self.connect(call, owner, prepared, hop, awaits);
        Ok(call)
    }

    /// Whom we call has taken the call.
    pub(super) fn handle_answered(&mut self, call: CallRef, sdp: Option<bytes::Bytes>) {
        if let Some(own) = self.calls.get_mut(&call) {
            info!(peer = %own.source, "a call is answered");
            count(&self.shared.counters.calls, 1);
            if let Some(name) = own.awaits.take() {
                match self.shared.live.publish(&name) {
                    Ok(publisher) => self.instruct(call, Change::Publish(Box::new(publisher))),
                    Err(error) => {
                        sometimes!("the stream of somebody who answers is taken");
                        warn!(peer = %own.source, stream = %name, %error, "a call ends as it is answered");
                        self.hang_up(call);
                    }
                }
            }
        }
        self.handle_answer(call, sdp);
        self.instruct(call, Change::Confirmed);
    }

    /// A call of `owner` is over, or came to nothing.
    pub(super) fn note_over(&mut self, owner: Owner) {
        match owner {
            Owner::Route => {}
            Owner::Client(client) => self.note_client_over(client),
            Owner::Dialled(index) => {
                let redial_ms = self.shared.config.sip.calls[index].redial_ms;
                let again = redial_ms.filter(|_| !self.is_ending);
                self.dialled[index] = again.map_or(Dialling::Done, |redial_ms| {
                    Dialling::At(self.now() + Duration::from_millis(redial_ms))
                });
            }
        }
    }

    fn account(&self, address: &str) -> Option<&config::Account> {
        self.shared.config.sip.accounts.iter().find(|account| account.address == address)
    }
}

/// The user part of an address, as people write it.
pub(super) fn user_of(uri: &Uri) -> Option<String> {
    uri.as_sip().and_then(SipUri::user_name)
}

/// What proves that an account is who it says.
pub(super) fn credentials(account: &config::Account) -> Option<Credentials> {
    let password = account.password.as_ref()?.0.clone();
    let user = || Uri::parse(&account.address).as_ref().and_then(user_of);
    let user = account.username.clone().or_else(user)?;
    Some(Credentials { user, password })
}
