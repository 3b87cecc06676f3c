//! Family exhaust: the gateway or a client's host runs out of something, and goes on when there is some again.

mod connections;
mod limits;
mod sockets;

pub use connections::{ACCEPT_QUEUE, DESCRIPTORS};
pub use limits::{CONNECTIONS, MEMORY, STREAMS};
pub use sockets::PORTS;

use std::time::Duration;

use rehearsal_sim::clients::rtmp_player::PlayReport;

/// When the first message came.
fn first_at(report: &PlayReport) -> Option<Duration> {
    report.received.first().map(|first| first.at)
}
