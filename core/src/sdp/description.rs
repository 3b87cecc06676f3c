//! What a peer's session description says of its media, as far as the gateway understands it.
//!
//! Security, ICE, multiplexed RTCP and bandwidths are not looked at: they are not offered and not
//! answered, so that a peer must do without them.

use std::net::{IpAddr, SocketAddr};

use sdp_types::{Attribute, Connection, Media, Session};
use thiserror::Error;

use super::{Codec, Direction, MediaKind};

/// What `a=rtcp-fb` says of who tells, and is told, of lost pictures.
pub(super) const PICTURE_LOSS: &str = "nack pli";
/// Highest payload type that RTP has room for.
const PAYLOAD_TYPE_MAX: u8 = 127;

/// How much a peer may describe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DescriptionLimits {
    /// Longest body, in bytes.
    pub body_bytes: usize,
    /// Most `m=` lines.
    pub media_lines: usize,
    /// Most formats of an `m=` line.
    pub formats: usize,
}

impl Default for DescriptionLimits {
    fn default() -> Self {
        Self { body_bytes: 16 << 10, media_lines: 16, formats: 64 }
    }
}

/// Why a body is not a session description that can be considered. The session is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DescriptionError {
    /// The body has more bytes than the limit.
    #[error("session description has {bytes} bytes, more than {limit_bytes}")]
    TooLong {
        /// What it has.
        bytes: usize,
        /// What it may have.
        limit_bytes: usize,
    },
    /// The body does not follow the grammar of RFC 8866.
    #[error("not a session description: {0}")]
    Malformed(String),
    /// There are more `m=` lines than the limit.
    #[error("session description has {lines} media lines, more than {limit}")]
    TooManyLines {
        /// What it has.
        lines: usize,
        /// What it may have.
        limit: usize,
    },
    /// An `m=` line has more formats than the limit.
    #[error("a media line has {formats} formats, more than {limit}")]
    TooManyFormats {
        /// What it has.
        formats: usize,
        /// What it may have.
        limit: usize,
    },
}

/// Why media cannot be sent to where a line says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// Neither the line nor the session has a `c=` line.
    #[error("session description has no connection address")]
    Missing,
    /// The address is a host name, has a multicast suffix, or is nothing at all.
    #[error("connection address {0:?} is not an IP address")]
    NotIp(String),
    /// The address is a group's or everybody's.
    #[error("connection address {0} is not one host's")]
    NotUnicast(IpAddr),
    /// The address is of the other IP version than the gateway's own.
    #[error("connection address {0} is of another IP version than the gateway's")]
    OtherVersion(IpAddr),
}

/// A format of a line that the gateway can carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemoteFormat {
    pub payload_type: u8,
    pub codec: Codec,
    /// The value of its `a=fmtp`.
    pub parameters: Option<String>,
    /// Whether one of its `a=rtcp-fb` says `nack pli`.
    pub picture_loss: bool,
}

/// How H.264 is packetized (RFC 6184 §8.1): 0 where nothing is said.
pub(super) fn packetization_mode(parameters: Option<&str>) -> Option<u8> {
    let value = parameters.unwrap_or_default().split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("packetization-mode").then_some(value)
    });
    value.map_or(Some(0), |value| value.trim().parse().ok())
}

/// An `m=` line with what belongs to it.
#[derive(Debug, Clone)]
pub(super) struct RemoteLine {
    /// The media type as written.
    pub media: String,
    /// `None` for a type that the gateway knows nothing of.
    pub kind: Option<MediaKind>,
    /// 0 where the line is refused or closed.
    pub port: u16,
    pub transport: String,
    /// The formats as written.
    pub formats_text: String,
    /// The payload types of all formats.
    pub payload_types: Vec<u8>,
    /// The formats that can be carried, in the peer's order.
    pub formats: Vec<RemoteFormat>,
    /// As the peer sees it; it does not receive where it gives a null address (RFC 3264 §8.4).
    pub direction: Direction,
    pub ptime_ms: Option<u32>,
    address: Result<IpAddr, AddressError>,
    rtcp: Option<(u16, Option<IpAddr>)>,
}

impl RemoteLine {
    /// Whether the line is open and its media of a kind and over a transport that are known.
    pub fn is_open(&self) -> bool {
        let known_transport = ["RTP/AVP", "RTP/AVPF"]
            .into_iter()
            .any(|transport| self.transport.eq_ignore_ascii_case(transport));
        self.port != 0 && self.kind.is_some() && known_transport
    }

    /// Where the peer wants RTP and RTCP. The null address is one of either version.
    pub fn addresses(&self, own: IpAddr) -> Result<(SocketAddr, SocketAddr), AddressError> {
        let address = self.address.clone()?;
        let is_broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
        if address.is_multicast() || is_broadcast {
            return Err(AddressError::NotUnicast(address));
        }
        if address.is_ipv4() != own.is_ipv4() && !address.is_unspecified() {
            return Err(AddressError::OtherVersion(address));
        }
        // RFC 3605 §2.1 for what is said, RFC 3550 §11 for what is not.
        let after = self.port.checked_add(1).unwrap_or(self.port);
        let (rtcp_port, rtcp_address) = self.rtcp.unwrap_or((after, None));
        let rtcp_address = rtcp_address
            .filter(|rtcp| rtcp.is_ipv4() == own.is_ipv4() && !rtcp.is_multicast())
            .unwrap_or(address);
        Ok((SocketAddr::new(address, self.port), SocketAddr::new(rtcp_address, rtcp_port)))
    }
}

