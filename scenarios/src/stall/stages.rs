//! The stages of both protocols at which a client may stop, and the deadline that runs there.

use rehearsal_core::config::Config;

use crate::{
    plan::Listener,
    wire::{handshake, opening, opening_until, request},
};

/// Where a client stops.
pub(super) struct Stage {
    /// Its host.
    pub(super) name: &'static str,
    pub(super) listener: Listener,
    /// What it sends to get there.
    pub(super) opening: fn() -> Vec<u8>,
    /// What would come next, of which it sends a byte at a time.
    pub(super) next: &'static [u8],
    /// The deadline that runs from there, or from its start.
    pub(super) deadline_ms: fn(&Config) -> u64,
    /// Every byte is a sign of life, so that it is given up only after the last.
    pub(super) is_kept_by_bytes: bool,
    /// How what it receives begins.
    pub(super) answer: &'static [u8],
}

/// The first bytes of a video message on message stream 1.
const MESSAGE: &[u8] = &[0x06, 0, 0, 40, 0, 0, 100, 9, 1, 0, 0, 0, 0x17];

const RTMP: Stage = Stage {
    name: "",
    listener: Listener::Rtmp,
    opening: Vec::new,
    next: MESSAGE,
    deadline_ms: |config| config.rtmp.command_ms,
    is_kept_by_bytes: false,
    answer: b"\x03",
};

const HTTP: Stage = Stage {
    listener: Listener::Http,
    next: b"GET /live/",
    deadline_ms: |config| config.http.head_ms,
    answer: b"",
    ..RTMP
};

pub(super) const STAGES: [Stage; 13] = [
    Stage {
        name: "before-c0",
        next: &[3, 0, 0, 0],
        deadline_ms: |config| config.rtmp.handshake_ms,
        answer: b"",
        ..RTMP
    },
    Stage {
        name: "in-c1",
        opening: || handshake()[..1_000].to_vec(),
        next: &[0; 8],
        deadline_ms: |config| config.rtmp.handshake_ms,
        answer: b"",
        ..RTMP
    },
    Stage {
        name: "in-c2",
        opening: || handshake()[..2_000].to_vec(),
        next: &[0; 8],
        deadline_ms: |config| config.rtmp.handshake_ms,
        ..RTMP
    },
    Stage { name: "shaken", opening: handshake, ..RTMP },
    Stage { name: "connected", opening: || opening_until("", "", 1), ..RTMP },
    Stage { name: "created", opening: || opening_until("", "", 2), ..RTMP },
    Stage {
        name: "publishing",
        opening: || opening("publish", "stalled"),
        deadline_ms: |config| config.rtmp.publisher_silence_ms,
        ..RTMP
    },
    Stage {
        name: "unpublished",
        opening: || opening_until("publish", "over", 4),
        deadline_ms: |config| config.rtmp.idle_ms,
        ..RTMP
    },
    Stage {
        name: "playing",
        opening: || opening("play", "nothing"),
        deadline_ms: |config| config.rtmp.ping_ms,
        is_kept_by_bytes: true,
        ..RTMP
    },
    Stage { name: "before-head", ..HTTP },
    Stage { name: "in-line", opening: || b"GET /live/c".to_vec(), next: b"am.flv", ..HTTP },
    Stage {
        name: "in-head",
        opening: || b"GET /live/cam.flv HTTP/1.1\r\nHo".to_vec(),
        next: b"st: x",
        ..HTTP
    },
    Stage {
        name: "waiting",
        opening: || request("GET", "/live/nothing.flv", "Connection: close\r\n"),
        deadline_ms: |config| config.http.wait_publisher_ms,
        answer: b"HTTP/1.1 404 ",
        ..HTTP
    },
];
