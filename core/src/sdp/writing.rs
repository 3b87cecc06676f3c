//! The gateway's own session descriptions as text.
//!
//! The version of the origin goes up whenever the text is another than the last one, and only then
//! (RFC 3264 §8). Texts that the peer refused count, too: no two texts share a version.

use std::net::IpAddr;

use sdp_types::{Attribute, Connection, Media, Origin, Session};

use super::{Codec, Direction, Format, description::PICTURE_LOSS};

/// Writes descriptions of one session.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    address: IpAddr,
    origin_id: u64,
    version: u64,
    last: String,
}

impl Writer {
    pub fn new(address: IpAddr, origin_id: u64) -> Self {
        Self { address, origin_id, version: 1, last: String::new() }
    }

    /// The description with these lines.
    pub fn write(&mut self, lines: Vec<Media>) -> String {
        let mut session = Session {
            origin: Origin::with_ip_addr(self.origin_id, self.version, self.address),
            session_name: "-".into(),
            session_description: None,
            uri: None,
            emails: Vec::new(),
            phones: Vec::new(),
            connection: Some(Connection::from_ip_addr(self.address)),
            bandwidths: Vec::new(),
            times: Vec::new(),
            time_zones: Vec::new(),
            key: None,
            attributes: Vec::new(),
            medias: lines,
        };
        let mut text = text(&session);
        if !self.last.is_empty() && text != self.last {
            self.version += 1;
            session.origin.sess_version = self.version;
            text = self::text(&session);
        }
        self.last.clone_from(&text);
        text
    }
}

fn text(session: &Session) -> String {
    let mut bytes = Vec::new();
    session.write(&mut bytes).expect("a vector takes every byte");
    String::from_utf8(bytes).expect("a description is made of strings")
}

/// A line with media in it. `parameters` is what is said of H.264, if anything, and `picture_loss` whether that lost pictures of it are
/// told of.
pub(super) fn open_line(
    transport: &str,
    port: u16,
    formats: &[Format],
    (parameters, picture_loss): (Option<&str>, bool),
    direction: Direction,
    ptime_ms: Option<u32>,
) -> Media {
    let kind = formats.first().expect("an open line has a format").codec.kind();
    let numbers: Vec<_> = formats.iter().map(|format| format.payload_type.to_string()).collect();
    let mut line = closed_line(kind.as_str(), transport, &numbers.join(" "));
    line.port = port;
    for Format { payload_type, codec } in formats {
        let encoding = format!("{payload_type} {}/{}", codec.encoding(), codec.clock_rate_hz());
        line.attributes.push(Attribute::with_value("rtpmap", encoding));
        let parameters = match codec {
            Codec::H264 => parameters,
            Codec::Dtmf | Codec::WidebandDtmf => Some(Codec::DTMF_PARAMETERS),
            _ => None,
        };
        if let Some(parameters) = parameters {
            let parameters = format!("{payload_type} {parameters}");
            line.attributes.push(Attribute::with_value("fmtp", parameters));
        }
        if *codec == Codec::H264 && picture_loss {
            let feedback = format!("{payload_type} {PICTURE_LOSS}");
            line.attributes.push(Attribute::with_value("rtcp-fb", feedback));
        }
    }
    if let Some(ptime_ms) = ptime_ms {
        line.attributes.push(Attribute::with_value("ptime", ptime_ms));
    }
    line.attributes.push(Attribute::new(direction.attribute()));
    line
}

/// A line that is refused or closed (RFC 3264 §6, §8.2).
pub(super) fn closed_line(media: &str, transport: &str, formats: &str) -> Media {
    Media {
        media: media.to_owned(),
        port: 0,
        num_ports: None,
        proto: transport.to_owned(),
        fmt: formats.to_owned(),
        media_title: None,
        connections: Vec::new(),
        bandwidths: Vec::new(),
        key: None,
        attributes: Vec::new(),
    }
}
