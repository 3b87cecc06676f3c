//! The offer/answer state of one call (RFC 3264).
//!
//! Whatever fails leaves what was agreed on as it was: each step is worked out beside the agreed
//! session and takes its place when all of it is well.

use std::collections::BTreeMap;

use sdp_types::Media;

use super::{
    AnswerError, Codec, Direction, EventFormats, Format, Local, MediaAgreement, MediaKind,
    Negotiated, OfferError,
    description::{self, RemoteFormat, RemoteLine, packetization_mode},
    writing::{Writer, closed_line, open_line},
};

/// The payload types that have no meaning of their own (RFC 3551 §3).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// A line of the session; it keeps its place for good.
#[derive(Debug, Clone)]
struct Line {
    media: String,
    transport: String,
    formats_text: String,
    kind: Option<MediaKind>,
    stream: Option<Stream>,
}

#[derive(Debug, Clone)]
struct Stream {
    agreement: MediaAgreement,
    /// What the peer said last of whether it wants to receive.
    peer_holds: bool,
}

/// What is agreed on.
#[derive(Debug, Clone, Default)]
struct Session {
    lines: Vec<Line>,
    hold: bool,
    /// The numbers that the gateway receives codecs with.
    own_numbers: BTreeMap<Codec, u8>,
    /// All numbers that had a meaning for either side, and that meaning as far as it is known: it must not change (RFC 3264 §8.3.2).
    taken: BTreeMap<u8, Option<Codec>>,
}

impl Session {
    fn stream(&self, kind: MediaKind) -> Option<&Stream> {
        self.lines
            .iter()
            .filter(|line| line.kind == Some(kind))
            .find_map(|line| line.stream.as_ref())
    }

    fn negotiated(&self) -> Negotiated {
        let agreement = |kind| Some(self.stream(kind)?.agreement.clone());
        Negotiated { audio: agreement(MediaKind::Audio), video: agreement(MediaKind::Video) }
    }

    /// The numbers of `line` mean what it says.
    fn take_numbers(&mut self, line: &RemoteLine) {
        for payload_type in &line.payload_types {
            let known = line.formats.iter().find(|it| it.payload_type == *payload_type);
            self.taken.insert(*payload_type, known.map(|format| format.codec));
        }
    }

    /// The number of a codec in an offer; `None` if all are taken.
    fn number(&mut self, codec: Codec) -> Option<u8> {
        if let Some(known) = self.own_numbers.get(&codec) {
            return Some(*known);
        }
        let usual = codec.payload_type();
        let number = std::iter::once(usual)
            .chain(if DYNAMIC.contains(&usual) { DYNAMIC } else { usual..=usual })
            .find(|number| self.taken.get(number).is_none_or(|means| *means == Some(codec)))?;
        self.own_numbers.insert(codec, number);
        self.taken.insert(number, Some(codec));
        Some(number)
    }
}

/// An offer that is not answered yet.
#[derive(Debug, Clone)]
struct Pending {
    text: String,
    /// The agreed session with what changes in any case.
    session: Session,
    /// For each line what was offered; `None` where it is closed.
    offered: Vec<Option<Offered>>,
    /// It asks for other audio than there is.
    wants_audio: bool,
}

#[derive(Debug, Clone)]
struct Offered {
    formats: Vec<Format>,
    direction: Direction,
}

/// The offer/answer state of one call. Clone it for each answer, where an offer forks.
#[derive(Debug, Clone)]
pub struct Negotiator {
    local: Local,
    writer: Writer,
    agreed: Session,
    /// Whether the gateway is to hold from the next offer or answer on.
    hold: bool,
    /// The only audio that the next offers have, until one of them is accepted; any that can be carried, if there is none.
    wanted: Vec<Codec>,
    pending: Option<Pending>,
}

impl Negotiator {
    /// The state before the first offer of either side.
    pub fn new(local: Local) -> Self {
        Self {
            writer: Writer::new(local.address, local.origin_id),
            local,
            agreed: Session::default(),
            hold: false,
            wanted: Vec::new(),
            pending: None,
        }
    }

    /// What is agreed on now; nothing before the first answer.
    pub fn negotiated(&self) -> Negotiated {
        self.agreed.negotiated()
    }

    /// Whether an offer of the gateway's waits for its answer.
    pub fn is_offer_pending(&self) -> bool {
        self.pending.is_some()
    }

