//! More datagrams than the gateway takes: what the system drops of them is counted, what is of strangers is, too, and the call goes
//! on.

// The system's own figures are read where it shows them.
#![allow(clippy::disallowed_methods)]

use std::{
    fs,
    net::{IpAddr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

use crate::{
    gateway::{Gateway, lines_of},
    process::PATIENCE,
};

/// Datagrams that the system is to drop at each port.
const DROPPED: u64 = 500;
/// After so many it must have.
const SENT_MAX: u64 = 1_000_000;
/// What is sent of them before it is looked how many were dropped.
const BATCH: u64 = 100;
/// Nothing of it is a message.
const NONSENSE: &[u8] = b"this is no message\r\n\r\n";
/// Packets that the phone says before a flood, and behind it.
const SAID: u16 = 5;

/// A phone whose messages are written out here.
struct Phone {
    sip: UdpSocket,
    rtp: UdpSocket,
    gateway: SocketAddr,
    to_tag: String,
}

impl Phone {
    /// Calls; the phone, and where the gateway hears it.
    fn call(gateway: SocketAddr) -> (Self, SocketAddr) {
        let [sip, rtp] = [(); 2].map(|()| socket("127.0.0.1"));
        let port = rtp.local_addr().expect("an address").port();
        let mut phone = Self { sip, rtp, gateway, to_tag: String::new() };
        let sdp = format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP 0\r\n"
        );
        phone.ask("INVITE", 1, &sdp);
        let taken = phone.response(200);
        let tag = taken.split("\r\nTo: ").nth(1).and_then(|to| to.split(";tag=").nth(1));
        let tag = tag.and_then(|tag| tag.split(['\r', ';']).next()).expect("the tag of a dialog");
        phone.to_tag = format!(";tag={tag}");
        let port = taken.split("m=audio ").nth(1).and_then(|line| line.split(' ').next());
        let port = port.and_then(|port| port.parse().ok()).expect("a port for RTP");
        phone.ask("ACK", 1, "");
        (phone, SocketAddr::new(gateway.ip(), port))
    }

    fn ask(&self, method: &str, number: u32, body: &str) {
        let (gateway, tag) = (self.gateway, &self.to_tag);
        let own = self.sip.local_addr().expect("an address");
        let message = format!(
            "{method} sip:talk@{gateway} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{method}{number}\r\n\
             From: <sip:phone@{own}>;tag=1\r\nTo: <sip:talk@{gateway}>{tag}\r\nCall-ID: flooded\r\n\
             CSeq: {number} {method}\r\nContact: <sip:phone@{own}>\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.sip.send_to(message.as_bytes(), gateway).expect("it is on this machine");
    }

    /// The first answer with `status`.
    fn response(&self, status: u16) -> String {
        let start = format!("SIP/2.0 {status} ");
        let mut datagram = [0; 65_535];
        loop {
            let length = self.sip.recv(&mut datagram).expect("the gateway answers");
            let message = String::from_utf8_lossy(&datagram[..length]);
            if message.starts_with(&start) {
                return message.into_owned();
            }
        }
    }

    fn say(&self, to: SocketAddr, numbers: impl Iterator<Item = u16>) {
        for number in numbers {
            self.rtp.send_to(&packet(*b"mine", number), to).expect("it is on this machine");
        }
    }
}

/// A socket at `ip` that gives up waiting after a while.
fn socket(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip, 0)).expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket can time out");
    socket
}

/// 20 ms of µ-law.
fn packet(ssrc: [u8; 4], number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let time = (u32::from(number) * 160).to_be_bytes();
    [&[0x80, 0, high, low], &time[..], &ssrc[..], &[0x55; 160]].concat()
}

/// What the system shows of the socket that is bound to `local`: bytes that wait to be received, and datagrams that it dropped.
fn shown(local: SocketAddr) -> (u64, u64) {
    let table = fs::read_to_string("/proc/net/udp").expect("the system shows its sockets");
    let IpAddr::V4(ip) = local.ip() else { panic!("{local} is in another table") };
    // The address as a word of the machine's own byte order.
    let wanted = format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), local.port());
    let is_it = |line: &&str| line.split_ascii_whitespace().nth(1) == Some(&*wanted);
    let line = table.lines().find(is_it);
    let fields: Vec<&str> = line.expect("the socket is open").split_ascii_whitespace().collect();
    let waiting = fields[4].split(':').nth(1).map(|hex| u64::from_str_radix(hex, 16));
    let dropped = fields.last().and_then(|dropped| dropped.parse().ok());
    (waiting.and_then(Result::ok).expect("a number"), dropped.expect("a number"))
}

/// Sends to `to` until the system has dropped [`DROPPED`] of it; how many were sent.
fn flood(to: SocketAddr, mut datagram: impl FnMut(u64) -> Vec<u8>) -> u64 {
    let stranger = socket("127.0.0.2");
    let mut sent = 0;
    while shown(to).1 < DROPPED {
        for number in sent..sent + BATCH {
            stranger.send_to(&datagram(number), to).expect("it is on this machine");
        }
        sent += BATCH;
        assert!(sent < SENT_MAX, "the system has room for {sent} datagrams");
    }
    sent
}

/// Waits until the gateway has taken all that came to `port`; what the system had no room for by then.
fn taken(port: SocketAddr) -> u64 {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (waiting, dropped) = shown(port);
        if waiting == 0 {
            return dropped;
        }
        assert!(Instant::now() < deadline, "{waiting} bytes wait at {port}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_dropped_and_refused_of_floods_is_counted_and_the_call_goes_on() {
    let gateway = Gateway::start();
    let (phone, rtp) = Phone::call(gateway.sip);
    phone.say(rtp, 0..SAID);
    taken(rtp);

    gateway.process.signal("STOP");
    let packets = flood(rtp, |number| packet(*b"none", number as u16));
    let messages = flood(gateway.sip, |_| NONSENSE.to_vec());
    gateway.process.signal("CONT");
    let (packets_dropped, messages_dropped) = (taken(rtp), taken(gateway.sip));
    assert!(packets_dropped < packets && messages_dropped < messages, "nothing was taken");

    phone.say(rtp, SAID..2 * SAID);
    taken(rtp);
    phone.ask("BYE", 2, "");
    phone.response(200);
    let media = lines_of(&gateway.process, "media of a call", 1, |_| true).remove(0);
    assert_eq!(media["kernel_dropped"], packets_dropped, "{media}");
    assert_eq!(media["strangers"], packets - packets_dropped, "{media}");
    assert_eq!(media["received"], 2 * SAID, "{media}");
    assert_eq!(media["lost"], 0, "{media}");

    gateway.process.terminate();
    let sip = lines_of(&gateway.process, "SIP messages since the start", 1, |_| true).remove(0);
    assert_eq!(sip["kernel_dropped"], messages_dropped, "{sip}");
    // INVITE, ACK and BYE are received, too.
    assert_eq!(sip["received"], messages - messages_dropped + 3, "{sip}");
    assert_eq!(sip["dropped"], messages - messages_dropped, "{sip}");
    let all = lines_of(&gateway.process, "totals since the start", 1, |_| true).remove(0);
    assert_eq!(all["packets_dropped"], packets_dropped + messages_dropped, "{all}");
}
