//! A phone, and the registrar of its domain, on one socket: what they send is written out, what comes is looked at one by one.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use rehearsal_core::{
    env::{Env, Os, UdpSocket},
    sip::{
        ParseLimits,
        fields::NameAddr,
        headers::HeaderName,
        message::{Fields, Message, Request, Response},
        method::Method,
        parse,
    },
};

use crate::{any_port, in_time};

type Socket = <Os as Env>::UdpSocket;

const LIMITS: ParseLimits = ParseLimits { message_bytes: 65_535, headers: 64 };

/// A phone.
pub(crate) struct Phone {
    socket: Socket,
    rtp: Socket,
    /// Messages that came already: the gateway may send one again when this machine is slow.
    seen: BTreeSet<Vec<u8>>,
}

/// The phone's side of a call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    id: String,
    /// From, or To, of the phone.
    own: String,
    /// From, or To, of the gateway.
    peer: String,
    /// The gateway's Contact.
    target: String,
    at: SocketAddr,
    /// Number of the phone's last request.
    cseq: u32,
}

impl Phone {
    pub(crate) async fn new() -> Self {
        let (socket, rtp) = (Os.bind_udp(any_port()).await, Os.bind_udp(any_port()).await);
        Self { socket: socket.unwrap(), rtp: rtp.unwrap(), seen: BTreeSet::new() }
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr()
    }

    /// The next message that has not come before.
    async fn next(&mut self) -> (Message, SocketAddr) {
        let mut buf = vec![0; 65_535];
        loop {
            let (length, from) = in_time(self.socket.recv_from(&mut buf)).await.unwrap();
            if self.seen.insert(buf[..length].to_vec()) {
                return (parse(&buf[..length], &LIMITS).unwrap(), from);
            }
        }
    }

    /// The next message, a request.
    pub(crate) async fn request(&mut self, method: Method) -> (Request, SocketAddr) {
        match self.next().await {
            (Message::Request(request), from) if request.method == method => (request, from),
            (other, _) => panic!("{method} was expected, not {other:?}"),
        }
    }

    /// The next message, a response that is not 100.
    pub(crate) async fn response(&mut self, status: u16) -> Response {
        loop {
            match self.next().await.0 {
                Message::Response(response) if response.status == 100 => {}
                Message::Response(response) if response.status == status => return response,
                other => panic!("{status} was expected, not {other:?}"),
            }
        }
    }

    async fn send(&self, to: SocketAddr, bytes: &[u8]) {
        self.socket.send_to(bytes, to).await.unwrap();
    }

    /// Answers a request.
    pub(crate) async fn answer(&self, (request, from): &(Request, SocketAddr), status: u16) {
        let response = request.response(status, Some("phone"));
        self.send(*from, &response.with_header(HeaderName::CONTACT, self.contact()).to_bytes())
            .await;
    }

    /// Answers a request with 200 and a description.
    pub(crate) async fn accept(&self, (request, from): &(Request, SocketAddr), direction: &str) {
        self.accept_as(&(request.clone(), *from), self.sdp(direction)).await;
    }

    /// The same with `sdp`.
    pub(crate) async fn accept_as(&self, (request, from): &(Request, SocketAddr), sdp: String) {
        let response = request.response(200, Some("phone"));
        let response = response.with_header(HeaderName::CONTACT, self.contact());
        self.send(*from, &response.with_body("application/sdp", sdp).to_bytes()).await;
    }

    /// The same with `sdp`, and INFO among what it understands.
    pub(crate) async fn accept_info(&self, (request, from): &(Request, SocketAddr), sdp: String) {
        let response = request.response(200, Some("phone"));
        let response = response.with_header(HeaderName::CONTACT, self.contact());
        let response = response.with_header(HeaderName::ALLOW, "INVITE, ACK, BYE, CANCEL, INFO");
        self.send(*from, &response.with_body("application/sdp", sdp).to_bytes()).await;
    }

    fn contact(&self) -> String {
        format!("<sip:alice@{}>", self.address())
    }

    /// G.711 and digits at this phone's RTP port.
    pub(crate) fn sdp(&self, direction: &str) -> String {
        let (ip, port) = (self.address().ip(), self.rtp.local_addr().port());
        format!(
            "v=0\r\no=- 1 1 IN IP4 {ip}\r\ns=-\r\nc=IN IP4 {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0 101\r\na=rtpmap:101 telephone-event/8000\r\na={direction}\r\n"
        )
    }

    /// Registers whoever proves it, as a registrar does, and gives the user of its Contact and where it is.
    pub(crate) async fn register(&mut self) -> (String, SocketAddr) {
        let (asking, from) = self.request(Method::Register).await;
        assert_eq!(asking.headers.get(&HeaderName::AUTHORIZATION), None);
        let challenge = "Digest realm=\"here\", nonce=\"1\", algorithm=MD5, qop=\"auth\"";
        let unproven = asking.response(401, Some("registrar"));
        let unproven = unproven.with_header(HeaderName::WWW_AUTHENTICATE, challenge);
        self.send(from, &unproven.to_bytes()).await;
        let proven = self.request(Method::Register).await;
        let proof = proven.0.headers.get(&HeaderName::AUTHORIZATION).expect("a proof");
        let answer = rehearsal_core::sip::digest::Answer::parse(proof).unwrap();
        assert!(answer.proves("secret", "REGISTER"), "{proof}");
        self.grant(&proven).await
    }

