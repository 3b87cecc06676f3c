//! What a caller says in SIP: INVITE, ACK and BYE of one call, and what it reads of the answers.

use std::net::SocketAddr;

use bytes::Bytes;
use rehearsal_core::sip::{
    ParseLimits,
    fields::{CSeq, NameAddr},
    headers::HeaderName,
    message::{Fields, Message, Request, Response},
    method::Method,
    parse,
    uri::{SipUri, Uri},
};

/// More than any message has.
const LIMITS: ParseLimits = ParseLimits { message_bytes: 65_535, headers: 512 };

/// A call as its caller knows it.
pub(super) struct Call {
    own: SocketAddr,
    uri: Uri,
    /// Names it: nobody else's, and in no other run.
    id: String,
    /// The other end, once it has answered: its address with tag, and where requests go.
    peer: Option<(String, Uri)>,
}

impl Call {
    /// From `own` to `user` at `gateway`, to be known by `id`.
    pub(super) fn new(own: SocketAddr, gateway: SocketAddr, user: &str, id: String) -> Self {
        Self { own, uri: Uri::Sip(SipUri::new(Some(user), gateway)), id, peer: None }
    }

    fn request(&self, method: Method, number: u32) -> Request {
        let (to, uri) = match &self.peer {
            Some((to, target)) => (to.clone(), target.clone()),
            None => (NameAddr::new(self.uri.clone()).to_string(), self.uri.clone()),
        };
        let own = Uri::Sip(SipUri::new(Some("load"), self.own));
        let mut request = Request::new(method.clone(), uri);
        let via = format!("SIP/2.0/UDP {};branch=z9hG4bK{}{method}", self.own, self.id);
        for (name, value) in [
            (HeaderName::VIA, via),
            (HeaderName::MAX_FORWARDS, "70".to_owned()),
            (HeaderName::FROM, NameAddr::new(own.clone()).with_tag(&self.id).to_string()),
            (HeaderName::TO, to),
            (HeaderName::CALL_ID, self.id.clone()),
            (HeaderName::CSEQ, CSeq { number, method }.to_string()),
            (HeaderName::CONTACT, NameAddr::new(own).to_string()),
        ] {
            request.headers.push(name, value);
        }
        request
    }

    /// Calls: G.711 is said and heard at `rtp`, reports go to `rtcp`.
    pub(super) fn invite(&self, rtp: SocketAddr, rtcp: SocketAddr) -> Bytes {
        let (ip, port, rtcp) = (rtp.ip(), rtp.port(), rtcp.port());
        let sdp = format!(
            "v=0\r\no=load 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\n\
             a=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=rtcp:{rtcp}\r\n"
        );
        self.request(Method::Invite, 1).with_body("application/sdp", sdp).to_bytes()
    }

    /// Takes the 2xx to the INVITE: gives where audio goes, `None` if it does not say.
    pub(super) fn take_answer(&mut self, answer: &Response) -> Option<SocketAddr> {
        let to = answer.headers.get(&HeaderName::TO)?.to_owned();
        self.peer = Some((to, answer.contact()?.uri));
        let text = std::str::from_utf8(&answer.body).ok()?;
        let value = |prefix| text.lines().find_map(|line| line.strip_prefix(prefix));
        let ip = value("c=IN IP4 ")?.parse().ok()?;
        let port = value("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    }

    /// Confirms the answer.
    pub(super) fn ack(&self) -> Bytes {
        self.request(Method::Ack, 1).to_bytes()
    }

    /// Hangs up.
    pub(super) fn bye(&self) -> Bytes {
        self.request(Method::Bye, 2).to_bytes()
    }
}

/// What has come from the gateway.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// An answer to the INVITE.
    ToInvite(Response),
    /// An answer to the BYE.
    ToBye(Response),
    /// The gateway hangs up; this is to be answered.
    HungUp(Bytes),
    /// What needs nothing to be done.
    Other,
}

/// Reads what has come.
pub(super) fn hear(datagram: &[u8]) -> Heard {
    match parse(datagram, &LIMITS) {
        Ok(Message::Response(response)) => match response.cseq().map(|cseq| cseq.method) {
            Some(Method::Invite) => Heard::ToInvite(response),
            Some(Method::Bye) => Heard::ToBye(response),
            _ => Heard::Other,
        },
        Ok(Message::Request(request)) if request.method == Method::Bye => {
            Heard::HungUp(request.response(200, None).to_bytes())
        }
        _ => Heard::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "127.0.0.1:4000";

    fn request(bytes: &[u8]) -> Request {
        match parse(bytes, &LIMITS) {
            Ok(Message::Request(request)) => request,
            other => panic!("no request: {other:?}"),
        }
    }

    #[test]
    fn what_follows_an_answer_is_of_its_dialog() {
        let own = OWN.parse().unwrap();
        let mut call = Call::new(own, "127.0.0.1:5060".parse().unwrap(), "load-7", "c7".into());
        let invite = request(&call.invite(own, own));
        assert_eq!(invite.uri.to_string(), "sip:load-7@127.0.0.1:5060");
        let contact = "<sip:127.0.0.1:5070>";
        let answer = invite.response(200, Some("theirs")).with_header(HeaderName::CONTACT, contact);
        assert_eq!(call.take_answer(&answer), None);
        let sdp = "v=0\r\nc=IN IP4 127.0.0.2\r\nm=audio 20000 RTP/AVP 0\r\n";
        let answer = answer.with_body("application/sdp", sdp);
        assert_eq!(call.take_answer(&answer), Some("127.0.0.2:20000".parse().unwrap()));
        for (bytes, method, number) in [(call.ack(), Method::Ack, 1), (call.bye(), Method::Bye, 2)]
        {
            let request = request(&bytes);
            assert_eq!(request.uri.to_string(), "sip:127.0.0.1:5070");
            assert_eq!(request.to().and_then(|to| to.tag()).as_deref(), Some("theirs"));
            assert_eq!(request.cseq(), Some(CSeq { number, method }));
            assert_ne!(request.top_via(), invite.top_via());
        }
    }

    #[test]
    fn a_gateway_that_hangs_up_is_answered() {
        let own = OWN.parse().unwrap();
        let call = Call::new(own, own, "load-1", "c1".into());
        let Heard::HungUp(answer) = hear(&call.bye()) else { panic!("it is a BYE") };
        assert!(answer.starts_with(b"SIP/2.0 200 OK"));
        assert!(matches!(hear(&answer), Heard::ToBye(response) if response.status == 200));
        assert_eq!(hear(&call.ack()), Heard::Other);
        assert_eq!(hear(b"\r\n\r\n"), Heard::Other);
    }
}
