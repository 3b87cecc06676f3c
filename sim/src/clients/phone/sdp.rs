//! The little SDP that a phone needs (RFC 8866): one line of audio.

use std::net::{IpAddr, SocketAddr};

use super::plan::{Codec, Direction};

/// What is dialled, as SDP calls it.
const EVENTS: &str = "telephone-event/8000";

/// What one end says of its audio.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// Where it wants to hear.
    pub(super) address: SocketAddr,
    /// What it can speak, by what it likes best.
    pub(super) codecs: Vec<Codec>,
    /// The number of what is dialled (RFC 4733), if that can be.
    pub(super) events: Option<u8>,
    pub(super) direction: Direction,
}

impl Description {
    /// As it goes into a message; `version` is by how many it is newer than the first.
    pub(super) fn write(&self, session: u32, version: u32) -> String {
        let ip = self.address.ip();
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let list = |of: fn(&Codec) -> String| self.codecs.iter().map(of).collect::<String>();
        let types = list(|codec| format!(" {}", codec.payload_type()));
        let maps =
            list(|codec| format!("a=rtpmap:{} {}/8000\r\n", codec.payload_type(), codec.name()));
        let events = self.events.map_or_else(Default::default, |number| {
            let map = format!("a=rtpmap:{number} {EVENTS}\r\na=fmtp:{number} 0-15\r\n");
            (format!(" {number}"), map)
        });
        let (types, maps) = (types + &events.0, maps + &events.1);
        let (port, direction) = (self.address.port(), self.direction.attribute());
        format!(
            "v=0\r\no=phone {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP{types}\r\n{maps}a=ptime:20\r\na={direction}\r\n"
        )
    }

    /// Reads the first line of audio in `body`; `None` when there is none, or it is refused.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut ip, mut port, mut types) = (None::<IpAddr>, None::<u16>, Vec::new());
        let (mut direction, mut is_in_audio) = (Direction::SendRecv, true);
        let mut events = None;
        for line in text.lines() {
            let Some((kind, value)) = line.split_once('=') else { continue };
            match kind {
                "m" => {
                    let mut words = value.split(' ');
                    is_in_audio = words.next() == Some("audio") && port.is_none();
                    if is_in_audio {
                        port = words.next()?.parse().ok();
                        types = words.skip(1).filter_map(|number| number.parse().ok()).collect();
                    }
                }
                "c" if is_in_audio => ip = value.rsplit(' ').next()?.parse().ok(),
                "a" if is_in_audio => {
                    let said = Direction::ALL.into_iter().find(|it| it.attribute() == value);
                    direction = said.unwrap_or(direction);
                    if let Some((number, EVENTS)) =
                        value.strip_prefix("rtpmap:").and_then(|map| map.split_once(' '))
                    {
                        events = number.parse().ok();
                    }
                }
                _ => {}
            }
        }
        let codec = |number: &u8| {
            [Codec::Pcmu, Codec::Pcma].into_iter().find(|codec| codec.payload_type() == *number)
        };
        let codecs: Vec<Codec> = types.iter().filter_map(codec).collect();
        let address = SocketAddr::new(ip?, port.filter(|port| *port > 0)?);
        (!codecs.is_empty()).then_some(Self { address, codecs, events, direction })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for direction in Direction::ALL {
            let codecs = vec![Codec::Pcma, Codec::Pcmu];
            let address = "192.0.2.7:40000".parse().unwrap();
            let events = (direction != Direction::Inactive).then_some(101);
            let description = Description { address, codecs, events, direction };
            assert_eq!(Description::read(description.write(7, 1).as_bytes()), Some(description));
        }
    }

    #[test]
    fn a_refused_line_is_none() {
        assert_eq!(
            Description::read(b"v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 0 RTP/AVP 0\r\n"),
            None
        );
        assert_eq!(
            Description::read(b"v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 8 RTP/AVP 96\r\n"),
            None
        );
        let two = b"c=IN IP4 192.0.2.7\nm=video 4 RTP/AVP 96\nc=IN IP4 192.0.2.9\nm=audio 8 RTP/AVP 96 8\n";
        let read = Description::read(two).unwrap();
        assert_eq!(
            (read.address.to_string(), read.codecs),
            ("192.0.2.7:8".into(), vec![Codec::Pcma])
        );
    }
}
