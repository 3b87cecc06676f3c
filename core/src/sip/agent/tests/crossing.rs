//! What crosses: a change of the peer's and a refresh of ours, its BYE and a change of ours.

use std::time::Duration;

use bytes::Bytes;

use super::{
    peer::{Peer, cseq},
    proofs::{call, change},
};
use crate::sip::{
    agent::{AgentEvent, CallRef, SDP},
    fields::CSeq,
    headers::HeaderName,
    message::Request,
    method::Method,
    transport::Transport,
    uri::Uri,
};

/// A call that is up, and what the peer asks in it: a request without its method, and where it is at.
struct Talk {
    peer: Peer,
    call: CallRef,
    template: Request,
}

impl Talk {
    fn new() -> Self {
        let (mut peer, call) = call(Transport::Udp);
        let own = change(&mut peer, call);
        peer.accept(&own, &[]);
        assert_eq!(peer.request().map(|ack| ack.method), Some(Method::Ack));
        assert!(matches!(peer.event(), Some(AgentEvent::OfferAccepted { .. })));
        let get = |name| own.headers.get(&name).unwrap().to_owned();
        let mut template = Request::new(Method::Invite, Uri::parse("sip:talk@192.0.2.1").unwrap());
        for (name, value) in [
            (HeaderName::VIA, "SIP/2.0/UDP 192.0.2.50:5060".to_owned()),
            (HeaderName::FROM, get(HeaderName::TO)),
            (HeaderName::TO, get(HeaderName::FROM)),
            (HeaderName::CALL_ID, get(HeaderName::CALL_ID)),
            (HeaderName::CONTACT, "<sip:far@192.0.2.50>".to_owned()),
        ] {
            template.headers.push(name, value);
        }
        Self { peer, call, template }
    }

    /// The peer says a request with `number`.
    fn ask(&mut self, method: Method, number: u32, sdp: Option<&'static [u8]>) {
        let mut request = self.template.clone();
        let via = format!("SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bK{number}{method}");
        request.headers.set(HeaderName::VIA, via);
        request.headers.set(HeaderName::CSEQ, CSeq { number, method: method.clone() }.to_string());
        request.method = method;
        let request = match sdp {
            Some(sdp) => request.with_body(SDP, Bytes::from_static(sdp)),
            None => request,
        };
        self.peer.agent.handle_bytes(self.peer.now, self.peer.hop, &request.to_bytes());
    }

    /// What is said until `at`: the first words of each message.
    fn until(&mut self, at: Duration) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            while let Some(transmit) = self.peer.agent.poll_transmit() {
                assert_eq!(transmit.hop, self.peer.hop);
                let words = String::from_utf8_lossy(&transmit.bytes);
                said.extend(
                    words.split(" sip:").next().map(|it| it[..it.len().min(11)].to_owned()),
                );
            }
            match self.peer.agent.poll_timeout().filter(|next| *next <= at) {
                Some(next) => {
                    self.peer.now = next;
                    self.peer.agent.handle_timeout(next);
                }
                None => return said,
            }
        }
    }
}

/// When the session of a call that is not changed is refreshed.
fn refreshed_at() -> Duration {
    let Talk { mut peer, .. } = Talk::new();
    loop {
        peer.now = peer.agent.poll_timeout().unwrap();
        peer.agent.handle_timeout(peer.now);
        if let Some(event) = peer.event() {
            assert!(matches!(event, AgentEvent::RefreshDue { .. }), "{event:?}");
            return peer.now;
        }
    }
}

#[test]
fn a_refresh_waits_for_a_change_that_is_not_confirmed() {
    for (sdp, answer) in [(Some(&b"offer"[..]), None), (None, Some(Bytes::from_static(b"answer")))]
    {
        let mut talk = Talk::new();
        let refreshed = refreshed_at();
        assert!(talk.until(refreshed - Duration::from_millis(1)).is_empty());
        talk.peer.now = refreshed;
        talk.ask(Method::Invite, 7, sdp);
        talk.peer.agent.handle_timeout(refreshed);
        assert!(matches!(talk.peer.event(), Some(AgentEvent::Offered { .. })));
        talk.peer.agent.accept_offer(talk.peer.now, talk.call, Bytes::from_static(b"own"));
        assert_eq!(
            talk.until(refreshed + Duration::from_millis(100)),
            ["SIP/2.0 100", "SIP/2.0 200"]
        );
        assert_eq!(talk.peer.event(), None, "nobody is asked for an offer yet");
        talk.ask(Method::Ack, 7, answer.as_ref().map(|_| &b"answer"[..]));
        let call = talk.call;
        assert_eq!(talk.peer.event(), Some(AgentEvent::Confirmed { call, answer }));
        assert!(talk.until(refreshed + Duration::from_secs(1)).is_empty());
        assert_eq!(talk.peer.event(), Some(AgentEvent::RefreshDue { call }));
    }
}

#[test]
fn a_refresh_that_is_too_much_now_does_not_end_the_call() {
    let mut talk = Talk::new();
    let refused = change(&mut talk.peer, talk.call);
    talk.peer.answer(&refused, 503, &[(HeaderName::RETRY_AFTER, "2".to_owned())]);
    assert_eq!(talk.peer.request().map(|ack| ack.method), Some(Method::Ack));
    let call = talk.call;
    assert_eq!(talk.peer.event(), Some(AgentEvent::OfferPostponed { call }));
    talk.until(talk.peer.now + Duration::from_secs(2));
    assert_eq!(talk.peer.event(), Some(AgentEvent::RefreshDue { call }));
}

#[test]
fn who_has_hung_up_is_not_asked_again_for_a_change_and_its_answer_is_confirmed() {
    let mut talk = Talk::new();
    let own = change(&mut talk.peer, talk.call);
    talk.ask(Method::Bye, 7, None);
    assert!(matches!(talk.peer.event(), Some(AgentEvent::Ended { .. })));
    let later = talk.peer.now + Duration::from_secs(10);
    assert_eq!(talk.until(later), ["SIP/2.0 200"]);
    // It took the change before it hung up, and says so until it knows that this was heard.
    talk.peer.now = later;
    talk.peer.accept(&own, &["<sip:far@192.0.2.50>"]);
    let ack = talk.peer.request().unwrap();
    assert_eq!((&ack.method, cseq(&ack)), (&Method::Ack, cseq(&own)));
    assert!(talk.until(later + Duration::from_secs(60)).is_empty());
    assert!(talk.peer.agent.is_idle());
}
