//! The measurement: callers come one after the other, all of them talk, a window of that is measured, and they go.

use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rehearsal_core::env::{Env, Os, UdpSocket};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    caller::{Caller, Told},
    figures::{Figures, Packets},
    meter::{Usage, frequency_mhz},
    speakers::{PACKET, Speakers, Totals},
};

/// From one call to the next.
const CALLS_APART: Duration = Duration::from_millis(5);
/// From the last answer to the window: buffers have found their size.
const SETTLES: Duration = Duration::from_secs(1);

/// Has `calls` callers call the process `pid` at `gateway`, and measures it for `window`.
///
/// # Errors
/// The process has ended, the system does not tell of it, or there is no socket.
pub(super) async fn measure(
    pid: u32,
    gateway: SocketAddr,
    calls: u32,
    window: Duration,
) -> io::Result<Figures> {
    let idle = Usage::of(pid)?;
    let (totals, stop) = (Arc::<Totals>::default(), CancellationToken::new());
    let (told, mut tells) = mpsc::unbounded_channel();
    // All reports come here, and nobody reads them.
    let rtcp = Os.bind_udp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
    let mut salt = [0; 8];
    Os.fill_random(&mut salt);
    let salt = u64::from_be_bytes(salt);
    let speakers = Speakers::start(Arc::clone(&totals));
    let start = Instant::now();
    let mut callers = Vec::new();
    for number in 0..calls {
        sleep_until(start + CALLS_APART * number).await;
        let caller = Caller {
            gateway,
            user: format!("load-{number}"),
            id: format!("{salt:016x}{number}"),
            grid: (start + PACKET * number / calls).into_std(),
            rtcp: rtcp.local_addr(),
            speakers: speakers.joining(),
            stop: stop.clone(),
            told: told.clone(),
        };
        callers.push(Os.spawn(caller.run()));
    }
    let mut so_far = SoFar::default();
    while so_far.up + so_far.failed < calls {
        so_far.take(tells.recv().await);
    }
    sleep(SETTLES).await;
    let (sent, late, received) = (now(&totals.sent), now(&totals.late), now(&totals.received));
    let (begin, mhz, began) = (Usage::of(pid)?, frequency_mhz(), Instant::now());
    while let Ok(told) = timeout_at(began + window, tells.recv()).await {
        so_far.take(told);
    }
    let (end, elapsed) = (Usage::of(pid)?, began.elapsed());
    let in_window = Packets {
        due: u64::from(so_far.up) * elapsed.as_nanos() as u64 / PACKET.as_nanos() as u64,
        sent: now(&totals.sent) - sent,
        late: now(&totals.late) - late,
        received: now(&totals.received) - received,
    };
    // Those that are over by now should not be.
    let ended_early = so_far.over;
    stop.cancel();
    while so_far.over < so_far.up {
        so_far.take(tells.recv().await);
    }
    drop(callers);
    speakers.finish();
    Ok(Figures {
        calls,
        up: so_far.up,
        ended_early,
        window: elapsed,
        in_window,
        sent: now(&totals.sent),
        received: now(&totals.received),
        lost: now(&totals.lost),
        told: Default::default(),
        cpu: end.cpu.saturating_sub(begin.cpu),
        mhz,
        idle_bytes: idle.resident_bytes,
        loaded_bytes: end.resident_bytes,
        problems: so_far.problems,
    })
}

fn now(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What callers have told.
#[derive(Default)]
struct SoFar {
    /// Calls that came up.
    up: u32,
    /// Those that never did.
    failed: u32,
    /// Those that came up and are over.
    over: u32,
    /// What was wrong, and with how many.
    problems: BTreeMap<String, u32>,
}

impl SoFar {
    fn take(&mut self, told: Option<Told>) {
        let problem = match told.expect("one sender is kept here") {
            Told::Up => {
                self.up += 1;
                None
            }
            Told::Failed(problem) => {
                self.failed += 1;
                Some(problem)
            }
            Told::Over(over) => {
                self.over += 1;
                over.err()
            }
        };
        if let Some(problem) = problem {
            *self.problems.entry(problem.to_string()).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use rehearsal_core::{
        config::{Config, Route},
        gateway::Gateway,
    };
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn two_calls_are_served_and_measured() {
        let mut config = Config::default();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        (config.rtmp.listen, config.http.listen, config.sip.listen) = (any, any, any);
        let stream = || Some("load/*".to_owned());
        config.sip.routes =
            vec![Route { dial: "load-*".to_owned(), publish: stream(), play: stream() }];
        let runtime = Builder::new_multi_thread().enable_all().build().expect("it starts");
        let figures = runtime.block_on(async {
            let gateway = Gateway::bind(Os, config, CancellationToken::new()).await.unwrap();
            let sip = gateway.sip_addr().unwrap();
            let _serving = Os.spawn(async move {
                gateway.run().await;
            });
            measure(std::process::id(), sip, 2, Duration::from_secs(1)).await.unwrap()
        });
        assert_eq!((figures.up, figures.ended_early, figures.lost), (2, 0, 0), "{figures}");
        assert!(figures.problems.is_empty(), "{figures:?}");
        assert!(figures.in_window.due >= 100 && figures.in_window.sent >= 50, "{figures}");
        // Each hears what it has said.
        assert!(figures.in_window.received >= 50, "{figures}");
        assert!(figures.cpu > Duration::ZERO, "{figures}");
    }
}