/// Reads the lines of a body.
pub(super) fn read(
    body: &[u8],
    limits: DescriptionLimits,
) -> Result<Vec<RemoteLine>, DescriptionError> {
    if body.len() > limits.body_bytes {
        return Err(DescriptionError::TooLong {
            bytes: body.len(),
            limit_bytes: limits.body_bytes,
        });
    }
    let session =
        Session::parse(body).map_err(|error| DescriptionError::Malformed(error.to_string()))?;
    if session.medias.len() > limits.media_lines {
        return Err(DescriptionError::TooManyLines {
            lines: session.medias.len(),
            limit: limits.media_lines,
        });
    }
    let common = direction(&session.attributes).unwrap_or(Direction::BOTH);
    session
        .medias
        .iter()
        .map(|media| read_line(media, session.connection.as_ref(), common, limits))
        .collect()
}

fn read_line(
    media: &Media,
    common_connection: Option<&Connection>,
    common_direction: Direction,
    limits: DescriptionLimits,
) -> Result<RemoteLine, DescriptionError> {
    let formats = media.fmt.split_ascii_whitespace().count();
    if formats > limits.formats {
        return Err(DescriptionError::TooManyFormats { formats, limit: limits.formats });
    }
    let kind = MediaKind::from_media(&media.media);
    let payload_types: Vec<u8> = media
        .fmt
        .split_ascii_whitespace()
        .filter_map(|format| format.parse().ok())
        .filter(|payload_type| *payload_type <= PAYLOAD_TYPE_MAX)
        .collect();
    let formats = payload_types
        .iter()
        .filter_map(|payload_type| read_format(*payload_type, &media.attributes))
        .filter(|format| Some(format.codec.kind()) == kind)
        .collect();
    let address = match media.connections.first().or(common_connection) {
        None => Err(AddressError::Missing),
        Some(connection) => connection
            .connection_address
            .parse()
            .map_err(|_| AddressError::NotIp(connection.connection_address.clone())),
    };
    let mut direction = direction(&media.attributes).unwrap_or(common_direction);
    if address.as_ref().is_ok_and(IpAddr::is_unspecified) {
        direction.receive = false;
    }
    Ok(RemoteLine {
        media: media.media.clone(),
        kind,
        port: media.port,
        transport: media.proto.clone(),
        formats_text: media.fmt.clone(),
        payload_types,
        formats,
        direction,
        ptime_ms: value(&media.attributes, "ptime")
            .and_then(|ptime| ptime.trim().parse().ok())
            .filter(|ptime_ms| *ptime_ms > 0),
        address,
        rtcp: value(&media.attributes, "rtcp").and_then(read_rtcp),
    })
}

fn read_format(payload_type: u8, attributes: &[Attribute]) -> Option<RemoteFormat> {
    let codec = match value_of_format(attributes, "rtpmap", payload_type) {
        Some(encoding) => Codec::from_encoding(encoding)?,
        None => Codec::from_static(payload_type)?,
    };
    let parameters = value_of_format(attributes, "fmtp", payload_type).map(str::to_owned);
    // Interleaved packets (mode 2) cannot be carried.
    if codec == Codec::H264 && packetization_mode(parameters.as_deref()).is_none_or(|m| m > 1) {
        return None;
    }
    let picture_loss = codec == Codec::H264 && takes_picture_loss(attributes, payload_type);
    Some(RemoteFormat { payload_type, codec, parameters, picture_loss })
}

/// Whether it is said of a format, or of all, that a lost picture may be told of (RFC 4585 §4.2). Some say so of plain RTP/AVP, too.
fn takes_picture_loss(attributes: &[Attribute], payload_type: u8) -> bool {
    let named =
        attributes.iter().filter(|attribute| attribute.attribute.eq_ignore_ascii_case("rtcp-fb"));
    let mut values = named.filter_map(|attribute| attribute.value.as_deref());
    values.any(|value| {
        let mut words = value.split_ascii_whitespace();
        let is_of = words.next().is_some_and(|of| of == "*" || of.parse() == Ok(payload_type));
        is_of && words.eq(PICTURE_LOSS.split(' '))
    })
}

/// `49171` or `49171 IN IP4 192.0.2.1` (RFC 3605 §2.1).
fn read_rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut parts = value.split_ascii_whitespace();
    let port = parts.next()?.parse().ok().filter(|port| *port != 0)?;
    Some((port, parts.nth(2).and_then(|address| address.parse().ok())))
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|attribute| Direction::from_attribute(&attribute.attribute))
}

