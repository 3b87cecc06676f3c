//! What both ends of a call agree on: its name, numbers of requests, and the way to each other (RFC 3261, section 12).

use std::net::IpAddr;

use super::{
    behind_nat::{Behind, is_hidden},
    fields::{CSeq, NameAddr},
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
    transport::{Hop, Transport},
    uri::{SipUri, Uri},
};

/// What names a dialog at its own end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DialogId {
    /// `Call-ID`.
    pub call_id: String,
    /// Tag of this end.
    pub local_tag: String,
    /// Tag of the other; empty for a peer of RFC 2543.
    pub remote_tag: String,
}

impl DialogId {
    /// The dialog that a request from the peer belongs to; `None` when it has no tag of ours.
    pub fn of_request(request: &Request) -> Option<Self> {
        Some(Self {
            call_id: request.call_id()?.to_owned(),
            local_tag: request.to()?.tag()?,
            remote_tag: request.from()?.tag().unwrap_or_default(),
        })
    }
}

/// One end of a dialog.
#[derive(Clone, Debug)]
pub struct Dialog {
    call_id: String,
    local: NameAddr,
    remote: NameAddr,
    local_cseq: u32,
    remote_cseq: Option<u32>,
    remote_target: Uri,
    route_set: Vec<NameAddr>,
    /// Where the peer's messages come from.
    source: Hop,
    /// Where the peer takes itself to be instead.
    behind: Option<Behind>,
}

/// Numbers of requests begin below this, so that 2^31 is far.
pub(super) const FIRST_CSEQ_BOUND: u32 = 1 << 16;

impl Dialog {
    /// The end that was called: `request` came from `source` and is answered with `tag`; `cseq` is the number before the first
    /// of its own requests.
    pub fn of_server(request: &Request, source: Hop, tag: &str, cseq: u32) -> Option<Self> {
        let routes = request.headers.list(&HeaderName::RECORD_ROUTE);
        Some(Self {
            call_id: request.call_id()?.to_owned(),
            local: request.to()?.with_tag(tag),
            remote: request.from()?,
            local_cseq: cseq,
            remote_cseq: Some(request.cseq()?.number),
            remote_target: target(request.contact(), source),
            route_set: routes.into_iter().filter_map(NameAddr::parse).collect(),
            source,
            behind: Behind::of_sender(request, source),
        })
    }

    /// The end that called: `request` was sent to `hop`, who takes itself to be at `behind`, and answered with `response`.
    pub fn of_client(
        request: &Request,
        response: &Response,
        hop: Hop,
        behind: Option<Behind>,
    ) -> Option<Self> {
        let routes = response.headers.list(&HeaderName::RECORD_ROUTE);
        Some(Self {
            call_id: request.call_id()?.to_owned(),
            local: request.from()?,
            remote: response.to()?,
            local_cseq: request.cseq()?.number,
            remote_cseq: None,
            remote_target: target(response.contact(), hop),
            route_set: routes.into_iter().rev().filter_map(NameAddr::parse).collect(),
            source: hop,
            behind,
        })
    }

    /// What names it.
    pub fn id(&self) -> DialogId {
        DialogId {
            call_id: self.call_id.clone(),
            local_tag: self.local.tag().unwrap_or_default(),
            remote_tag: self.remote.tag().unwrap_or_default(),
        }
    }

    /// A new request to the peer.
    pub fn request(&mut self, method: Method) -> Request {
        self.local_cseq += 1;
        self.numbered(method, self.local_cseq)
    }

    /// Gives a request that is sent once more the next number.
    pub(super) fn renumber(&mut self, request: &mut Request) {
        self.local_cseq += 1;
        let cseq = CSeq { number: self.local_cseq, method: request.method.clone() };
        request.headers.set(HeaderName::CSEQ, cseq.to_string());
    }

    /// The ACK to a 2xx to the INVITE `number`.
    pub fn ack(&self, number: u32) -> Request {
        self.numbered(Method::Ack, number)
    }

