//! The little SDP that a phone needs (RFC 8866): a line of audio, and perhaps one of pictures behind it.

use std::net::{IpAddr, SocketAddr};

use super::{codec::Codec, plan::Direction};

const H264: &str = "H264/90000";
/// What `a=rtcp-fb` says of who tells of lost pictures.
const PICTURE_LOSS: &str = "nack pli";

/// A codec, and its number for who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Format {
    pub(super) number: u8,
    pub(super) codec: Codec,
}

impl From<Codec> for Format {
    fn from(codec: Codec) -> Self {
        Self { number: codec.payload_type(), codec }
    }
}

/// What is dialled (RFC 4733), by its clock, and its number for who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Events {
    pub(super) number: u8,
    /// 16,000 a second, as audio of wide band has, and not 8,000.
    pub(super) is_wide: bool,
}

impl Events {
    /// What `a=rtpmap` says of it.
    fn encoding(is_wide: bool) -> &'static str {
        if is_wide { "telephone-event/16000" } else { "telephone-event/8000" }
    }
}

/// What one end says of its media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Description {
    /// Where it wants to hear.
    pub(super) address: SocketAddr,
    /// What it can speak, by what it likes best.
    pub(super) codecs: Vec<Format>,
    /// What is dialled, if that can be: of each clock one.
    pub(super) events: Vec<Events>,
    pub(super) direction: Direction,
    /// Its line of pictures, if there is one.
    pub(super) video: Option<VideoLine>,
}

/// What one end says of its pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VideoLine {
    /// Where it wants to see; 0 refuses them.
    pub(super) port: u16,
    /// The number of H.264.
    pub(super) number: u8,
    pub(super) direction: Direction,
    /// Parameter sets, as they are written there (RFC 6184, section 8.1).
    pub(super) sets: Option<String>,
    pub(super) tells_by_rtcp: bool,
    /// NAL units go whole and one by one: packetization mode 0.
    pub(super) whole_units: bool,
}

impl VideoLine {
    fn write(&self) -> String {
        let Self { port, number, .. } = self;
        if *port == 0 {
            return format!("m=video 0 RTP/AVP {number}\r\n");
        }
        let sets = self.sets.as_ref();
        let sets = sets.map_or_else(String::new, |it| format!(";sprop-parameter-sets={it}"));
        // Which is what is meant where nothing is said.
        let mode = if self.whole_units { "" } else { ";packetization-mode=1" };
        let feedback = match self.tells_by_rtcp {
            true => format!("a=rtcp-fb:{number} {PICTURE_LOSS}\r\n"),
            false => String::new(),
        };
        format!(
            "m=video {port} RTP/AVP {number}\r\na=rtpmap:{number} {H264}\r\n\
             a=fmtp:{number} profile-level-id=42c01e{mode}{sets}\r\n{feedback}a={}\r\n",
            self.direction.attribute()
        )
    }
}

/// A media line as it is written.
#[derive(Default)]
struct Line<'a> {
    media: &'a str,
    port: u16,
    numbers: Vec<u8>,
    ip: Option<IpAddr>,
    direction: Option<Direction>,
    /// Of each number.
    maps: Vec<(u8, &'a str)>,
    parameters: Vec<(u8, &'a str)>,
    feedback: Vec<&'a str>,
}

impl<'a> Line<'a> {
    fn take(&mut self, kind: &str, value: &'a str) {
        let of_number = |value: &'a str| {
            let (number, rest) = value.split_once(' ')?;
            Some((number.parse().ok()?, rest))
        };
        match (kind, value.split_once(':')) {
            ("c", _) => self.ip = value.rsplit(' ').next().and_then(|ip| ip.parse().ok()),
            ("a", Some(("rtpmap", value))) => self.maps.extend(of_number(value)),
            ("a", Some(("fmtp", value))) => self.parameters.extend(of_number(value)),
            ("a", Some(("rtcp-fb", value))) => self.feedback.push(value),
            ("a", None) => {
                let said = Direction::ALL.into_iter().find(|it| it.attribute() == value);
                self.direction = said.or(self.direction);
            }
            _ => {}
        }
    }

    fn encoding(&self, number: u8) -> Option<&'a str> {
        self.maps.iter().find(|(of, _)| *of == number).map(|(_, encoding)| *encoding)
    }

    /// The number of what is called `encoding`.
    fn number(&self, encoding: &str) -> Option<u8> {
        let mut numbers = self.numbers.iter().copied();
        numbers.find(|number| self.encoding(*number) == Some(encoding))
    }

    /// What `number` stands for: as is said, or by RFC 3551.
    fn codec(&self, number: u8) -> Option<Codec> {
        let mut codecs = Codec::ALL.into_iter();
        match self.encoding(number) {
            Some(encoding) => codecs.find(|codec| codec.encoding() == encoding),
            None => codecs.find(|codec| !codec.is_speex() && codec.payload_type() == number),
        }
    }

    fn video(&self) -> VideoLine {
        let number = self.number(H264);
        let port = if number.is_some() { self.port } else { 0 };
        let number = number.or(self.numbers.first().copied()).unwrap_or_default();
        let parameters = self.parameters.iter().find(|(of, _)| *of == number);
        let parameters = parameters.into_iter().flat_map(|(_, said)| said.split(';'));
        let whole_units = parameters.clone().all(|it| it.trim() != "packetization-mode=1");
        let sets =
            parameters.clone().find_map(|it| it.trim().strip_prefix("sprop-parameter-sets="));
        let said = format!("{number} {PICTURE_LOSS}");
        VideoLine {
            port,
            number,
            direction: self.direction.unwrap_or_default(),
            sets: sets.map(str::to_owned),
            tells_by_rtcp: self.feedback.contains(&&said[..]),
            whole_units: port > 0 && whole_units,
        }
    }
}

