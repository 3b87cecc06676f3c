//! The sections of phones: SIP, its routes, and RTP.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use documented::DocumentedFields;
use serde::{Deserialize, Serialize};

use crate::{rtp::source::Follow, sdp::Codec};

/// SIP: phones that call.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Sip {
    /// Take calls at all.
    pub enabled: bool,
    /// Address to listen on, over UDP and TCP; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Address that phones are told to send to; 0.0.0.0 stands for the one that this machine reaches others from.
    pub advertise: IpAddr,
    /// Calls at a time; one more is told that it is busy.
    pub max_calls: usize,
    /// Calls from one address whose phones have not confirmed yet that they are up; one more is told to come again.
    pub max_unconfirmed_per_address: usize,
    /// Phones and proxies that are connected over TCP at a time.
    pub max_connections: usize,
    /// From the first to the last byte of a message over TCP, and to the end of the first from when somebody connects.
    pub message_ms: u64,
    /// A connection over TCP on which nothing comes for so long is closed.
    pub idle_ms: u64,
    /// How long it may take to find the address of a name, and to connect to somebody who is called over TCP.
    pub connect_ms: u64,
    /// Requests that are being answered, or were in the last half minute, at a time; one more is told to come again. For requests
    /// within calls there is a quarter more; those that do not call, such as OPTIONS and REGISTER, get half. So a flood of them
    /// from any number of addresses leaves calls alone; one of INVITEs from so many keeps others from calling, but not their
    /// calls from going on.
    pub max_transactions: usize,
    /// The same for one IPv4 address, or 64 bits of IPv6, which leaves the rest to others. A proxy needs two for each call
    /// that comes by it and has not ended for half a minute.
    pub max_transactions_per_address: usize,
    /// Longest message, in bytes.
    pub max_message_bytes: usize,
    /// Header lines of a message.
    pub max_headers: usize,
    /// Media lines of a description.
    pub max_media_lines: usize,
    /// T1 of RFC 3261: until what may be lost is sent for the second time; it is given up after 64 times as long.
    pub t1_ms: u64,
    /// T2: longest time until something is sent again.
    pub t2_ms: u64,
    /// T4: how long a message may stay in the network.
    pub t4_ms: u64,
    /// C: how long a phone that is called may ring.
    pub ring_ms: u64,
    /// Domains, or hosts, that user agents may belong to which connect over RTMP, to sip/user@domain, and that they may call; "*"
    /// stands for every one. Whoever can connect has the gateway send what he likes there, so without any nobody may.
    pub client_domains: Vec<String>,
    /// User agents at a time that connect over RTMP.
    pub max_clients: usize,
    /// The same, of those that come from one IPv4 address, or 64 bits of IPv6.
    pub max_clients_per_address: usize,
    /// Calls, and registrations, of user agents at one address in a minute; all together may have as many as there may be calls.
    pub max_client_calls_per_minute: usize,
    /// A call ends after this if neither end has refreshed it. At half of it, it is.
    pub session_expires_ms: u64,
    /// The least that a phone may ask for instead.
    pub session_expires_min_ms: u64,
    /// What is carried between calls and streams as it is, the preferred first: pcmu, pcma, wideband and narrowband (Speex), dtmf,
    /// h264.
    pub codecs: Vec<Codec>,
    /// Let phones register here, as many insist on; a phone that did can be called by its name, see calls.
    pub registrar: bool,
    /// Ask users for proofs by SHA-256 as well as by MD5 (RFC 8760); some phones, as those made with libre, give up when they are.
    pub digest_sha256: bool,
    /// Phones that are registered at a time.
    pub max_bindings: usize,
    /// What a number that is dialled stands for; the first that matches counts.
    pub routes: Vec<Route>,
    /// Who may register; without any, everybody may, under any name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub users: Vec<User>,
    /// Where the gateway registers, so that it can be called by that address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accounts: Vec<Account>,
    /// Whom the gateway calls as soon as it runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
}

impl Default for Sip {
    fn default() -> Self {
        let route = |dial: &str, publish: Option<&str>, play: Option<&str>| Route {
            dial: dial.to_owned(),
            publish: publish.map(str::to_owned),
            play: play.map(str::to_owned),
        };
        Self {
            enabled: true,
            listen: SocketAddr::from(([0, 0, 0, 0], 5060)),
            advertise: IpAddr::from([0, 0, 0, 0]),
            max_calls: 1_000,
            max_unconfirmed_per_address: 100,
            max_connections: 1_000,
            message_ms: 10_000,
            idle_ms: 3_900_000,
            connect_ms: 10_000,
            max_transactions: 10_000,
            max_transactions_per_address: 2_500,
            max_message_bytes: 65_535,
            max_headers: 128,
            max_media_lines: 16,
            t1_ms: 500,
            t2_ms: 4_000,
            t4_ms: 5_000,
            ring_ms: 200_000,
            client_domains: Vec::new(),
            max_clients: 1_000,
            max_clients_per_address: 20,
            max_client_calls_per_minute: 30,
            session_expires_ms: 1_800_000,
            session_expires_min_ms: 90_000,
            codecs: vec![
                Codec::Pcmu,
                Codec::Pcma,
                Codec::Wideband,
                Codec::Narrowband,
                Codec::Dtmf,
                Codec::H264,
            ],
            registrar: true,
            digest_sha256: false,
            max_bindings: 1_000,
            routes: vec![route("play-*", None, Some("live/*")), route("*", Some("call/*"), None)],
            users: Vec::new(),
            accounts: Vec::new(),
            calls: Vec::new(),
        }
    }
}

