//! What a configuration must be, beyond what its types say: values within their ranges, deadlines in their order, addresses that
//! can be read.

use std::net::{IpAddr, Ipv6Addr};

use super::{Config, Sip, key_line};
use crate::{
    media::flv,
    sip::uri::{SipUri, Uri},
};

/// Least and most time from a call that is over to the next to the same phone.
const REDIAL_MS: std::ops::RangeInclusive<u64> = 1_000..=86_400_000;
/// Least and most time for which an account may be registered.
const EXPIRES_S: std::ops::RangeInclusive<u32> = 60..=86_400;

impl Config {
    /// The first value that cannot be used, by its key.
    pub(super) fn problem(&self, text: &str) -> Option<(&'static str, String)> {
        let Self { rtmp, http, sip, rtp, live, limits, .. } = self;
        let flv_max = flv::BODY_BYTES_MAX as u64;
        let day_ms = 86_400_000;
        let ranges: [(&str, u64, u64, u64); 61] = [
            ("rtmp.chunk_bytes", rtmp.chunk_bytes.into(), 128, 65_536),
            ("rtmp.window_ack_bytes", rtmp.window_ack_bytes.into(), 1_024, u32::MAX.into()),
            ("rtmp.max_message_bytes", rtmp.max_message_bytes.into(), 4_096, flv_max),
            ("rtmp.max_chunk_bytes", rtmp.max_chunk_bytes.into(), 128, 0x7fff_ffff),
            ("rtmp.max_chunk_streams", rtmp.max_chunk_streams as u64, 4, 65_597),
            ("rtmp.max_message_streams", rtmp.max_message_streams as u64, 1, 65_536),
            ("rtmp.handshake_ms", rtmp.handshake_ms, 1, day_ms),
            ("rtmp.command_ms", rtmp.command_ms, 1, day_ms),
            ("rtmp.idle_ms", rtmp.idle_ms, 1, day_ms),
            ("rtmp.publisher_silence_ms", rtmp.publisher_silence_ms, 1, day_ms),
            ("rtmp.ping_ms", rtmp.ping_ms, 1, day_ms),
            ("rtmp.ping_timeout_ms", rtmp.ping_timeout_ms, 1, day_ms),
            // Below 8 KiB hyper cannot hold a request head.
            ("http.max_head_bytes", http.max_head_bytes as u64, 8_192, 1 << 20),
            ("http.head_ms", http.head_ms, 1, day_ms),
            ("http.idle_ms", http.idle_ms, 1, day_ms),
            ("http.wait_publisher_ms", http.wait_publisher_ms, 0, day_ms),
            ("sip.max_calls", sip.max_calls as u64, 1, 1 << 20),
            ("sip.max_unconfirmed_per_address", sip.max_unconfirmed_per_address as u64, 1, 1 << 20),
            ("sip.max_connections", sip.max_connections as u64, 1, 1 << 20),
            ("sip.max_bindings", sip.max_bindings as u64, 1, 1 << 20),
            ("sip.message_ms", sip.message_ms, 1, day_ms),
            ("sip.idle_ms", sip.idle_ms, 1_000, day_ms),
            ("sip.connect_ms", sip.connect_ms, 1, day_ms),
            ("sip.max_transactions", sip.max_transactions as u64, 1, 1 << 24),
            (
                "sip.max_transactions_per_address",
                sip.max_transactions_per_address as u64,
                1,
                1 << 24,
            ),
            ("sip.max_message_bytes", sip.max_message_bytes as u64, 1_300, 65_535),
            ("sip.max_headers", sip.max_headers as u64, 16, 4_096),
            ("sip.max_media_lines", sip.max_media_lines as u64, 1, 256),
            ("sip.t1_ms", sip.t1_ms, 10, 60_000),
            ("sip.t2_ms", sip.t2_ms, 10, 600_000),
            ("sip.t4_ms", sip.t4_ms, 10, 600_000),
            ("sip.ring_ms", sip.ring_ms, 1_000, day_ms),
            ("sip.max_clients_per_address", sip.max_clients_per_address as u64, 1, 1 << 20),
            ("sip.max_client_calls_per_minute", sip.max_client_calls_per_minute as u64, 1, 1 << 20),
            ("sip.max_clients", sip.max_clients as u64, 1, 1 << 20),
            // Less than 90 s is not allowed (RFC 4028, section 5).
            ("sip.session_expires_ms", sip.session_expires_ms, 90_000, day_ms),
            ("sip.session_expires_min_ms", sip.session_expires_min_ms, 90_000, day_ms),
            ("rtp.first_port", rtp.first_port.into(), 1_024, 65_534),
            ("rtp.last_port", rtp.last_port.into(), 1_025, 65_535),
            ("rtp.quarantine_ms", rtp.quarantine_ms, 0, day_ms),
            ("rtp.min_delay_ms", rtp.min_delay_ms, 0, 10_000),
            ("rtp.max_delay_ms", rtp.max_delay_ms, 1, 60_000),
            ("rtp.max_packets", rtp.max_packets as u64, 1, 1 << 16),
            ("rtp.unheard_ms", rtp.unheard_ms, 0, day_ms),
            ("rtp.silence_ms", rtp.silence_ms, 1_000, day_ms),
            ("sip.codecs", sip.codecs.len() as u64, 1, 16),
            ("live.max_streams", live.max_streams as u64, 1, 1 << 24),
            ("live.max_name_bytes", live.max_name_bytes as u64, 1, 4_096),
            ("live.keep_ms", live.keep_ms, 0, day_ms),
            ("live.gop_ms", live.gop_ms, 1, day_ms),
            ("live.ring_bytes", live.ring_bytes as u64, 1 << 16, 1 << 40),
            ("live.max_headers_bytes", live.max_headers_bytes as u64, 4_096, 1 << 30),
            ("live.lag_resync_ms", live.lag_resync_ms, 1, day_ms),
            ("live.lag_close_ms", live.lag_close_ms, 1, day_ms),
            ("live.flv_probe_ms", live.flv_probe_ms, 1, day_ms),
            ("live.lag_resync_bytes", live.lag_resync_bytes, 1, 1 << 40),
            ("live.player_stall_ms", live.player_stall_ms, 1, day_ms),
            ("live.in_flight_bytes", live.in_flight_bytes as u64, 4_096, 1 << 32),
            ("limits.max_connections", limits.max_connections as u64, 1, 1 << 24),
            ("limits.shutdown_ms", limits.shutdown_ms, 1, day_ms),
            ("limits.farewell_ms", limits.farewell_ms, 1, day_ms),
        ];
        let outside =
            ranges.into_iter().find(|&(_, value, least, most)| value < least || value > most);
        if let Some((key, value, least, most)) = outside {
            return Some((key, format!("{value} is out of range, allowed are {least} to {most}")));
        }
        if let Some(problem) = addresses_problem(sip) {
            return Some(problem);
        }
        let orders = [
            ("http.wait_publisher_ms", http.wait_publisher_ms, "http.idle_ms", http.idle_ms),
            ("live.lag_resync_ms", live.lag_resync_ms, "live.lag_close_ms", live.lag_close_ms),
            ("limits.farewell_ms", limits.farewell_ms, "limits.shutdown_ms", limits.shutdown_ms),
            ("sip.t1_ms", sip.t1_ms, "sip.t2_ms", sip.t2_ms),
            // So that what a phone may ask for at least is never more than what it gets.
            (
                "sip.session_expires_min_ms",
                sip.session_expires_min_ms,
                "sip.session_expires_ms",
                sip.session_expires_ms + 1,
            ),
            ("rtp.first_port", rtp.first_port.into(), "rtp.last_port", rtp.last_port.into()),
            ("rtp.min_delay_ms", rtp.min_delay_ms, "rtp.max_delay_ms", rtp.max_delay_ms),
        ];
        let (less, value, more, bound) = orders.into_iter().find(|order| order.1 >= order.3)?;
        let problem = format!("{less} ({value}) must be less than {more} ({bound})");
        // The one that stands in the file is the one to change.
        Some((if key_line(text, less).is_some() { less } else { more }, problem))
    }
}

