//! What a phone does with pictures, as data, and what it tells of them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    super::stamp::Stamp,
    report::{Heard, ReceptionReport, SenderReport, Spoken, Told, Torn},
};

/// Pictures of a phone, in H.264.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Video {
    /// What it shows, on the stream of its voice; without, it only watches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<Shows>,
    /// Lost pictures are told of by RTCP (RFC 4585), and not by INFO (RFC 5168).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tells_by_rtcp: bool,
    /// It takes and offers NAL units whole and one by one alone (packetization mode 0).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub whole_units: bool,
    /// When it asks for a keyframe, after the answer, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asks_ms: Vec<u64>,
}

/// Pictures that a phone shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shows {
    /// Duration of a picture in milliseconds.
    pub frame_ms: u64,
    /// Pictures from keyframe to keyframe, if nobody asks for one.
    pub gop_frames: u32,
    /// Slices of a picture.
    pub slices: u8,
    /// Bytes of a slice of a keyframe; in other pictures it has a fifth.
    pub slice_bytes: usize,
    /// Longest payload of a packet, in bytes; a longer slice is sent in parts.
    pub payload_bytes: usize,
    /// What fits is sent together (STAP-A).
    pub aggregates: bool,
    /// A delimiter and enhancement information stand in front of the slices.
    pub is_adorned: bool,
    /// How what the pictures are coded with is told.
    pub sets: Sets,
    /// It is asked for a keyframe, and the next picture is one; another phone does not care.
    pub obeys: bool,
}

/// How a phone tells what its pictures are coded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sets {
    /// In front of each keyframe.
    InBand,
    /// In its description.
    Described,
    /// In its description, and others in front of every other keyframe, from the second on.
    Changing,
}

/// What a phone tells of pictures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pictures {
    /// When what was agreed on began to hold, and whether it shows, and watches.
    pub agreed: Vec<(Duration, bool, bool)>,
    /// Every picture that it has shown.
    pub shown: Vec<Shown>,
    /// Every RTP packet of those; its index is that of the picture.
    pub sent: Vec<Spoken>,
    /// Every RTP packet that came.
    pub came: Vec<Heard>,
    /// Every picture that came of them, whole or not.
    pub seen: Vec<Seen>,
    /// When it was asked for a keyframe.
    pub asked: Vec<Asked>,
    /// When it has asked for one, and whether by RTCP.
    pub asks: Vec<(Duration, bool)>,
    /// What the gateway told of the phone's pictures by RTCP.
    pub reports: Vec<ReceptionReport>,
    /// What the phone told of its own pictures by RTCP.
    pub told: Vec<Told>,
    /// What the gateway told of its own pictures by RTCP.
    pub sender_reports: Vec<SenderReport>,
    /// Datagrams that are neither RTP nor RTCP.
    pub unreadable: u64,
}

/// A picture that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// When.
    pub at: Duration,
    /// Whether it needs no other.
    pub is_key: bool,
    /// How many of its packets, from the first on, may each be taken for the first.
    pub begun: usize,
    /// Its number, as its stamp has it.
    pub index: u32,
    /// Its packets, as indices of all that were sent: first, and behind the last.
    pub packets: (usize, usize),
}

/// A picture that came, put together from its packets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// When its last packet came.
    pub at: Duration,
    /// Its source.
    pub ssrc: u32,
    /// Its time, in 90,000ths of a second.
    pub timestamp: u32,
    /// Whether it needs no other.
    pub is_key: bool,
    /// What the sequence parameter set in front of it says, if there is one, and whether a picture parameter set is there, too.
    pub sets: Option<Stamp>,
    /// What it says of itself, if that is what was sealed; an error if it is not whole.
    pub stamp: Result<Option<Stamp>, Torn>,
    /// What was wrong with its packets, if anything: a number that is missing, or an end.
    pub broken: Option<Broken>,
}

/// How the packets of a picture are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// A sequence number is missing, in it or just before it.
    Missing,
    /// It has no packet with a marker.
    NoMarker,
    /// A part of a NAL unit stands where it cannot.
    Parts,
    /// An aggregate is cut short.
    Aggregate,
    /// A packet has a part of a NAL unit, or several, which is not what was agreed on.
    Mode,
}

/// A request for a keyframe that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// When.
    pub at: Duration,
    /// By RTCP, not by INFO.
    pub by_rtcp: bool,
}