    fn numbered(&self, method: Method, number: u32) -> Request {
        let cseq = CSeq { number, method: method.clone() };
        // A first route that is strict takes the place of the target (section 12.2.1.1).
        let is_strict =
            |route: &NameAddr| route.uri.as_sip().is_some_and(|uri| !uri.params.has("lr"));
        let strict = self.route_set.first().filter(|route| is_strict(route));
        let uri = strict.map_or(&self.remote_target, |route| &route.uri);
        let mut request = Request::new(method, uri.clone());
        for route in self.route_set.iter().skip(usize::from(strict.is_some())) {
            request.headers.push(HeaderName::ROUTE, route.to_string());
        }
        if strict.is_some() {
            let target = NameAddr::new(self.remote_target.clone());
            request.headers.push(HeaderName::ROUTE, target.to_string());
        }
        request.headers.push(HeaderName::MAX_FORWARDS, "70");
        request.headers.push(HeaderName::FROM, self.local.to_string());
        request.headers.push(HeaderName::TO, self.remote.to_string());
        request.headers.push(HeaderName::CALL_ID, self.call_id.clone());
        request.headers.push(HeaderName::CSEQ, cseq.to_string());
        request
    }

    /// Where requests go: to the first proxy that wants to see them, or to the peer.
    pub fn hop(&self) -> Hop {
        let next = self.route_set.first().map_or(&self.remote_target, |route| &route.uri);
        let way = next.as_sip().and_then(|uri| reach(uri, self.source, self.behind));
        way.unwrap_or(self.source)
    }

    /// The way once the connection to [`Self::hop`] is lost, if the peer waits for others.
    pub fn other_hop(&self) -> Option<Hop> {
        let next = self.route_set.first().map_or(&self.remote_target, |route| &route.uri);
        next.as_sip().and_then(SipUri::address).and_then(|said| self.source.other(said))
    }

    /// Both ways.
    pub fn hops(&self) -> (Hop, Option<Hop>) {
        (self.hop(), self.other_hop())
    }

    /// The connection `hop` is lost.
    pub fn handle_lost_way(&mut self, hop: Hop) {
        if self.source == hop {
            self.source = self.other_hop().unwrap_or(hop);
        }
    }

    /// The request `number` of the peer's has come by the connection `source`, which is the way to it from now on, unless that
    /// one was overtaken.
    pub fn take_connection(&mut self, number: u32, source: Hop) {
        if source.transport == Transport::Tcp && self.remote_cseq == Some(number) {
            self.source = source;
        }
    }

    /// The peer has answered by the connection `source`, which is the way to it from now on.
    pub fn answer_by(&mut self, source: Hop) {
        if source.transport == Transport::Tcp {
            self.source = source;
        }
    }

    /// An address of its own network that the peer says for itself, and by which it cannot be reached from here.
    pub(super) fn hidden_ip(&self) -> Option<IpAddr> {
        self.behind.and_then(|behind| behind.hidden_ip(self.source))
    }

    /// Takes the number of a request from the peer. False when it is older than one that came before: the request is to be
    /// refused (section 12.2.2).
    pub fn take_number(&mut self, number: u32) -> bool {
        let is_newer = self.remote_cseq.is_none_or(|last| number > last);
        if is_newer {
            self.remote_cseq = Some(number);
        }
        is_newer
    }

    /// An INVITE, or the answer to one, says where its sender can be reached now.
    pub fn refresh_target(&mut self, message: &impl Fields) {
        if let Some(contact) = message.contact() {
            self.remote_target = contact.uri;
        }
    }

    /// An INVITE came from `source`, where its sender is from now on.
    pub fn refresh_source(&mut self, invite: &Request, source: Hop) {
        (self.source, self.behind) = (source, Behind::of_sender(invite, source));
    }
}

fn target(contact: Option<NameAddr>, source: Hop) -> Uri {
    let fallback =
        || Uri::Sip(SipUri::at(&source.address.ip().to_string(), Some(source.address.port())));
    contact.map_or_else(fallback, |contact| contact.uri)
}