/// The first address of somebody to register as, or to call, or of the gateway itself, that cannot be used.
fn addresses_problem(sip: &Sip) -> Option<(&'static str, String)> {
    if sip.listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        let problem =
            "phones are spoken to by one family: write 0.0.0.0, or the gateway's own IPv6 address";
        return Some(("sip.listen", problem.to_owned()));
    }
    let is_host = |domain: &str| {
        let uri = Uri::parse(&format!("sip:{domain}"));
        let is_whole = |uri: &SipUri| uri.host == domain && uri.user.is_none();
        domain == "*" || uri.as_ref().and_then(Uri::as_sip).is_some_and(is_whole)
    };
    if let Some(domain) = sip.client_domains.iter().find(|domain| !is_host(domain)) {
        let problem = format!("{domain:?} is no domain: write example.org, 192.0.2.7 or *");
        return Some(("sip.client_domains", problem));
    }
    for account in &sip.accounts {
        let key = "sip.accounts";
        let address = &account.address;
        let uri = Uri::parse(address);
        if uri.as_ref().and_then(Uri::as_sip).is_none_or(|uri| uri.user.is_none()) {
            return Some((key, format!("{address:?} is no address: write sip:name@domain")));
        }
        let is_uri = |text: &String| Uri::parse(text).is_some_and(|uri| uri.as_sip().is_some());
        if let Some(registrar) = account.registrar.as_ref().filter(|text| !is_uri(text)) {
            return Some((key, format!("registrar {registrar:?} is no address: write sip:host")));
        }
        if !EXPIRES_S.contains(&account.expires_s) {
            let (least, most) = (EXPIRES_S.start(), EXPIRES_S.end());
            let problem = format!("expires_s of {address} must be from {least} to {most}");
            return Some((key, problem));
        }
    }
    for call in &sip.calls {
        let key = "sip.calls";
        let to = &call.to;
        let is_name = !to.is_empty() && !to.contains([':', '@', ' ']);
        let uri = Uri::parse(to);
        if !is_name && uri.as_ref().and_then(Uri::as_sip).is_none() {
            let problem = format!("{to:?} is nobody: write sip:name@host, or a registered name");
            return Some((key, problem));
        }
        if is_name && !sip.registrar {
            return Some((
                key,
                format!("nobody can register as {to:?}: set sip.registrar to true"),
            ));
        }
        if let Some(from) = &call.from
            && !sip.accounts.iter().any(|account| account.address == *from)
        {
            return Some((key, format!("from {from:?} is no address of sip.accounts")));
        }
        if call.publish.is_none() && call.play.is_none() {
            return Some((
                key,
                format!("{to:?} would be called for nothing: give publish or play"),
            ));
        }
        if let Some(redial_ms) = call.redial_ms.filter(|redial_ms| !REDIAL_MS.contains(redial_ms)) {
            let (least, most) = (REDIAL_MS.start(), REDIAL_MS.end());
            let problem = format!("redial_ms ({redial_ms}) must be from {least} to {most}");
            return Some((key, problem));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problem(text: &str) -> String {
        let parsed = Config::parse(Path::new("gateway.toml"), text);
        parsed.map_or_else(|error| error.to_string(), |_| "fine".to_owned())
    }

    #[test]
    fn whom_to_call_and_where_to_register_must_make_sense() {
        let account = "[[sip.accounts]]\naddress = \"sip:talk@example.org\"\n";
        let call = "[[sip.calls]]\nplay = \"live/x\"\n";
        for (text, expected) in [
            (format!("{account}{call}to = \"bob\"\nfrom = \"sip:talk@example.org\""), "fine"),
            (format!("{call}to = \"sip:bob@192.0.2.1;transport=tcp\"\nredial_ms = 1000"), "fine"),
            (
                "[[sip.accounts]]\naddress = \"talk@example.org\"".to_owned(),
                "gateway.toml:1: sip.accounts: \"talk@example.org\" is no address",
            ),
            (format!("{account}registrar = \"here\""), "gateway.toml:1: sip.accounts: registrar"),
            (format!("{account}expires_s = 5"), "gateway.toml:1: sip.accounts: expires_s of"),
            (format!("{call}to = \"tel:123\""), "gateway.toml:1: sip.calls: \"tel:123\" is nobody"),
            (format!("{call}to = \"bob\"\nfrom = \"sip:x@y\""), "gateway.toml:1: sip.calls: from"),
            (format!("{call}to = \"bob\"\nredial_ms = 5"), "gateway.toml:1: sip.calls: redial_ms"),
            ("[sip]\nclient_domains = [\"example.org\", \"*\", \"192.0.2.7\"]".to_owned(), "fine"),
            ("[sip]\nlisten = \"[2001:db8::1]:5060\"".to_owned(), "fine"),
            (
                "[sip]\nlisten = \"[::]:5060\"".to_owned(),
                "gateway.toml:2: sip.listen: phones are spoken to by one family",
            ),
            (
                "[sip]\nclient_domains = [\"sip:bob@example.org\"]".to_owned(),
                "gateway.toml:2: sip.client_domains: \"sip:bob@example.org\" is no domain",
            ),
            ("[[sip.calls]]\nto = \"bob\"".to_owned(), "gateway.toml:1: sip.calls: \"bob\" would"),
            (
                format!("[sip]\nregistrar = false\n{call}to = \"bob\""),
                "gateway.toml:3: sip.calls: nobody can register as",
            ),
        ] {
            let problem = problem(&text);
            assert!(problem.starts_with(expected), "{text}\ngave {problem}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let text = "[[sip.users]]\nname = \"bob\"\npassword = \"hunter2\"";
        let config = Config::parse(Path::new("x"), text).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
