//! What goes into a negotiation and what comes out of it.

use std::net::{IpAddr, SocketAddr};

use thiserror::Error;

use super::{
    AddressError, Codec, DescriptionError, DescriptionLimits, Direction,
    description::packetization_mode,
};

/// The gateway's side of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The address that the peer is to send to.
    pub address: IpAddr,
    /// The port of audio RTP; RTCP has the next one.
    pub audio_port: u16,
    /// The port of video RTP; without one, video is neither offered nor accepted.
    pub video_port: Option<u16>,
    /// What may be agreed on, the preferred one first. Digits are, if [`Codec::Dtmf`] is among them.
    pub codecs: Vec<Codec>,
    /// Whether the peer's order of preference counts before the gateway's own in answers.
    pub prefer_peers_order: bool,
    /// The parameters that H.264 is offered with.
    pub h264_parameters: String,
    /// The id of the session: entropy, so that no two sessions of a host have the same.
    pub origin_id: u64,
    /// How much the peer may describe.
    pub limits: DescriptionLimits,
}

/// A codec with the number that stands for it in RTP packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// The payload type.
    pub payload_type: u8,
    /// What it stands for.
    pub codec: Codec,
}

/// Digits as telephone events beside a stream of audio (RFC 4733).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFormats {
    /// What they are sent as, by the peer's number; with the clock of the audio, if the peer takes that.
    pub send: Format,
    /// What they may be received as. Never empty.
    pub receive: Vec<Format>,
}

/// A stream that both sides agree on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaAgreement {
    /// What is sent.
    pub codec: Codec,
    /// The payload type to send it with.
    pub send_payload_type: u8,
    /// What may be received: [`MediaAgreement::codec`] first, then others that the peer kept in its
    /// answer. Never empty, without digits.
    pub receive_formats: Vec<Format>,
    /// Digits beside it, if the peer takes them.
    pub events: Option<EventFormats>,
    /// Where RTP is to be sent. The null address while a peer holds in the old style; nothing is to be
    /// sent then.
    pub remote_rtp: SocketAddr,
    /// Where RTCP is to be sent (RFC 3605).
    pub remote_rtcp: SocketAddr,
    /// As the gateway sees it.
    pub direction: Direction,
    /// Milliseconds of audio that the peer would like in a packet.
    pub ptime_ms: Option<u32>,
    /// The peer's parameters of the codec, as given.
    pub parameters: Option<String>,
    /// Whether a lost picture is told of by RTCP, either way (RFC 4585 §6.3.1).
    pub picture_loss: bool,
}

impl MediaAgreement {
    /// Whether the peer takes NAL units of H.264 in parts (RFC 6184 §5.4, packetization mode 1), and not whole ones alone.
    pub fn takes_parts(&self) -> bool {
        packetization_mode(self.parameters.as_deref()) == Some(1)
    }
}

/// What both sides agree on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Negotiated {
    /// The audio stream.
    pub audio: Option<MediaAgreement>,
    /// The video stream.
    pub video: Option<MediaAgreement>,
}

impl Negotiated {
    /// Whether the peer wants to receive none of the streams, which is how a call is put on hold.
    pub fn is_held_by_peer(&self) -> bool {
        self.audio.iter().chain(&self.video).all(|media| !media.direction.send)
    }
}

/// Why an offer is refused. The peer gets 488, for [`OfferError::Glare`] 491.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OfferError {
    /// The gateway has an offer out itself, which is not answered yet.
    #[error("an offer of the gateway's own is pending")]
    Glare,
    /// The body makes no sense or exceeds a limit.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// No line has a codec in common.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The media of an acceptable line would have to go where they cannot.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// There are fewer lines than before (RFC 3264 §8).
    #[error("offer has {offered} media lines where there were {agreed}")]
    FewerLines {
        /// Lines of this offer.
        offered: usize,
        /// Lines of the session.
        agreed: usize,
    },
    /// A line in use has another media type than before.
    #[error("media line {0} has another media type than before")]
    OtherMedia(usize),
}

/// Why an answer cannot be used. The offer is over, as if it had been refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// There is no offer to answer.
    #[error("there is no offer that this answers")]
    NoOffer,
    /// The body makes no sense or exceeds a limit.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// The peer accepts no line.
    #[error("the peer accepts none of the media")]
    NoCommonCodec,
    /// The media would have to go where they cannot.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The answer has not one line for each of the offer (RFC 3264 §6).
    #[error("answer has {answered} media lines, the offer {offered}")]
    LineCount {
        /// Lines of the answer.
        answered: usize,
        /// Lines of the offer.
        offered: usize,
    },
    /// A line has another media type or transport than in the offer.
    #[error("media line {0} of the answer is not that of the offer")]
    OtherMedia(usize),
    /// A line is accepted without a codec that was offered.
    #[error("media line {0} of the answer has no codec that was offered")]
    NotOffered(usize),
}
