//! How the RTP session of a call is set up: by the configuration, and by what was agreed on.

use super::media::PACKET_BYTES_MAX;
use crate::{
    config::Config,
    rtp::{
        dtmf::{DtmfReceiverConfig, DtmfSenderConfig},
        jitter_buffer::JitterConfig,
        packet::{EventTypes, PayloadTypes},
        playout_delay::DelayConfig,
        receiver::ReceiverConfig,
        rtcp::{Cname, RtcpConfig},
        session::SessionConfig,
        source::SourceConfig,
    },
    sdp::{Format, MediaAgreement, MediaKind},
};

/// Mean time between two reports (RFC 3550, section 6.2).
const RTCP_INTERVAL_MS: u64 = 5_000;
/// Time over which the least transit of packets is remembered.
const JITTER_WINDOW_MS: u64 = 8_000;
/// Packets in a row after which another port of the same phone is followed.
const MOVE_AFTER_PACKETS: u32 = 5;
/// Silence of a phone's port after which another is followed at once.
const MOVE_SILENCE_MS: u64 = 2_000;
/// As before, for reports, which are seconds apart.
const RTCP_MOVE_SILENCE_MS: u64 = 30_000;
/// For how long the packets of a stream that another has replaced are left out.
const FORMER_SSRC_MS: u64 = 1_000;
/// Packets of a stream of which it is not yet known whether it replaces the present one.
const PROBATION_PACKETS: usize = 8;

/// The payload types of what was agreed on.
pub(super) fn payload_types(agreed: &MediaAgreement) -> PayloadTypes {
    let numbered = |format: &Format| (format.payload_type, format.codec.clock_rate_hz());
    let events = agreed.events.as_ref().map(|events| EventTypes {
        sent: numbered(&events.send),
        received: events.receive.iter().map(numbered).collect(),
    });
    let sent = (agreed.send_payload_type, agreed.codec.clock_rate_hz());
    let received = agreed.receive_formats.iter().map(numbered);
    PayloadTypes::new(sent, received, events)
        .expect("what was agreed on are payload types with clocks")
}

/// Limits and rules of a session for media of `kind` that sends as `ssrc`.
pub(super) fn session_config(config: &Config, kind: MediaKind, ssrc: u32) -> SessionConfig {
    let rtp = &config.rtp;
    let source = |silence_ms| SourceConfig {
        follow: rtp.follow,
        move_after_packets: MOVE_AFTER_PACKETS,
        silence_ms,
    };
    SessionConfig {
        max_payload_bytes: PACKET_BYTES_MAX,
        rtp_source: source(MOVE_SILENCE_MS),
        rtcp_source: source(RTCP_MOVE_SILENCE_MS),
        receiver: ReceiverConfig {
            probation_packets: PROBATION_PACKETS,
            probation_ms: rtp.max_delay_ms,
            former_ssrc_ms: FORMER_SSRC_MS,
        },
        jitter: JitterConfig {
            delay: DelayConfig {
                min_delay_ms: rtp.min_delay_ms,
                max_delay_ms: rtp.max_delay_ms,
                window_ms: JITTER_WINDOW_MS,
                marker_begins_talkspurt: kind == MediaKind::Audio,
            },
            max_packets: match kind {
                MediaKind::Audio => rtp.max_packets,
                MediaKind::Video => rtp.max_video_packets,
            },
        },
        rtcp: RtcpConfig {
            interval_ms: RTCP_INTERVAL_MS,
            // Random, as RFC 7022 wants it, and the same for all that this call sends.
            cname: Cname::new(format!("{ssrc:08x}@rehearsal")).expect("18 bytes"),
        },
        dtmf_receiver: DtmfReceiverConfig { max_event_ms: 10_000, max_pending: 64 },
        dtmf_sender: DtmfSenderConfig {
            max_queued: 32,
            duration_ms: 160,
            update_ms: 50,
            end_ms: 20,
            gap_ms: 100,
            volume: 10,
        },
    }
}
