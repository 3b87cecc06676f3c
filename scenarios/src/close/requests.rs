//! Requests that come before the answers to those before them.

use std::time::Duration;

use rehearsal_sim::{LinkConfig, Rng, clients::raw::RawPlan};

use super::healthy;
use crate::{
    catalogue::Scenario,
    live::unless,
    plan::Listener,
    wire::{cut, request},
};

/// Status lines expected, in order.
const STATUSES: [&str; 6] = ["404", "204", "405", "404", "404", "404"];

/// Requests of one connection in one go, which end in a wait, or in a stream with more requests behind.
pub const PIPELINED: Scenario = Scenario {
    name: "close/pipelined",
    about: "pipelined requests are answered in order, one after the other, in any segmentation",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/requests");
        let mut plan = healthy(seed);
        plan.config.http.wait_publisher_ms = 1_500;
        let short = [
            request("GET", "/nothing", ""),
            request("OPTIONS", "/live/cam.flv", ""),
            request("POST", "/live/cam.flv", ""),
            request("HEAD", "/live/nothing.flv", ""),
            request("GET", "/live/nothing.flv", ""),
            request("GET", "/live/nothing.flv", "Connection: close\r\n"),
        ]
        .concat();
        let stream =
            [request("OPTIONS", "/live/cam.flv", ""), request("GET", "/live/cam.flv", "")].concat();
        let more = request("GET", "/live/cam.flv", "").repeat(20);
        let lengths: Vec<usize> = (0..10).map(|_| 1 + rng.below(80) as usize).collect();
        for (host, bytes) in [("waits", short), ("views", [stream, more].concat())] {
            let raw = RawPlan {
                // While the stream is there.
                start_ms: 1_000 + rng.below(2_000),
                pieces: cut(&bytes, &lengths),
                pause_ms: rng.below(3),
                half_close: false,
                read_from_ms: 0,
                leave_ms: 40_000,
            };
            plan.raw_client(host, LinkConfig::lan(), Listener::Http, raw);
            plan.terms.faulty.push(host.to_owned());
        }
        plan
    },
    check: |evidence| {
        let reports: Vec<_> = evidence.raw_clients.iter().flatten().collect();
        let [waits, views] = reports[..] else {
            return unless(false, || "not all could connect".to_owned()).into_iter().collect();
        };
        let text = String::from_utf8_lossy(&waits.received);
        let statuses: Vec<&str> =
            text.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.get(..3)).collect();
        let answers = unless(statuses == STATUSES, || format!("the answers were {statuses:?}"));
        // Two waits, one after the other.
        let sent = &evidence.plan.raw_clients[0].plan;
        let sent_ms = sent.start_ms + sent.pieces.len() as u64 * sent.pause_ms;
        let due =
            Duration::from_millis(sent.start_ms + 3_000)..Duration::from_millis(sent_ms + 3_020);
        let at = waits.closed_at;
        let closed = unless(at.is_some_and(|at| due.contains(&at)), || {
            format!("the last answer was over at {at:?}, due {due:?}")
        });
        let flv = views.received.windows(4).filter(|bytes| bytes == b"FLV\x01").count();
        let begins = views.received.starts_with(b"HTTP/1.1 204");
        let stream = unless(flv == 1 && begins, || format!("{flv} streams came"));
        [answers, closed, stream].into_iter().flatten().collect()
    },
};