impl Sip {
    /// Whether user agents that connect over RTMP may belong to `domain`, and call there.
    pub fn serves_domain(&self, domain: &str) -> bool {
        let is_it = |own: &String| own == "*" || own.eq_ignore_ascii_case(domain);
        self.client_domains.iter().any(is_it)
    }
}

/// What a number stands for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The number, or the user part of the address. One asterisk in it stands for whatever is there.
    pub dial: String,
    /// Stream that the caller is heard on, as app/name. An asterisk stands for what the one in dial does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// Stream that the caller hears, as app/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<String>,
}

impl Route {
    /// What the asterisk of `dial` stands for in `number`; `None` when it does not match.
    pub fn matches<'a>(&self, number: &'a str) -> Option<&'a str> {
        match self.dial.split_once('*') {
            Some((before, after)) => {
                number.strip_prefix(before)?.strip_suffix(after).filter(|rest| !rest.is_empty())
            }
            None => (self.dial == number).then_some(""),
        }
    }
}

/// What nobody else may know: it is never logged.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Somebody who may register.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name, which is the user part of the address as well.
    pub name: String,
    /// What proves it.
    pub password: Password,
}

/// An address by which the gateway can be called, once it has registered there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The address, such as sip:talk@example.org. What is dialled, for routes, is its user part.
    pub address: String,
    /// Where to register, such as sip:192.0.2.5:5080 or sip:sip.example.org;transport=tcp; the domain of the address if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registrar: Option<String>,
    /// Name to prove who it is with; the user part of the address if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Password; nothing is proven without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// For how long to register; it is done again some seconds before the end of what is granted.
    #[serde(default = "Account::default_expires_s")]
    pub expires_s: u32,
}

impl Account {
    fn default_expires_s() -> u32 {
        180
    }
}

/// Somebody who is called.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// Whom: an address such as sip:bob@192.0.2.7, or the name by which a phone has registered here.
    pub to: String,
    /// As whom: the address of an account. Without, nobody in particular.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Stream that the one who is called is heard on, as app/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publish: Option<String>,
    /// Stream that the one who is called hears, as app/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub play: Option<String>,
    /// How long after the end of a call to call again, and after a call that was not taken; never if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redial_ms: Option<u64>,
}

/// RTP: what phones say and hear.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, DocumentedFields)]
#[serde(default, deny_unknown_fields)]
pub struct Rtp {
    /// First port; calls have an even one and the next.
    pub first_port: u16,
    /// Last port.
    pub last_port: u16,
    /// How long the ports of a call that is over are not given to another.
    pub quarantine_ms: u64,
    /// Shortest time for which what came is held, so that what came out of order can be put in order; up to 5 ms less or more, so
    /// that a packet is played out when the next one comes.
    pub min_delay_ms: u64,
    /// Longest time for which it is held, when the line is bad.
    pub max_delay_ms: u64,
    /// Packets of a call's audio that are held.
    pub max_packets: usize,
    /// Packets of a call's video that are held; a picture may have hundreds.
    pub max_video_packets: usize,
    /// Least time from one request for a keyframe to the next, of a phone whose pictures are incomplete. It is asked by RTCP (PLI) if it
    /// has said that it listens to that, or else by INFO.
    pub keyframe_request_ms: u64,
    /// Whose packets are heard besides those from the address and port that a phone has said: nobody's; those of another port, as
    /// NATs give them, or of the address that its messages come from, with same-ip; or those of anyone who is first.
    pub follow: Follow,
    /// For how long media goes to an address other than the one that a phone's messages come from, though nothing is heard from there:
    /// it may be somebody else's. Then media waits until packets or reports (RTCP) come from there, and again when none have
    /// come for silence_ms. With 0, a phone has to be heard before it hears.
    pub unheard_ms: u64,
    /// A call of which nothing is heard for so long, though it should be, is over. Reports (RTCP) of its phone count as heard: one
    /// that sends them is there, though it may have nothing to say, such as while it is muted.
    pub silence_ms: u64,
}

impl Default for Rtp {
    fn default() -> Self {
        Self {
            first_port: 20_000,
            last_port: 29_999,
            quarantine_ms: 5_000,
            min_delay_ms: 20,
            max_delay_ms: 400,
            max_packets: 128,
            max_video_packets: 1_024,
            keyframe_request_ms: 5_000,
            follow: Follow::SameIp,
            unheard_ms: 10_000,
            silence_ms: 60_000,
        }
    }
}