fn value<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a str> {
    let found = attributes.iter().find(|attribute| attribute.attribute.eq_ignore_ascii_case(name));
    found?.value.as_deref()
}

/// What follows the payload type in the attribute `name` of that format.
fn value_of_format<'a>(
    attributes: &'a [Attribute],
    name: &str,
    payload_type: u8,
) -> Option<&'a str> {
    attributes
        .iter()
        .filter(|attribute| attribute.attribute.eq_ignore_ascii_case(name))
        .filter_map(|attribute| attribute.value.as_deref()?.trim().split_once(' '))
        .find(|(format, _)| format.parse() == Ok(payload_type))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(rest: &str) -> RemoteLine {
        let body = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n{rest}");
        read(body.as_bytes(), DescriptionLimits::default()).unwrap().remove(0)
    }

    const OWN: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_static_payload_type_needs_no_rtpmap_but_follows_one() {
        let line =
            line("c=IN IP4 192.0.2.1\r\nm=audio 6000 RTP/AVP 8 0 3\r\na=rtpmap:0 opus/48000/2\r\n");
        assert_eq!(
            line.formats.iter().map(|format| format.codec).collect::<Vec<_>>(),
            [Codec::Pcma]
        );
        assert_eq!(line.payload_types, [8, 0, 3]);
    }

    #[test]
    fn rtcp_goes_to_the_next_port_or_where_the_line_says() {
        let rtcp = |attribute: &str| {
            line(&format!("c=IN IP4 192.0.2.1\r\nm=audio 6000 RTP/AVP 0\r\n{attribute}"))
                .addresses(OWN)
                .unwrap()
                .1
                .to_string()
        };
        assert_eq!(rtcp(""), "192.0.2.1:6001");
        assert_eq!(rtcp("a=rtcp:53020\r\n"), "192.0.2.1:53020");
        assert_eq!(rtcp("a=rtcp:53020 IN IP4 126.16.64.4\r\n"), "126.16.64.4:53020");
        assert_eq!(rtcp("a=rtcp:0\r\n"), "192.0.2.1:6001");
    }

    #[test]
    fn the_lines_own_address_counts_before_that_of_the_session() {
        let line =
            line("c=IN IP4 192.0.2.1\r\nm=audio 6000 RTP/AVP 0\r\nc=IN IP4 192.0.2.9\r\na=x\r\n");
        assert_eq!(line.addresses(OWN).unwrap().0.to_string(), "192.0.2.9:6000");
    }

    #[test]
    fn addresses_that_are_not_one_reachable_host_are_refused_by_name() {
        let refusal = |connection: &str| {
            line(&format!("{connection}m=audio 6000 RTP/AVP 0\r\n")).addresses(OWN).unwrap_err()
        };
        assert_eq!(refusal(""), AddressError::Missing);
        assert_eq!(
            refusal("c=IN IP4 phone.example\r\n"),
            AddressError::NotIp("phone.example".into())
        );
        assert!(matches!(refusal("c=IN IP4 224.2.36.42\r\n"), AddressError::NotUnicast(_)));
        assert!(matches!(refusal("c=IN IP6 2001:db8::1\r\n"), AddressError::OtherVersion(_)));
    }

    #[test]
    fn every_limit_holds() {
        let limits = DescriptionLimits { body_bytes: 80, media_lines: 1, formats: 2 };
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n";
        let error = |rest: &str| read(format!("{head}{rest}").as_bytes(), limits).unwrap_err();
        let two = "m=audio 1 RTP/AVP 0\r\n".repeat(2);
        assert_eq!(error(&two), DescriptionError::TooManyLines { lines: 2, limit: 1 });
        let three = "m=audio 1 RTP/AVP 0 8 3\r\n";
        assert_eq!(error(three), DescriptionError::TooManyFormats { formats: 3, limit: 2 });
        assert!(matches!(error(&"a=x\r\n".repeat(20)), DescriptionError::TooLong { .. }));
        assert!(matches!(error("m=audio\r\n"), DescriptionError::Malformed(_)));
    }

    #[test]
    fn lost_pictures_are_told_of_where_that_is_said_of_the_format_or_of_all() {
        let is_said = |attribute: &str| {
            let map = "a=rtpmap:99 H264/90000\r\n";
            let line = line(&format!("m=video 1 RTP/AVP 99\r\n{map}a=rtcp-fb:{attribute}\r\n"));
            line.formats[0].picture_loss
        };
        assert!(is_said("99 nack pli") && is_said("* nack pli"));
        for other in ["98 nack pli", "* nack", "* ccm fir", "* nack pli x", "", "99"] {
            assert!(!is_said(other), "{other}");
        }
    }

    #[test]
    fn interleaved_h264_is_not_carried() {
        let modes = |parameters: &str| {
            line(&format!("m=video 1 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n{parameters}"))
                .formats
                .len()
        };
        assert_eq!(modes(""), 1);
        assert_eq!(modes("a=fmtp:99 profile-level-id=42e01f; packetization-mode=1\r\n"), 1);
        assert_eq!(modes("a=fmtp:99 packetization-mode=2\r\n"), 0);
    }
}
