//! A gateway in a world of its own, a healthy stream in it, and clients that send raw bytes beside it.

use std::{
    future::{Future, poll_fn},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use rehearsal_core::{config::Config, env::Env, gateway::Gateway, rtmp::message::Message};
pub(crate) use rehearsal_scenarios::wire::{cut, handshake, link, opening};
use rehearsal_sim::{
    LinkConfig, SocketState, World,
    clients::{
        media::{Generated, Item, MediaPlan},
        publisher::{self, Leave, Notes, PublishPlan, Source},
        raw::{self, RawPlan, RawReport},
        rtmp_player::{self, PlayPlan, PlayReport},
    },
    heap::{self, Scope},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) const RTMP: u16 = 1935;
pub(crate) const HTTP: u16 = 8080;

/// What a run with raw clients shows.
pub(crate) struct Seen {
    pub(crate) raw: Vec<RawReport>,
    /// Who plays a stream that a well-behaved publisher sends meanwhile.
    pub(crate) bystander: PlayReport,
    /// How many messages that publisher sent.
    pub(crate) sent: usize,
    /// Who plays what the raw clients publish as `live/raw`.
    pub(crate) player: PlayReport,
    /// Most the gateway held above what it held before the raw clients came, in bytes.
    pub(crate) held_bytes: i64,
    /// When the last connection of a raw client was gone from the gateway.
    pub(crate) gone_at: Duration,
    pub(crate) streams_left: usize,
    pub(crate) tasks_left: usize,
}

pub(crate) fn play(stream: &str, leave_ms: u64) -> PlayPlan {
    PlayPlan { stream: stream.into(), start_ms: 0, leave_ms, stall: None, pause: None }
}

/// What is the same for all raw clients of a run.
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// What the healthy publisher sends, and for how long.
    pub(crate) media: MediaPlan,
    pub(crate) healthy_ms: u64,
}

impl Default for Setup {
    fn default() -> Self {
        Self { config: Config::default(), media: MediaPlan::default(), healthy_ms: 6_000 }
    }
}

/// Runs raw clients against the gateway, each on its port, beside a healthy stream of 6 s.
pub(crate) fn run(raw_clients: Vec<(u16, RawPlan)>) -> Seen {
    run_with(Setup::default(), raw_clients)
}

/// Waits for all of `futures`.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    poll_fn(|cx| {
        for (future, output) in running.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(cx) {
                *output = Some(ready);
            }
        }
        match running.iter().all(|(_, output)| output.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, output)| output).collect()
}

/// As [`run`], with another configuration or another healthy stream.
pub(crate) fn run_with(setup: Setup, raw_clients: Vec<(u16, RawPlan)>) -> Seen {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    gateway_env.set_heap_scope(Scope::Gateway);
    let mut client = |name: &str| {
        let env = world.add_host(name, LinkConfig::lan());
        env.set_heap_scope(Scope::Client);
        env
    };
    let (publisher, bystander) = (client("publisher"), client("bystander"));
    let (player, attacker) = (client("player"), client("attacker"));
    let address = |port| SocketAddr::new(gateway_env.ip(), port);
    let notes: Notes = Arc::new(|_| {});

    let run = world.run(Duration::from_secs(300), async {
        let origin = Instant::now();
        let shutdown = CancellationToken::new();
        let gateway = Gateway::bind(gateway_env.clone(), setup.config, shutdown).await;
        let gateway = gateway.expect("a fresh host has its ports free");
        let live = gateway.shared().live.clone();
        let _gateway = gateway_env.spawn(async move {
            gateway.run().await;
        });
        let healthy = PublishPlan {
            stream: "live/healthy".into(),
            epoch: 1,
            start_ms: 0,
            source: Source::Generated(setup.media),
            duration_ms: setup.healthy_ms,
            leave: Leave::Orderly,
            digest: false,
        };
        let publishing =
            publisher::run(publisher, address(RTMP), healthy, origin, Arc::clone(&notes));
        let watching = rtmp_player::run(
            bystander,
            address(RTMP),
            play("live/healthy", setup.healthy_ms + 4_000),
            origin,
            Arc::clone(&notes),
        );
        let playing =
            rtmp_player::run(player, address(RTMP), play("live/raw", 100_000), origin, notes);
        let before = heap::usage(Scope::Gateway).live_bytes;
        let attack = all(raw_clients.into_iter().map(|(port, plan)| {
            let client = raw::run(attacker.clone(), address(port), plan, origin);
            async { client.await.expect("the gateway accepts everybody") }
        }));
        let watch_sockets = async {
            let mut gone_at = Duration::ZERO;
            for step in 0..20_000 {
                tokio::time::sleep_until(origin + Duration::from_millis(step * 5)).await;
                let attacked = gateway_env.netstat().rows.iter().any(|row| {
                    row.remote.is_some_and(|remote| IpAddr::V4(*remote.ip()) == attacker.ip())
                        && matches!(row.state, SocketState::Established | SocketState::CloseWait)
                });
                if attacked {
                    gone_at = origin.elapsed();
                }
            }
            gone_at
        };
        let watch_heap = async {
            let mut most = 0;
            for step in 0..400 {
                tokio::time::sleep_until(origin + Duration::from_millis(step * 25)).await;
                most = most.max(heap::usage(Scope::Gateway).live_bytes - before);
            }
            most
        };
        let (published, bystander, player, raw, held_bytes, gone_at) =
            tokio::join!(publishing, watching, playing, attack, watch_heap, watch_sockets);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let (streams_left, tasks_left) = (live.len(), gateway_env.task_count());
        let sent = published.sent.len();
        Seen { raw, bystander, sent, player, held_bytes, gone_at, streams_left, tasks_left }
    });
    run.expect("the run ends in time")
}

/// What must hold whatever the raw clients sent.
pub(crate) fn assert_unharmed(seen: &Seen) {
    assert!(seen.raw.iter().all(|raw| raw.closed_at.is_some()), "a raw client was not closed");
    assert_eq!(seen.bystander.violations, []);
    assert_eq!((seen.bystander.gaps, seen.bystander.received.len()), (0, seen.sent));
    assert_eq!((seen.streams_left, seen.tasks_left), (0, 1), "streams and tasks at rest");
    // A message and its growth, and the rings of two streams.
    let bound = i64::from(Config::default().rtmp.max_message_bytes) + (4 << 20);
    assert!(seen.held_bytes < bound, "the gateway held {} bytes", seen.held_bytes);
}

/// The media of `live/raw`, three seconds of it.
pub(crate) fn raw_media() -> impl Iterator<Item = Item> {
    let media = Generated::new(MediaPlan::default(), "live/raw", 1);
    media.take_while(|item| item.due < Duration::from_secs(3))
}

/// A whole publisher of `live/raw` that waits for no answer: handshake, commands, media.
pub(crate) fn publisher_bytes() -> Vec<u8> {
    let mut link = link();
    for item in raw_media() {
        let (type_id, timestamp_ms, payload) = (item.type_id, item.timestamp_ms, item.payload);
        link.send_message(6, &Message { type_id, stream_id: 1, timestamp_ms, payload });
    }
    [opening("publish", "raw"), link.poll_output()].concat()
}

pub(crate) fn send(pieces: Vec<Vec<u8>>, half_close: bool) -> RawPlan {
    RawPlan { start_ms: 1_000, pieces, pause_ms: 1, half_close, read_from_ms: 0, leave_ms: 90_000 }
}
