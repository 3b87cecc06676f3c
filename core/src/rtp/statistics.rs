//! What a media line tells of itself: everything counted, for logs, the API and who judges a call.

use std::time::Duration;

use super::{
    dtmf::{DtmfCounters, DtmfStatus},
    jitter_buffer::JitterCounters,
    receiver::ReceiverCounters,
    rtcp::{RemoteView, RtcpCounters},
};

/// Everything that was counted or measured on a line since it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// RTP packets sent, modulo 2^32.
    pub sent_packets: u64,
    /// Bytes of payload sent, modulo 2^32.
    pub sent_octets: u64,
    /// Media that was not sent because a digit was.
    pub suppressed: u64,
    /// Datagrams on the RTP port that are no packets of the line.
    pub invalid: u64,
    /// Packets on the RTP port from addresses that are not listened to.
    pub strangers: u64,
    /// Packets on the RTCP port from addresses that are not listened to.
    pub rtcp_strangers: u64,
    /// How often the peer moved to another address for RTP.
    pub moves: u64,
    /// Packets by the streams they are of.
    pub receiver: ReceiverCounters,
    /// Packets expected less those received, duplicates among them.
    pub lost: i64,
    /// Interarrival jitter of the present stream, units of its clock.
    pub jitter: u32,
    /// Packets by what the jitter buffer did with them.
    pub jitter_buffer: JitterCounters,
    /// Packets held now.
    pub held_packets: usize,
    /// How long a packet that comes on the shortest way is held now.
    pub playout_delay: Duration,
    /// The peer's digits.
    pub dtmf_received: DtmfCounters,
    /// Our digits.
    pub dtmf_sent: DtmfStatus,
    /// RTCP datagrams.
    pub rtcp: RtcpCounters,
    /// What the peer says of our stream.
    pub remote_view: Option<RemoteView>,
    /// Time there and back.
    pub round_trip: Option<Duration>,
    /// Whether the peer said that its stream ends.
    pub is_bye_heard: bool,
}
