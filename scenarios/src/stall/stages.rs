//! The stages of both protocols at which a client may stop, and the deadline that runs there.

use rehearsal_core::config::Config;
use rehearsal_sim::clients::raw::RawPlan;

use crate::{
    plan::Listener,
    wire::{handshake, opening, opening_until, request},
};

/// Where a client stops.
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) listener: Listener,
    /// What it sends to get there; the name that it publishes ends with what is given.
    pub(crate) opening: fn(&str) -> Vec<u8>,
    /// What would come next, of which it sends a byte at a time.
    pub(crate) next: &'static [u8],
    /// The deadline that runs from there, or from its start.
    pub(crate) deadline_ms: fn(&Config) -> u64,
    /// Every byte is a sign of life, so that it is given up only after the last.
    pub(crate) is_kept_by_bytes: bool,
    /// How what it receives until it is closed begins.
    pub(crate) answer: &'static [u8],
}

impl Stage {
    /// When a client is to be closed that stopped here.
    pub(crate) fn due_ms(&self, raw: &RawPlan, config: &Config) -> u64 {
        let given_up_ms = config.rtmp.ping_ms + config.rtmp.ping_timeout_ms;
        match self.is_kept_by_bytes {
            // Each byte is a sign of life, until the last.
            true => {
                let last_ms = raw.start_ms + (raw.pieces.len() as u64 - 1) * raw.pause_ms;
                last_ms + given_up_ms
            }
            false => raw.start_ms + (self.deadline_ms)(config),
        }
    }
}

/// The first bytes of a video message on message stream 1.
const MESSAGE: &[u8] = &[0x06, 0, 0, 40, 0, 0, 100, 9, 1, 0, 0, 0, 0x17];

/// What most stages of RTMP have in common.
pub(crate) const RTMP: Stage = Stage {
    name: "",
    listener: Listener::Rtmp,
    opening: |_| Vec::new(),
    next: MESSAGE,
    deadline_ms: |config| config.rtmp.command_ms,
    is_kept_by_bytes: false,
    answer: b"\x03",
};

/// What most stages of HTTP have in common.
pub(crate) const HTTP: Stage = Stage {
    listener: Listener::Http,
    next: b"GET /live/",
    deadline_ms: |config| config.http.head_ms,
    answer: b"",
    ..RTMP
};

/// Each deadline that a silent client comes to.
pub(crate) const STAGES: [Stage; 13] = [
    Stage {
        name: "before-c0",
        next: &[3, 0, 0, 0],
        deadline_ms: |config| config.rtmp.handshake_ms,
        answer: b"",
        ..RTMP
    },
    Stage {
        name: "in-c1",
        opening: |_| handshake()[..1_000].to_vec(),
        next: &[0; 8],
        deadline_ms: |config| config.rtmp.handshake_ms,
        answer: b"",
        ..RTMP
    },
    Stage {
        name: "in-c2",
        opening: |_| handshake()[..2_000].to_vec(),
        next: &[0; 8],
        deadline_ms: |config| config.rtmp.handshake_ms,
        ..RTMP
    },
    Stage { name: "shaken", opening: |_| handshake(), ..RTMP },
    Stage { name: "connected", opening: |_| opening_until("", "", 1), ..RTMP },
    Stage { name: "created", opening: |_| opening_until("", "", 2), ..RTMP },
    Stage {
        name: "publishing",
        opening: |end| opening("publish", &format!("stalled{end}")),
        deadline_ms: |config| config.rtmp.publisher_silence_ms,
        ..RTMP
    },
    Stage {
        name: "unpublished",
        opening: |end| opening_until("publish", &format!("over{end}"), 4),
        deadline_ms: |config| config.rtmp.idle_ms,
        ..RTMP
    },
    Stage {
        name: "playing",
        opening: |_| opening("play", "nothing"),
        deadline_ms: |config| config.rtmp.ping_ms,
        is_kept_by_bytes: true,
        ..RTMP
    },
    Stage { name: "before-head", ..HTTP },
    Stage { name: "in-line", opening: |_| b"GET /live/c".to_vec(), next: b"am.flv", ..HTTP },
    Stage {
        name: "in-head",
        opening: |_| b"GET /live/cam.flv HTTP/1.1\r\nHo".to_vec(),
        next: b"st: x",
        ..HTTP
    },
    Stage {
        name: "waiting",
        opening: |_| request("GET", "/live/nothing.flv", "Connection: close\r\n"),
        deadline_ms: |config| config.http.wait_publisher_ms,
        answer: b"HTTP/1.1 404 ",
        ..HTTP
    },
];