    /// Answers a REGISTER with what it asks for.
    pub(crate) async fn grant(
        &self,
        (request, from): &(Request, SocketAddr),
    ) -> (String, SocketAddr) {
        let contact = request.contact().unwrap();
        let granted = request.response(200, Some("registrar"));
        let value = format!("{contact};expires=180");
        self.send(*from, &granted.with_header(HeaderName::CONTACT, value).to_bytes()).await;
        let uri = contact.uri.as_sip().unwrap();
        (uri.user_name().unwrap(), uri.address().unwrap())
    }

    /// Calls `user` at the gateway; calls have numbers, so that several do not get mixed up.
    pub(crate) async fn invite(&self, user: &str, gateway: SocketAddr, number: u32) -> Call {
        self.invite_with(user, gateway, number, &self.sdp("sendrecv")).await
    }

    pub(crate) async fn invite_with(
        &self,
        user: &str,
        gateway: SocketAddr,
        number: u32,
        sdp: &str,
    ) -> Call {
        let mut call = Call {
            id: format!("call-{number}"),
            own: format!("\"Alice\" <sip:alice@{}>;tag=phone", self.address()),
            peer: format!("<sip:{user}@{gateway}>"),
            target: format!("sip:{user}@{gateway}"),
            at: gateway,
            cseq: 0,
        };
        self.ask(&mut call, "INVITE", sdp).await;
        call
    }

    /// Sends a request within a call.
    pub(crate) async fn ask(&self, call: &mut Call, method: &str, sdp: &str) {
        call.cseq += 1;
        self.write(call, method, method, sdp).await;
    }

    /// Says something within a call that is no description.
    pub(crate) async fn inform(&self, call: &mut Call, content_type: &str, body: &str) {
        call.cseq += 1;
        self.write_as(call, "INFO", "INFO", content_type, body).await;
    }

    /// Confirms that the phone's INVITE was accepted.
    pub(crate) async fn confirm(&self, call: &Call) {
        self.write(call, "ACK", "confirms", "").await;
    }

    /// Takes note of a refusal.
    pub(crate) async fn resign(&self, call: &Call) {
        self.write(call, "ACK", "INVITE", "").await;
    }

    /// Does not wait any longer for an answer to the phone's INVITE.
    pub(crate) async fn cancel(&self, call: &Call) {
        self.write(call, "CANCEL", "INVITE", "").await;
    }

    async fn write(&self, call: &Call, method: &str, branch: &str, sdp: &str) {
        self.write_as(call, method, branch, "application/sdp", sdp).await;
    }

    async fn write_as(
        &self,
        call: &Call,
        method: &str,
        branch: &str,
        content_type: &str,
        body: &str,
    ) {
        let Call { id, own, peer, target, at, cseq } = call;
        let address = self.address();
        let body = match body {
            "" => "Content-Length: 0\r\n\r\n".to_owned(),
            _ => format!(
                "Content-Type: {content_type}\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            ),
        };
        let text = format!(
            "{method} {target} SIP/2.0\r\n\
             Via: SIP/2.0/UDP {address};branch=z9hG4bK-{id}-{branch}-{cseq}\r\n\
             Max-Forwards: 70\r\nFrom: {own}\r\nTo: {peer}\r\nCall-ID: {id}\r\n\
             CSeq: {cseq} {method}\r\nContact: {}\r\n{body}",
            self.contact()
        );
        self.send(*at, text.as_bytes()).await;
    }

    /// What the answer to the phone's INVITE says of the other end.
    pub(crate) fn learn(call: &mut Call, response: &Response) {
        call.peer = response.headers.get(&HeaderName::TO).unwrap().to_owned();
        call.target = response.contact().unwrap().uri.to_string();
    }

    /// The call that an INVITE of the gateway has made, once it was accepted.
    pub(crate) fn call_of((invite, from): &(Request, SocketAddr)) -> Call {
        let tagged = |address: Option<NameAddr>| address.unwrap();
        Call {
            id: invite.call_id().unwrap().to_owned(),
            own: tagged(invite.to()).with_tag("phone").to_string(),
            peer: tagged(invite.from()).to_string(),
            target: invite.contact().unwrap().uri.to_string(),
            at: *from,
            cseq: 0,
        }
    }

    /// Sends sound, or digits, to the gateway.
    pub(crate) async fn say(
        &self,
        to: SocketAddr,
        sequence: u16,
        payload_type: u8,
        payload: &[u8],
    ) {
        let mut packet = vec![0x80, payload_type];
        packet.extend(sequence.to_be_bytes());
        packet.extend((u32::from(sequence) * 160).to_be_bytes());
        packet.extend(7_u32.to_be_bytes());
        packet.extend(payload);
        self.rtp.send_to(&packet, to).await.unwrap();
    }

    /// What the next packet with `payload_type` says.
    pub(crate) async fn hear(&self, payload_type: u8) -> Vec<u8> {
        let mut buf = [0; 2048];
        loop {
            let (length, _) = in_time(self.rtp.recv_from(&mut buf)).await.unwrap();
            if buf[1] & 0x7f == payload_type {
                return buf[12..length].to_vec();
            }
        }
    }
}

/// Where a description wants RTP.
pub(crate) fn rtp_of(sdp: &[u8], ip: IpAddr) -> SocketAddr {
    let text = std::str::from_utf8(sdp).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("m=audio ")).unwrap();
    SocketAddr::new(ip, line.split(' ').next().unwrap().parse().unwrap())
}
