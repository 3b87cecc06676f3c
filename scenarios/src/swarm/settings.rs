//! The configuration: each deadline and each limit is the default, or small, by itself.

use std::ops::RangeInclusive;

use rehearsal_core::config::Config;

use super::{Lots, clients::KEYFRAME_BYTES_MAX, features::Features};

/// From one picture to the next.
const PICTURE_MS: u64 = 40;

/// A configuration that the gateway takes.
pub(super) fn draw(lots: &Lots, features: &Features) -> Config {
    let mut config = Config::default();
    if features.tight {
        deadlines(lots, &mut config);
    }
    if features.small {
        limits(lots, &mut config);
    }
    config
}

/// A value for the deadline called `key`: the default, or small; of these some are whole pictures, or a millisecond more or less.
fn deadline(lots: &Lots, key: &str, default_ms: u64, small_ms: RangeInclusive<u64>) -> u64 {
    let mut rng = lots.of(&format!("config/{key}"));
    let value_ms = rng.range(small_ms.clone());
    let whole_ms = value_ms / PICTURE_MS * PICTURE_MS + rng.below(3) - 1;
    match rng.below(5) {
        0 | 1 => default_ms,
        2 => whole_ms.clamp(*small_ms.start(), *small_ms.end()),
        _ => value_ms,
    }
}

/// None so small that a client on a line of 128 ms who does what it should comes to it.
fn deadlines(lots: &Lots, config: &mut Config) {
    let draw = |key: &str, value_ms: &mut u64, small_ms| {
        *value_ms = deadline(lots, key, *value_ms, small_ms);
    };
    let Config { rtmp, http, live, limits, .. } = config;
    draw("handshake_ms", &mut rtmp.handshake_ms, 1_000..=3_000);
    draw("command_ms", &mut rtmp.command_ms, 1_500..=4_000);
    draw("idle_ms", &mut rtmp.idle_ms, 1_000..=4_000);
    draw("publisher_silence_ms", &mut rtmp.publisher_silence_ms, 900..=4_000);
    draw("ping_ms", &mut rtmp.ping_ms, 800..=4_000);
    draw("ping_timeout_ms", &mut rtmp.ping_timeout_ms, 700..=3_000);
    draw("head_ms", &mut http.head_ms, 1_000..=3_000);
    draw("wait_publisher_ms", &mut http.wait_publisher_ms, 300..=4_000);
    draw("http_idle_ms", &mut http.idle_ms, 2_000..=6_000);
    draw("keep_ms", &mut live.keep_ms, 300..=4_000);
    draw("lag_resync_ms", &mut live.lag_resync_ms, 800..=3_000);
    draw("lag_close_ms", &mut live.lag_close_ms, 1_500..=6_000);
    draw("player_stall_ms", &mut live.player_stall_ms, 1_000..=5_000);
    draw("flv_probe_ms", &mut live.flv_probe_ms, 100..=2_500);
    draw("farewell_ms", &mut limits.farewell_ms, 300..=1_500);
    draw("shutdown_ms", &mut limits.shutdown_ms, 2_100..=4_500);
    live.lag_close_ms = live.lag_close_ms.max(live.lag_resync_ms + 500);
    // A viewer is not given up before the publisher that says nothing.
    let waits_ms = http.wait_publisher_ms.max(rtmp.publisher_silence_ms);
    http.idle_ms = http.idle_ms.max(waits_ms + 1_000);
}

/// None so small that what clients send does not fit, but for connections and streams.
fn limits(lots: &Lots, config: &mut Config) {
    let draw = |key: &str, default: u64, small: RangeInclusive<u64>| {
        let mut rng = lots.of(&format!("config/{key}"));
        let value = rng.range(small);
        if rng.below(2) == 0 { default } else { value }
    };
    let Config { rtmp, http, live, limits, .. } = config;
    rtmp.chunk_bytes = draw("chunk_bytes", rtmp.chunk_bytes.into(), 128..=4_096) as u32;
    rtmp.window_ack_bytes =
        draw("window_ack_bytes", rtmp.window_ack_bytes.into(), 1_024..=60_000) as u32;
    let message = draw("max_message_bytes", rtmp.max_message_bytes.into(), 1_000..=20_000);
    rtmp.max_message_bytes = KEYFRAME_BYTES_MAX as u32 + message as u32;
    rtmp.max_chunk_bytes =
        draw("max_chunk_bytes", rtmp.max_chunk_bytes.into(), 4_096..=8_192) as u32;
    let chunk_streams = draw("max_chunk_streams", rtmp.max_chunk_streams as u64, 8..=12);
    rtmp.max_chunk_streams = chunk_streams as usize;
    let message_streams = draw("max_message_streams", rtmp.max_message_streams as u64, 1..=2);
    rtmp.max_message_streams = message_streams as usize;
    http.max_head_bytes =
        draw("max_head_bytes", http.max_head_bytes as u64, 8_192..=9_000) as usize;
    live.max_name_bytes = draw("max_name_bytes", live.max_name_bytes as u64, 20..=40) as usize;
    live.max_headers_bytes =
        draw("max_headers_bytes", live.max_headers_bytes as u64, 4_096..=8_192) as usize;
    live.gop_ms = draw("gop_ms", live.gop_ms, 200..=3_000);
    live.ring_bytes = draw("ring_bytes", live.ring_bytes as u64, 1 << 16..=1 << 19) as usize;
    live.lag_resync_bytes = draw("lag_resync_bytes", live.lag_resync_bytes, 8_000..=400_000);
    live.in_flight_bytes =
        draw("in_flight_bytes", live.in_flight_bytes as u64, 4_096..=64 << 10) as usize;
    live.notify_unpublish = lots.of("config/notify_unpublish").below(4) > 0;
    // Rarely, as nobody is judged who may have been refused.
    let mut rng = lots.of("config/max_connections");
    if rng.below(4) == 0 {
        limits.max_connections = rng.range(3..=9) as usize;
    }
    let mut rng = lots.of("config/max_streams");
    if rng.below(6) == 0 {
        live.max_streams = rng.range(1..=4) as usize;
    }
}