/// The way to `uri`. A name, or an address that is not reached from here, is one behind a NAT: its messages came from `source`,
/// and not from where their sender takes itself to be, which is `behind`.
pub(super) fn reach(uri: &SipUri, source: Hop, behind: Option<Behind>) -> Option<Hop> {
    let address = uri.address()?;
    let is_hidden = is_hidden(address.ip(), source.address.ip())
        || behind.is_some_and(|behind| behind.has(address, source));
    if address.ip().is_unspecified() || is_hidden {
        return None;
    }
    // There is one way to each peer: the one by which its messages come.
    match source.transport {
        Transport::Tcp => Some(source),
        Transport::Udp => Some(Hop { address, ..source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(address: &str) -> Hop {
        Hop { transport: Transport::Udp, address: address.parse().unwrap() }
    }

    fn invite(contact: &str, routes: &[&str]) -> Request {
        let mut request = Request::new(Method::Invite, Uri::parse("sip:talk@192.0.2.1").unwrap());
        for (name, value) in [
            (HeaderName::FROM, "<sip:a@192.0.2.7>;tag=far"),
            (HeaderName::TO, "<sip:talk@192.0.2.1>"),
            (HeaderName::CALL_ID, "c1"),
            (HeaderName::CSEQ, "7 INVITE"),
            (HeaderName::CONTACT, contact),
        ] {
            request.headers.push(name, value);
        }
        for route in routes {
            request.headers.push(HeaderName::RECORD_ROUTE, *route);
        }
        request
    }

    #[test]
    fn requests_count_up_and_name_both_ends() {
        let invite = invite("<sip:a@192.0.2.7:5070>", &[]);
        let mut dialog = Dialog::of_server(&invite, hop("192.0.2.7:5070"), "near", 9).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.to_string(), "BYE sip:a@192.0.2.7:5070 SIP/2.0");
        assert_eq!(bye.headers.get(&HeaderName::FROM), Some("<sip:talk@192.0.2.1>;tag=near"));
        assert_eq!(bye.headers.get(&HeaderName::TO), Some("<sip:a@192.0.2.7>;tag=far"));
        assert_eq!(bye.headers.get(&HeaderName::CSEQ), Some("10 BYE"));
        assert!(!dialog.take_number(7) && dialog.take_number(8) && !dialog.take_number(8));
    }

    #[test]
    fn what_a_contact_says_of_requests_to_it_is_not_in_their_uri() {
        let invite = invite("<sip:a@192.0.2.7;x=1;method=INVITE?Subject=more>", &[]);
        let mut dialog = Dialog::of_server(&invite, hop("192.0.2.7:5070"), "near", 9).unwrap();
        assert_eq!(dialog.request(Method::Bye).to_string(), "BYE sip:a@192.0.2.7;x=1 SIP/2.0");
    }

    #[test]
    fn the_way_leads_to_the_contact_or_to_where_its_messages_come_from() {
        let cases = [
            ("<sip:a@192.0.2.9:5070>", "192.0.2.9:5070"),
            ("<sip:a@10.0.0.4:5070>", "198.51.100.1:61000"),
            ("<sip:a@phone.invalid>", "198.51.100.1:61000"),
            ("<sip:a@198.51.100.1:5070>", "198.51.100.1:5070"),
            ("<sip:a@192.0.2.9:5070;transport=tcp>", "192.0.2.9:5070"),
            ("<sip:a@0.0.0.0:5070>", "198.51.100.1:61000"),
        ];
        for (contact, expected) in cases {
            let invite = invite(contact, &[]);
            let dialog = Dialog::of_server(&invite, hop("198.51.100.1:61000"), "near", 0).unwrap();
            assert_eq!(dialog.hop().address.to_string(), expected, "{contact}");
        }
    }

    #[test]
    fn a_phone_behind_a_nat_of_a_private_network_is_where_its_messages_come_from() {
        let via = |sent_by: &str| format!("SIP/2.0/UDP {sent_by};branch=z9hG4bK1");
        let cases = [
            // Another private network.
            ("<sip:a@192.168.1.50>", via("192.168.1.50"), "10.0.0.9:61000"),
            ("<sip:a@192.168.1.50:5070>", via("192.168.1.50:61000"), "10.0.0.9:61000"),
            // Another port, by who hears where it sends from, and by who does not say so.
            ("<sip:a@10.0.0.9>", via("10.0.0.9;rport"), "10.0.0.9:61000"),
            ("<sip:a@10.0.0.9:5070>", via("10.0.0.9;rport"), "10.0.0.9:5070"),
            ("<sip:a@10.0.0.9>", via("10.0.0.9"), "10.0.0.9:5060"),
            // Another one than who sends it.
            ("<sip:a@192.168.1.50>", via("192.168.1.10"), "192.168.1.50:5060"),
            // Whoever says an address that all can reach knows why.
            ("<sip:a@192.0.2.9>", via("192.0.2.9"), "192.0.2.9:5060"),
        ];
        for (contact, via, expected) in cases {
            let mut request = invite(contact, &[]);
            request.headers.push(HeaderName::VIA, via.clone());
            let mut dialog = Dialog::of_server(&request, hop("10.0.0.9:61000"), "n", 0).unwrap();
            assert_eq!(dialog.hop().address.to_string(), expected, "{contact} {via}");
            dialog.refresh_source(&request, hop("10.0.0.9:62000"));
            let moved = expected.replace("61000", "62000");
            assert_eq!(dialog.hop().address.to_string(), moved, "{contact} {via}");
        }
    }

    #[test]
    fn who_has_registered_behind_a_nat_is_where_the_call_went() {
        let cases = [
            ("192.168.1.50", "<sip:a@192.168.1.50>", "10.0.0.9:61000"),
            ("10.0.0.9;rport", "<sip:a@10.0.0.9:5060>", "10.0.0.9:61000"),
            ("10.0.0.9;rport", "<sip:a@10.0.0.9:5070>", "10.0.0.9:5070"),
            ("192.168.1.50", "<sip:a@192.168.1.51>", "192.168.1.51:5060"),
        ];
        let source = hop("10.0.0.9:61000");
        for (registered_from, contact, expected) in cases {
            let mut register = invite("<sip:a@x>", &[]);
            register
                .headers
                .push(HeaderName::VIA, format!("SIP/2.0/UDP {registered_from};branch=z9hG4bK1"));
            let behind = Behind::of_sender(&register, source);
            let request = invite("<sip:talk@10.0.0.1>", &[]);
            let mut answer = request.response(200, Some("far"));
            answer.headers.set(HeaderName::CONTACT, contact);
            let dialog = Dialog::of_client(&request, &answer, source, behind).unwrap();
            assert_eq!(dialog.hop().address.to_string(), expected, "{registered_from} {contact}");
        }
    }

    #[test]
    fn a_phone_and_its_proxy_in_one_network_are_told_apart() {
        let invite = invite("<sip:a@192.168.1.50>", &[]);
        let dialog = Dialog::of_server(&invite, hop("192.168.1.10:5060"), "near", 0).unwrap();
        assert_eq!(dialog.hop().address.to_string(), "192.168.1.50:5060");
    }

    #[test]
    fn proxies_that_ask_for_it_are_on_the_way() {
        let routes = ["<sip:192.0.2.50;lr>", "<sip:192.0.2.51:5080;lr>"];
        let invite = invite("<sip:a@192.0.2.9>", &routes);
        let mut dialog = Dialog::of_server(&invite, hop("192.0.2.50:5060"), "near", 0).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.headers.list(&HeaderName::ROUTE), routes);
        assert_eq!(dialog.hop().address.to_string(), "192.0.2.50:5060");
        let mut answer = invite.response(200, Some("near"));
        answer.headers.set(HeaderName::CONTACT, "<sip:talk@192.0.2.1>");
        let mut caller = Dialog::of_client(&invite, &answer, hop("192.0.2.51:5080"), None).unwrap();
        let bye = caller.request(Method::Bye);
        assert_eq!(bye.headers.list(&HeaderName::ROUTE), [routes[1], routes[0]]);
        assert_eq!(bye.headers.get(&HeaderName::CSEQ), Some("8 BYE"));
    }

    #[test]
    fn a_strict_route_takes_the_place_of_the_target() {
        let invite = invite("<sip:a@192.0.2.9>", &["<sip:192.0.2.50>"]);
        let mut dialog = Dialog::of_server(&invite, hop("192.0.2.50:5060"), "near", 0).unwrap();
        let bye = dialog.request(Method::Bye);
        assert_eq!(bye.uri.to_string(), "sip:192.0.2.50");
        assert_eq!(bye.headers.list(&HeaderName::ROUTE), ["<sip:a@192.0.2.9>"]);
    }
}