impl Description {
    /// As it goes into a message; `version` is by how many it is newer than the first.
    pub(super) fn write(&self, session: u32, version: u32) -> String {
        let ip = self.address.ip();
        let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
        let list = |of: fn(&Format) -> String| self.codecs.iter().map(of).collect::<String>();
        let types = list(|format| format!(" {}", format.number));
        let maps =
            list(|format| format!("a=rtpmap:{} {}\r\n", format.number, format.codec.encoding()));
        let (mut types, mut maps) = (types, maps);
        for Events { number, is_wide } in &self.events {
            types += &format!(" {number}");
            let encoding = Events::encoding(*is_wide);
            maps += &format!("a=rtpmap:{number} {encoding}\r\na=fmtp:{number} 0-15\r\n");
        }
        let (port, direction) = (self.address.port(), self.direction.attribute());
        let video = self.video.as_ref().map(VideoLine::write).unwrap_or_default();
        format!(
            "v=0\r\no=phone {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
             m=audio {port} RTP/AVP{types}\r\n{maps}a=ptime:20\r\na={direction}\r\n{video}"
        )
    }

    /// Reads the first line of audio in `body`, and the first of pictures; `None` when there is none of audio, or it is refused.
    pub(super) fn read(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let mut lines = vec![Line::default()];
        for line in text.lines() {
            let Some((kind, value)) = line.split_once('=') else { continue };
            if kind == "m" {
                let mut words = value.split(' ');
                let (media, port) = (words.next()?, words.next()?.parse().unwrap_or(0));
                let numbers = words.skip(1).filter_map(|number| number.parse().ok()).collect();
                lines.push(Line { media, port, numbers, ..Line::default() });
            } else {
                lines.last_mut().expect("there is one").take(kind, value);
            }
        }
        let first = |media: &str| lines.iter().find(|line| line.media == media);
        let audio = first("audio")?;
        let codec = |number: &u8| Some(Format { number: *number, codec: audio.codec(*number)? });
        let codecs: Vec<Format> = audio.numbers.iter().filter_map(codec).collect();
        let ip = audio.ip.or(lines[0].ip)?;
        let said = audio.direction.or(lines[0].direction);
        let events = [false, true].into_iter().filter_map(|is_wide| {
            Some(Events { number: audio.number(Events::encoding(is_wide))?, is_wide })
        });
        let events = events.collect();
        (!codecs.is_empty() && audio.port > 0).then(|| Self {
            address: SocketAddr::new(ip, audio.port),
            codecs,
            events,
            direction: said.unwrap_or_default(),
            video: first("video").map(Line::video),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let open = VideoLine {
            port: 40_002,
            number: 97,
            direction: Direction::RecvOnly,
            sets: Some("Z0IAHoA=,aIA=".to_owned()),
            tells_by_rtcp: true,
            whole_units: false,
        };
        let plain =
            VideoLine { sets: None, tells_by_rtcp: false, whole_units: true, ..open.clone() };
        let closed = VideoLine { number: 97, ..VideoLine::default() };
        let videos = [None, Some(open), Some(plain), Some(closed)];
        for (direction, video) in Direction::ALL.into_iter().zip(videos) {
            let codecs = [Codec::Wideband, Codec::Pcma, Codec::Narrowband, Codec::Pcmu];
            let codecs = codecs.map(Format::from).to_vec();
            let address = "192.0.2.7:40000".parse().unwrap();
            let events = [(101, false), (103, true)];
            let events = events.map(|(number, is_wide)| Events { number, is_wide });
            let events = events.into_iter().filter(|_| direction != Direction::Inactive).collect();
            let description = Description { address, codecs, events, direction, video };
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
            ("192.0.2.7:8".into(), vec![Format::from(Codec::Pcma)])
        );
        assert_eq!(read.video.unwrap().port, 0, "it is no H.264");
    }
}
