//! Phones that register with us (RFC 3261, section 10.3).

use std::time::Duration;

use super::{Agent, AgentEvent};
use crate::sip::{
    behind_nat::Behind,
    challenger::Unproven,
    dialog::reach,
    fields::{NameAddr, decimal},
    headers::HeaderName,
    message::{Fields, Request, Response},
    registrar::{Binding, BindingChange, Contact, NotBound},
    transaction::ServerId,
    transport::{Hop, Transport},
};

/// What malformed times are taken for, in seconds (section 10.2.1.1).
const MALFORMED_EXPIRES_S: u32 = 3_600;

/// Why a phone is not registered.
enum Refusal {
    Unproven(Unproven),
    TooBrief(Duration),
    NoRoom(Duration),
    Status(u16),
}

impl From<NotBound> for Refusal {
    fn from(not_bound: NotBound) -> Self {
        match not_bound {
            NotBound::TooLate => Self::Status(500),
            NotBound::NoRoom(wait) => Self::NoRoom(wait),
        }
    }
}

impl Agent {
    /// Where `user`, who has registered with us, can be called now: where its phones have said so last.
    pub fn binding(&self, now: Duration, user: &str) -> Option<Binding> {
        let bindings = self.registrar.as_ref()?.list(now, user);
        bindings.last().map(|(binding, _)| (*binding).clone())
    }

    pub(super) fn handle_register(
        &mut self,
        now: Duration,
        id: ServerId,
        request: &Request,
        source: Hop,
    ) {
        let response = match self.bind(now, request, source) {
            Ok(user) => self.bindings_response(now, request, &user),
            Err(refusal) => self.refusal_response(now, request, &refusal),
        };
        self.transactions.respond(now, id, response);
        self.tell_bindings();
    }

    /// Does what the request says; gives the user of whom that was.
    fn bind(&mut self, now: Duration, request: &Request, source: Hop) -> Result<String, Refusal> {
        let registrar = self.registrar.as_mut().ok_or(Refusal::Status(405))?;
        let to = request.to().and_then(|to| to.uri.as_sip().and_then(|uri| uri.user_name()));
        if let Some(challenger) = &mut self.challenger {
            let proven = challenger.check(now, request).map_err(Refusal::Unproven)?;
            if to.as_ref().is_some_and(|to| *to != proven) {
                return Err(Refusal::Status(403));
            }
        }
        let user = to.ok_or(Refusal::Status(404))?;
        let call_id = request.call_id().unwrap_or_default();
        let name = (call_id, request.cseq().map_or(0, |cseq| cseq.number));
        let expires_s = request.headers.get(&HeaderName::EXPIRES).and_then(decimal);
        let said = request.headers.list(&HeaderName::CONTACT);
        if said == ["*"] {
            if expires_s != Some(0) {
                return Err(Refusal::Status(400));
            }
            registrar.clear(now, &user, name)?;
            return Ok(user);
        }
        let behind = Behind::of_sender(request, source);
        let mut contacts = Vec::with_capacity(said.len());
        for said in said.into_iter().filter_map(NameAddr::parse) {
            let own_s = said.params.get("expires");
            let own_s = own_s.map(|own| decimal(&own).unwrap_or(MALFORMED_EXPIRES_S));
            let expires = registrar.grant(own_s.or(expires_s)).map_err(Refusal::TooBrief)?;
            // Whoever is called by another scheme cannot be called from here.
            let sip = said.uri.as_sip().filter(|uri| !uri.secure);
            let way = reach(sip.ok_or(Refusal::Status(400))?, source, behind);
            let hop = way.unwrap_or(source);
            contacts.push(Contact { binding: Binding { uri: said.uri, hop, behind }, expires });
        }
        registrar.update(now, &user, name, contacts)?;
        Ok(user)
    }

    /// Says where `user` can be called, and for how long.
    fn bindings_response(&mut self, now: Duration, request: &Request, user: &str) -> Response {
        let mut response = request.response(200, Some(&self.transactions.tokens().hex()));
        let registrar = self.registrar.as_ref();
        for (binding, left) in registrar.map(|own| own.list(now, user)).unwrap_or_default() {
            let mut contact = NameAddr::new(binding.uri.clone());
            contact.params.set("expires", Some(seconds(left).to_string()));
            response.headers.push(HeaderName::CONTACT, contact.to_string());
        }
        response
    }

    fn refusal_response(
        &mut self,
        now: Duration,
        request: &Request,
        refusal: &Refusal,
    ) -> Response {
        let tag = self.transactions.tokens().hex();
        let response = |status| request.response(status, Some(&tag));
        match refusal {
            Refusal::Unproven(unproven) => {
                let mut response = response(401);
                if let Some(challenger) = &self.challenger {
                    for challenge in challenger.challenges(now, *unproven) {
                        let name = HeaderName::WWW_AUTHENTICATE;
                        response.headers.push(name, challenge.to_header());
                    }
                }
                response
            }
            Refusal::TooBrief(least) => {
                let least_s = seconds(*least).to_string();
                response(423).with_header(HeaderName::MIN_EXPIRES, least_s)
            }
            Refusal::NoRoom(wait) => {
                let wait_s = seconds(*wait).max(1).to_string();
                response(503).with_header(HeaderName::RETRY_AFTER, wait_s)
            }
            Refusal::Status(status) => response(*status),
        }
    }

    /// A connection that is lost takes along who was reached by it, and has not said where it waits for others.
    pub(super) fn move_bindings(&mut self, hop: Hop) {
        if let Some(registrar) = &mut self.registrar {
            registrar.handle_lost_way(hop);
        }
        self.tell_bindings();
    }

    /// Whoever cannot be reached is registered no more.
    pub(super) fn unbind_way(&mut self, hop: Hop) {
        if let Some(registrar) = &mut self.registrar
            && hop.transport == Transport::Tcp
        {
            registrar.handle_unreachable(hop);
        }
        self.tell_bindings();
    }

    /// Takes away what is over.
    pub(super) fn expire_bindings(&mut self, now: Duration) {
        if let Some(registrar) = &mut self.registrar {
            registrar.handle_timeout(now);
        }
        self.tell_bindings();
    }

    fn tell_bindings(&mut self) {
        let Some(registrar) = &mut self.registrar else { return };
        self.events.extend(registrar.take_changes().into_iter().map(|change| match change {
            BindingChange::Bound { user, uri } => AgentEvent::Bound { user, uri },
            BindingChange::Unbound { user } => AgentEvent::Unbound { user },
        }));
    }
}

/// Whole seconds, and one for what is left.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
