//! Somebody who sends datagrams that mean nothing to him, and keeps what comes to him.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use rehearsal_core::env::{Env, UdpSocket};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until};

/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_535;

/// What to send, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StrangerPlan {
    /// When to begin, after the start of the run.
    pub start_ms: u64,
    /// From which port; any, if it is 0.
    #[serde(default)]
    pub port: u16,
    /// To which of the gateway's ports.
    pub target: Target,
    /// The datagrams, one after the other.
    pub datagrams: Vec<Vec<u8>>,
    /// From one to the next, in microseconds.
    pub every_us: u64,
    /// When to go, after the start of the run.
    pub leave_ms: u64,
}

/// Ports of the gateway's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// That of SIP.
    Sip,
    /// These, each datagram to all of them.
    Ports(u16, u16),
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StrangerReport {
    /// Every datagram, with when it came and from which port.
    pub received: Vec<(Duration, u16, Vec<u8>)>,
}

/// Carries out `plan`; times count from `origin`. Who can open no socket sends nothing.
pub async fn run<E: Env>(
    env: E,
    gateway: SocketAddr,
    plan: StrangerPlan,
    origin: Instant,
) -> StrangerReport {
    let at = |us| origin + Duration::from_micros(us);
    let mut report = StrangerReport::default();
    sleep_until(at(plan.start_ms * 1_000)).await;
    let Ok(socket) =
        env.bind_udp(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), plan.port)).await
    else {
        return report;
    };
    let ports = match plan.target {
        Target::Sip => gateway.port()..=gateway.port(),
        Target::Ports(first, last) => first..=last,
    };
    let mut waiting = plan.datagrams.iter();
    let mut due = at(plan.start_ms * 1_000);
    let leave = at(plan.leave_ms * 1_000);
    let mut buf = vec![0; DATAGRAM_BYTES];
    loop {
        let next = if waiting.len() > 0 { due.min(leave) } else { leave };
        tokio::select! {
            biased;
            came = socket.recv_from(&mut buf) => if let Ok((bytes, from)) = came {
                report.received.push((origin.elapsed(), from.port(), buf[..bytes].to_vec()));
            },
            () = sleep_until(next) => {
                if Instant::now() >= leave {
                    return report;
                }
                due += Duration::from_micros(plan.every_us);
                let Some(datagram) = waiting.next() else { continue };
                for port in ports.clone() {
                    // One that does not get away is a lost one.
                    let _ = socket.send_to(datagram, SocketAddr::new(gateway.ip(), port)).await;
                }
            }
        }
    }
}