    /// Sets whether the gateway holds the call, from the next offer or answer on.
    pub fn hold(&mut self, hold: bool) {
        self.hold = hold;
    }

    /// Whether the gateway is to hold the call from the next offer or answer on.
    pub fn holds(&self) -> bool {
        self.hold
    }

    /// Has the next offers ask for audio in one of `codecs` and nothing else, until that is agreed on; without any there is nothing
    /// to ask for.
    pub fn want(&mut self, codecs: Vec<Codec>) {
        self.wanted = codecs;
    }

    /// Whether other audio is asked for than what is agreed on.
    pub fn wants_audio(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Whether the peer's offer has video that would be accepted if there were a port for it.
    pub fn lacks_video_port_for(&self, body: &[u8]) -> bool {
        if self.local.video_port.is_some() {
            return false;
        }
        let mut other = self.clone();
        // Told to nobody.
        other.local.video_port = Some(self.local.audio_port);
        other.handle_offer(body).is_ok_and(|(_, agreed)| agreed.video.is_some())
    }

    /// Sets the port of video for the next offer or answer.
    pub fn set_video_port(&mut self, port: Option<u16>) {
        self.local.video_port = port;
    }

    /// The offer to send: the first one, one that says anew what holds now, or again the one that is
    /// pending. Until it is answered or rejected, the peer's offers are glare.
    pub fn offer(&mut self) -> String {
        if let Some(pending) = &self.pending {
            return pending.text.clone();
        }
        let mut session = self.agreed.clone();
        session.hold = self.hold;
        if session.lines.is_empty() {
            session.lines = self.first_lines();
        }
        let is_first = self.agreed.lines.is_empty();
        let mut offered = Vec::new();
        let mut written = Vec::new();
        for index in 0..session.lines.len() {
            let line = session.lines[index].clone();
            let open = match (line.kind, &line.stream) {
                (Some(kind), None) if is_first => self.open_offer(&mut session, kind, None),
                (Some(kind), Some(stream)) => self.open_offer(&mut session, kind, Some(stream)),
                _ => None,
            };
            written.push(match &open {
                None => closed_line(&line.media, &line.transport, &line.formats_text),
                Some(open) => {
                    let kind = open.formats[0].codec.kind();
                    let port = self.port(kind).expect("only what has a port is offered");
                    let parameters = (Some(self.local.h264_parameters.as_str()), true);
                    let Offered { formats, direction } = open;
                    open_line(&line.transport, port, formats, parameters, *direction, None)
                }
            });
            offered.push(open);
        }
        let text = self.writer.write(written);
        let wants_audio = self.wants_audio();
        self.pending = Some(Pending { text: text.clone(), session, offered, wants_audio });
        text
    }

    /// What audio may come by, once the pending offer is sent: the peer may send what it has chosen before its answer is here (RFC 3264
    /// §5.1). Empty if there is none.
    pub fn offered_audio(&self) -> Vec<Format> {
        let offered = self.pending.iter().flat_map(|pending| pending.offered.iter().flatten());
        let formats = offered.flat_map(|offered| &offered.formats);
        let is_audio = |it: &&Format| it.codec.kind() == MediaKind::Audio && it.codec.is_stream();
        formats.filter(is_audio).copied().collect()
    }

    /// Takes back the pending offer, which the peer refused or never got: all is as it was before,
    /// holding included. True if it asked for other audio ([`Negotiator::want`]), which the next offer does, too.
    pub fn reject_offer(&mut self) -> bool {
        let Some(pending) = self.pending.take() else { return false };
        self.hold = self.agreed.hold;
        pending.wants_audio
    }

    /// Takes the peer's answer to the pending offer.
    ///
    /// # Errors
    /// Any [`AnswerError`]; the offer is then rejected, too.
    pub fn handle_answer(&mut self, body: &[u8]) -> Result<Negotiated, AnswerError> {
        let Some(pending) = &self.pending else { return Err(AnswerError::NoOffer) };
        match self.agree(pending, body) {
            Ok(session) => {
                let audio = session.stream(MediaKind::Audio).map(|it| it.agreement.codec);
                if audio.is_none_or(|codec| self.wanted.contains(&codec)) {
                    // It is what the peer may offer from now on, too.
                    let own = &mut self.local.codecs;
                    let new: Vec<_> =
                        self.wanted.drain(..).filter(|codec| !own.contains(codec)).collect();
                    own.extend(new);
                }
                self.agreed = session;
                self.pending = None;
                Ok(self.agreed.negotiated())
            }
            Err(error) => {
                self.reject_offer();
                Err(error)
            }
        }
    }

    /// Takes an offer of the peer; gives the answer, and what is agreed on once that is sent.
    ///
    /// # Errors
    /// Any [`OfferError`]; nothing is changed then.
    pub fn handle_offer(&mut self, body: &[u8]) -> Result<(String, Negotiated), OfferError> {
        if self.pending.is_some() {
            return Err(OfferError::Glare);
        }
        let remote = description::read(body, self.local.limits)?;
        self.check_places(&remote)?;
        let mut session = self.agreed.clone();
        session.hold = self.hold;
        session.lines.clear();
        let mut answer = Vec::new();
        for line in &remote {
            session.take_numbers(line);
            let kind = line.kind.filter(|kind| session.stream(*kind).is_none());
            let accepted = match kind.and_then(|kind| self.choose(line, kind)) {
                Some(chosen) => Some(self.accept(line, chosen)?),
                None => None,
            };
            let (written, stream) = match accepted {
                None => (closed_line(&line.media, &line.transport, &line.formats_text), None),
                Some((written, stream)) => {
                    let agreement = &stream.agreement;
                    session.own_numbers.insert(agreement.codec, agreement.send_payload_type);
                    if let Some(events) = &agreement.events {
                        session.own_numbers.insert(events.send.codec, events.send.payload_type);
                    }
                    (written, Some(stream))
                }
            };
            answer.push(written);
            session.lines.push(Line {
                media: line.media.clone(),
                transport: line.transport.clone(),
                formats_text: line.formats_text.clone(),
                kind: line.kind,
                stream,
            });
        }
        if session.lines.iter().all(|line| line.stream.is_none()) {
            return Err(OfferError::NoCommonCodec);
        }
        self.agreed = session;
        Ok((self.writer.write(answer), self.agreed.negotiated()))
    }

    fn port(&self, kind: MediaKind) -> Option<u16> {
        match kind {
            MediaKind::Audio => Some(self.local.audio_port),
            MediaKind::Video => self.local.video_port,
        }
    }

    /// The streams that can be offered, as lines that are closed yet.
    fn first_lines(&self) -> Vec<Line> {
        [MediaKind::Audio, MediaKind::Video]
            .into_iter()
            .filter(|kind| self.port(*kind).is_some() && self.codecs(*kind).next().is_some())
            .map(|kind| Line {
                media: kind.as_str().to_owned(),
                transport: "RTP/AVP".to_owned(),
                formats_text: String::new(),
                kind: Some(kind),
                stream: None,
            })
            .collect()
    }

    fn codecs(&self, kind: MediaKind) -> impl Iterator<Item = Codec> {
        let codecs = self.local.codecs.iter().copied();
        codecs.filter(move |codec| codec.kind() == kind && codec.is_stream())
    }

    /// All that can be carried on a line, what is in use first, so that it stays in use.
    fn open_offer(
        &self,
        session: &mut Session,
        kind: MediaKind,
        stream: Option<&Stream>,
    ) -> Option<Offered> {
        let is_wanted = kind == MediaKind::Audio && !self.wanted.is_empty();
        let streams: Vec<Codec> = match stream.map(|stream| stream.agreement.codec) {
            _ if is_wanted => self.wanted.clone(),
            Some(used) => {
                let others = self.codecs(kind).filter(|codec| *codec != used);
                std::iter::once(used).chain(others).collect()
            }
            None => self.codecs(kind).collect(),
        };
        let rates = || streams.iter().map(|codec| codec.clock_rate_hz());
        let takes_digits = kind == MediaKind::Audio && self.local.codecs.contains(&Codec::Dtmf);
        let digits = Codec::EVENTS.into_iter().filter(|events| {
            takes_digits && rates().any(|clock_rate_hz| clock_rate_hz == events.clock_rate_hz())
        });
        let mut formats: Vec<Format> = Vec::new();
        for codec in streams.iter().copied().chain(digits) {
            if let Some(payload_type) = session.number(codec)
                && formats.iter().all(|format| format.codec != codec)
            {
                formats.push(Format { payload_type, codec });
            }
        }
        let peer_holds = stream.is_some_and(|stream| stream.peer_holds);
        let direction = Direction { send: !(self.hold && peer_holds), receive: !self.hold };
        let has_stream = formats.iter().any(|format| format.codec.is_stream());
        has_stream.then_some(Offered { formats, direction })
    }

    /// The session that an answer makes of an offer.
    fn agree(&self, pending: &Pending, body: &[u8]) -> Result<Session, AnswerError> {
        let remote = description::read(body, self.local.limits)?;
        if remote.len() != pending.offered.len() {
            return Err(AnswerError::LineCount {
                answered: remote.len(),
                offered: pending.offered.len(),
            });
        }
        let mut session = pending.session.clone();
        for (index, (answer, offered)) in remote.iter().zip(&pending.offered).enumerate() {
            session.take_numbers(answer);
            let line = &mut session.lines[index];
            let before = line.stream.take();
            if !answer.media.eq_ignore_ascii_case(&line.media) {
                return Err(AnswerError::OtherMedia(index));
            }
            let Some(offered) = offered.as_ref().filter(|_| answer.port != 0) else {
                line.formats_text.clone_from(&answer.formats_text);
                continue;
            };
            if !answer.is_open() {
                return Err(AnswerError::OtherMedia(index));
            }
            let held_before = before.is_some_and(|stream| stream.peer_holds);
            line.stream = Some(self.conclude(index, answer, offered, held_before)?);
        }
        if session.lines.iter().all(|line| line.stream.is_none()) {
            return Err(AnswerError::NoCommonCodec);
        }
        Ok(session)
    }

    fn conclude(
        &self,
        index: usize,
        answer: &RemoteLine,
        offered: &Offered,
        held_before: bool,
    ) -> Result<Stream, AnswerError> {
        let own = |codec| offered.formats.iter().find(|format| format.codec == codec).copied();
        let kept = || answer.formats.iter().filter(|format| own(format.codec).is_some());
        let chosen =
            kept().find(|format| format.codec.is_stream()).ok_or(AnswerError::NotOffered(index))?;
        let mut receive_formats: Vec<Format> = Vec::new();
        for format in kept().filter(|format| format.codec.is_stream()).filter_map(|f| own(f.codec))
        {
            if !receive_formats.contains(&format) {
                receive_formats.push(format);
            }
        }
        let digits = events_beside(chosen.codec, kept());
        let receive = kept().filter(|format| !format.codec.is_stream());
        let mut receive: Vec<Format> = receive.filter_map(|format| own(format.codec)).collect();
        let numbers: Vec<u8> = offered.formats.iter().map(|format| format.payload_type).collect();
        let [streams, events] = self.former(chosen.codec.kind(), &numbers);
        receive_formats.extend(streams);
        receive.extend(events);
        let (remote_rtp, remote_rtcp) = answer.addresses(self.local.address)?;
        Ok(Stream {
            agreement: MediaAgreement {
                codec: chosen.codec,
                send_payload_type: chosen.payload_type,
                receive_formats,
                events: digits.map(|send| EventFormats { send, receive }),
                remote_rtp,
                remote_rtcp,
                direction: offered.direction.and(answer.direction.mirrored()),
                ptime_ms: answer.ptime_ms,
                parameters: chosen.parameters.clone(),
                picture_loss: chosen.picture_loss,
            },
            // Where nothing was to be sent, the answer cannot tell whether the peer would receive.
            peer_holds: if offered.direction.send {
                !answer.direction.receive
            } else {
                held_before
            },
        })
    }

    /// Lines stay where they are, and what is in use stays of its type (RFC 3264 §8).
    fn check_places(&self, remote: &[RemoteLine]) -> Result<(), OfferError> {
        if remote.len() < self.agreed.lines.len() {
            return Err(OfferError::FewerLines {
                offered: remote.len(),
                agreed: self.agreed.lines.len(),
            });
        }
        let mut places = self.agreed.lines.iter().zip(remote).enumerate();
        match places.find(|(_, (line, remote))| line.stream.is_some() && line.kind != remote.kind) {
            Some((index, _)) => Err(OfferError::OtherMedia(index)),
            None => Ok(()),
        }
    }

    /// The format of an offered line that becomes the stream: what is in use if it still can be, else
    /// what is preferred.
    fn choose<'a>(&self, line: &'a RemoteLine, kind: MediaKind) -> Option<&'a RemoteFormat> {
        self.port(kind).filter(|_| line.is_open())?;
        let usable = || {
            line.formats.iter().filter(|format| self.codecs(kind).any(|own| own == format.codec))
        };
        let used = self.agreed.stream(kind).map(|stream| stream.agreement.codec);
        let codec = if usable().any(|format| Some(format.codec) == used) {
            used?
        } else if self.local.prefer_peers_order {
            usable().next()?.codec
        } else {
            self.codecs(kind).find(|own| usable().any(|format| format.codec == *own))?
        };
        // Of several forms of H.264 the one that may be fragmented: frames are larger than packets.
        let of_codec = || usable().filter(|format| format.codec == codec);
        of_codec()
            .find(|format| packetization_mode(format.parameters.as_deref()) == Some(1))
            .or_else(|| of_codec().next())
    }

    /// What has come so far by numbers that are none of `numbers`: until the peer knows what is agreed on now, it still does (RFC 3264
    /// §8.3.2). Streams, and events.
    fn former(&self, kind: MediaKind, numbers: &[u8]) -> [Vec<Format>; 2] {
        let before = self.agreed.stream(kind).map(|stream| &stream.agreement);
        let (streams, events): (&[Format], &[Format]) = match before {
            None => (&[], &[]),
            Some(before) => {
                let events = before.events.as_ref().map(|events| &events.receive[..]);
                (&before.receive_formats, events.unwrap_or_default())
            }
        };
        [streams, events].map(|before| {
            let kept = before.iter().filter(|it| !numbers.contains(&it.payload_type));
            kept.copied().collect()
        })
    }

    /// The line of the answer that accepts `chosen`, and what is agreed on with it.
    fn accept(
        &self,
        line: &RemoteLine,
        chosen: &RemoteFormat,
    ) -> Result<(Media, Stream), OfferError> {
        let (remote_rtp, remote_rtcp) = line.addresses(self.local.address)?;
        let wanted = Direction { send: true, receive: !self.hold };
        let direction = wanted.and(line.direction.mirrored());
        let takes_digits = self.local.codecs.contains(&Codec::Dtmf);
        let digits = events_beside(chosen.codec, line.formats.iter()).filter(|_| takes_digits);
        let format = Format { payload_type: chosen.payload_type, codec: chosen.codec };
        let mut formats = vec![format];
        formats.extend(digits);
        let parameters = chosen.parameters.as_deref().map(without_parameter_sets);
        let written = open_line(
            &line.transport,
            self.port(chosen.codec.kind()).expect("only what has a port is chosen"),
            &formats,
            (parameters.as_deref(), chosen.picture_loss),
            direction,
            line.ptime_ms,
        );
        let [streams, events] = self.former(chosen.codec.kind(), &line.payload_types);
        let mut receive_formats = vec![format];
        receive_formats.extend(streams);
        let events = digits.map(|send| {
            let receive = std::iter::once(send).chain(events).collect();
            EventFormats { send, receive }
        });
        let agreement = MediaAgreement {
            codec: chosen.codec,
            send_payload_type: chosen.payload_type,
            receive_formats,
            events,
            remote_rtp,
            remote_rtcp,
            direction,
            ptime_ms: line.ptime_ms,
            parameters: chosen.parameters.clone(),
            picture_loss: chosen.picture_loss,
        };
        Ok((written, Stream { agreement, peer_holds: !line.direction.receive }))
    }
}

/// The telephone events among `formats` to send beside audio of `codec`: those with its clock (RFC 4733 §2.1), or else any.
fn events_beside<'a>(
    codec: Codec,
    formats: impl Iterator<Item = &'a RemoteFormat>,
) -> Option<Format> {
    let events = formats.filter(|format| Codec::EVENTS.contains(&format.codec));
    let best = events.min_by_key(|it| it.codec.clock_rate_hz() != codec.clock_rate_hz())?;
    Some(Format { payload_type: best.payload_type, codec: best.codec })
}

/// The parameters of an offer as the answer has them: the offerer's own parameter sets tell nothing of what it is to receive (RFC
/// 6184 §8.2.2).
fn without_parameter_sets(parameters: &str) -> String {
    let name = |parameter: &&str| parameter.split('=').next().unwrap_or_default().trim().to_owned();
    let kept = parameters.split(';').filter(|it| {
        !["sprop-parameter-sets", "sprop-level-parameter-sets"]
            .iter()
            .any(|sets| name(it).eq_ignore_ascii_case(sets))
    });
    kept.map(str::trim).collect::<Vec<_>>().join(";")
}
