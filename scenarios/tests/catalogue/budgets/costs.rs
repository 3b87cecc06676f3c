//! What the gateway's heap holds for each of a thousand, in the simulated world: what the second of two crowds adds to it, so
//! that tables, and whatever is made once for all, are on nobody's account.

use std::{net::SocketAddr, ops::Range, sync::Arc, time::Duration};

use rehearsal_core::{config::Config, env::Env, gateway::Gateway};
use rehearsal_scenarios::wire::{opening, opening_until, request};
use rehearsal_sim::{
    LinkConfig, SimEnv, SimTask, World,
    clients::{
        flv_viewer,
        media::MediaPlan,
        publisher::{self, Leave, Notes, PublishPlan, Source},
        raw::{self, RawPlan},
        rtmp_player::{self, PlayPlan},
    },
    heap::{self, Scope, Usage},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Who is there before anything is measured.
pub(super) const FIRST: u64 = 100;
/// Who comes then, and is measured.
pub(super) const MEASURED: u64 = 1_000;
/// The same of publishers: their frames are many.
pub(super) const FIRST_PUBLISHERS: u64 = 10;
pub(super) const MEASURED_PUBLISHERS: u64 = 100;
/// From one's start to the next one's.
const APART_MS: u64 = 2;
/// When everybody is gone who has not gone before.
pub(super) const END_MS: u64 = 100_000;
/// How long allocations are counted, in seconds.
const COUNTED_S: u64 = 10;
/// Frames of [`MediaPlan::default`] in a second: pictures, and audio frames of 1,024 samples at 48 kHz.
const FRAMES_PER_SECOND: f64 = 25.0 + 48_000.0 / 1_024.0;

/// What one of many costs.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Bytes on the heap.
    pub bytes: f64,
    /// Blocks on the heap.
    pub blocks: f64,
}

impl Cost {
    /// What each of `count` added.
    pub(super) fn of_each(before: Usage, after: Usage, count: u64) -> Self {
        let each = |added: i64| added as f64 / count as f64;
        Self {
            bytes: each(after.live_bytes - before.live_bytes),
            blocks: each(after.live_blocks - before.live_blocks),
        }
    }
}

/// What a publish sends.
#[derive(Clone, Copy, Debug)]
pub enum Media {
    /// Nothing: what is left is the stream and the publisher's connection.
    None,
    /// Audio frames hardly longer than what they are told apart by.
    Audio,
    /// Pictures and audio.
    Whole,
}

/// What subscribers cost.
#[derive(Clone, Copy, Debug)]
pub struct Subscribers {
    /// One of them that keeps up.
    pub cost: Cost,
    /// Allocations for 1,000 frames that are delivered, those for the publisher's included.
    pub allocations_per_1000_frames: f64,
}

/// A gateway that serves, and a host of clients.
pub(super) struct Stage {
    gateway: SimEnv,
    pub(super) clients: SimEnv,
    /// Hosts of phones that can be called.
    pub(super) phones: Vec<SimEnv>,
    /// Sockets that it listens at.
    listeners: u64,
    pub(super) rtmp: SocketAddr,
    http: SocketAddr,
    pub(super) origin: Instant,
    /// The gateway's heap before it was there.
    before: Usage,
    _serving: SimTask,
}

impl Stage {
    /// When `ms` have passed since the start.
    async fn at(&self, ms: u64) {
        sleep_until(self.origin + Duration::from_millis(ms)).await;
    }

    /// The gateway's heap at `ms`, when it has as many sockets as `sockets` besides those that listen.
    pub(super) async fn usage(&self, ms: u64, sockets: u64) -> Usage {
        self.at(ms).await;
        let sockets = sockets + self.listeners;
        assert_eq!(self.gateway.socket_count() as u64, sockets, "at {ms} ms");
        heap::usage(Scope::Gateway)
    }

    /// Has `count` clients begin what `client` makes of their number and their start, from `from_ms` on.
    pub(super) fn crowd<F: Future<Output = ()> + Send + 'static>(
        &self,
        from_ms: u64,
        numbers: Range<u64>,
        client: impl Fn(u64, u64) -> F,
    ) -> Vec<SimTask> {
        let start_ms = |number| from_ms + (number - numbers.start) * APART_MS;
        let numbers = numbers.clone();
        numbers.map(|number| self.clients.spawn(client(number, start_ms(number)))).collect()
    }

    /// Clients who send `bytes` and stay.
    fn senders(
        &self,
        from_ms: u64,
        numbers: Range<u64>,
        server: SocketAddr,
        bytes: impl Fn(u64) -> Vec<u8>,
    ) -> Vec<SimTask> {
        self.crowd(from_ms, numbers, |number, start_ms| {
            let pieces = vec![bytes(number)];
            let plan = RawPlan {
                start_ms,
                pieces,
                pause_ms: 1,
                half_close: false,
                read_from_ms: 0,
                leave_ms: END_MS,
            };
            let sending = raw::run(self.clients.clone(), server, plan, self.origin);
            async {
                sending.await.expect("the gateway listens");
            }
        })
    }

    /// What each of many costs who send `bytes` and stay.
    async fn cost_of_senders(&self, server: SocketAddr, bytes: impl Fn(u64) -> Vec<u8>) -> Cost {
        let _first = self.senders(0, 0..FIRST, server, &bytes);
        let before = self.usage(1_000, FIRST).await;
        let _others = self.senders(1_000, FIRST..FIRST + MEASURED, server, &bytes);
        let after = self.usage(4_000, FIRST + MEASURED).await;
        Cost::of_each(before, after, MEASURED)
    }

    /// Clients who play one stream.
    fn subscribers(&self, from_ms: u64, numbers: Range<u64>, over_http: bool) -> Vec<SimTask> {
        self.crowd(from_ms, numbers, |_, start_ms| {
            let (env, origin) = (self.clients.clone(), self.origin);
            let (rtmp, http) = (self.rtmp, self.http);
            let plan =
                PlayPlan { stream: name(0), start_ms, leave_ms: END_MS, stall: None, pause: None };
            async move {
                match over_http {
                    true => flv_viewer::run(env, http, plan, origin, quiet()).await,
                    false => rtmp_player::run(env, rtmp, plan, origin, quiet()).await,
                };
            }
        })
    }

    /// Clients who each publish `media` on a stream of its own.
    fn publishers(&self, from_ms: u64, numbers: Range<u64>, media: &MediaPlan) -> Vec<SimTask> {
        self.crowd(from_ms, numbers, |number, start_ms| {
            let plan = PublishPlan {
                stream: name(number),
                epoch: 1,
                start_ms,
                source: Source::Generated(media.clone()),
                duration_ms: END_MS,
                leave: Leave::Orderly,
                digest: false,
            };
            let publish =
                publisher::run(self.clients.clone(), self.rtmp, plan, self.origin, quiet());
            async {
                publish.await;
            }
        })
    }
}

pub(super) fn quiet() -> Notes {
    Arc::new(|_| {})
}

/// Application and name of a stream; all are of one length.
fn name(number: u64) -> String {
    format!("live/{number:04}")
}

/// Host of a phone; all are of one length.
pub(super) fn phone_name(number: u64) -> String {
    format!("phone-{number:04}")
}

/// What `measure` sees of a gateway that has just begun to serve.
fn staged<T>(measure: impl AsyncFnOnce(&Stage) -> T) -> T {
    // What phones cost is another matter.
    staged_with(0, |config| config.sip.enabled = false, measure)
}

/// The same with so many hosts of phones, and another configuration.
pub(super) fn staged_with<T>(
    phones: u64,
    change: impl FnOnce(&mut Config),
    measure: impl AsyncFnOnce(&Stage) -> T,
) -> T {
    assert!(heap::is_counting(), "this test installs the allocator");
    let mut world = World::new(1);
    let gateway = world.add_host("gateway", LinkConfig::datacentre());
    gateway.set_heap_scope(Scope::Gateway);
    let clients = world.add_host("clients", LinkConfig::datacentre());
    clients.set_heap_scope(Scope::Client);
    let mut phone = |number| {
        let host = world.add_host(&phone_name(number), LinkConfig::datacentre());
        host.set_heap_scope(Scope::Client);
        host
    };
    let phones = (0..phones).map(&mut phone).collect();
    let run = world.run(Duration::from_secs(120), async {
        let before = heap::usage(Scope::Gateway);
        let env = gateway.clone();
        let mut config = Config::default();
        change(&mut config);
        // SIP has one for each transport.
        let listeners = if config.sip.enabled { 4 } else { 2 };
        let serves = config.clone();
        let serving = gateway.spawn(async move {
            let told = CancellationToken::new();
            let bound = Gateway::bind(env, serves, told).await;
            bound.expect("a fresh host has its ports free").run().await;
        });
        let at = |listen: SocketAddr| SocketAddr::new(gateway.ip(), listen.port());
        let stage = Stage {
            rtmp: at(config.rtmp.listen),
            http: at(config.http.listen),
            origin: Instant::now(),
            phones,
            listeners,
            before,
            _serving: serving,
            gateway,
            clients,
        };
        measure(&stage).await
    });
    run.expect("the run ends in time")
}

/// A gateway that serves nobody yet.
pub fn started() -> Cost {
    let measure =
        || staged(async |stage| Cost::of_each(stage.before, stage.usage(100, 0).await, 1));
    // Whatever is made once in a process is made by the first.
    measure();
    measure()
}

/// A connection that has had its answer to connect, and asks for nothing.
pub fn idle_rtmp() -> Cost {
    staged(async |stage| stage.cost_of_senders(stage.rtmp, |_| opening_until("", "", 1)).await)
}

/// A connection that is kept after the answer to a request.
pub fn idle_http() -> Cost {
    staged(async |stage| {
        stage.cost_of_senders(stage.http, |_| request("GET", "/nothing", "")).await
    })
}

/// A stream that nobody plays, with its publisher's connection.
pub fn publishes(media: Media) -> Cost {
    let media = match media {
        Media::None => {
            return staged(async |stage| {
                let publish = |number| opening("publish", &format!("{number:04}"));
                stage.cost_of_senders(stage.rtmp, publish).await
            });
        }
        Media::Audio => MediaPlan { gop_frames: 0, audio_bytes: 40, ..MediaPlan::default() },
        Media::Whole => MediaPlan::default(),
    };
    staged(async |stage| {
        let _first = stage.publishers(0, 0..FIRST_PUBLISHERS, &media);
        // By then a ring holds as much as it ever does, and twice it is the same time of a GOP.
        let before = stage.usage(16_000, FIRST_PUBLISHERS).await;
        let all = FIRST_PUBLISHERS + MEASURED_PUBLISHERS;
        let _others = stage.publishers(16_000, FIRST_PUBLISHERS..all, &media);
        let after = stage.usage(46_000, all).await;
        Cost::of_each(before, after, MEASURED_PUBLISHERS)
    })
}

/// Those who play a stream with 25 pictures a second and audio, and keep up.
pub fn subscribers(over_http: bool) -> Subscribers {
    staged(async |stage| {
        let _publisher = stage.publishers(0, 0..1, &MediaPlan::default());
        let _first = stage.subscribers(1_000, 0..FIRST, over_http);
        let before = stage.usage(15_000, 1 + FIRST).await;
        let all = FIRST + MEASURED;
        let _others = stage.subscribers(15_000, FIRST..all, over_http);
        let with = stage.usage(25_000, 1 + all).await;
        let later = stage.usage(25_000 + COUNTED_S * 1_000, 1 + all).await;
        let frames = all as f64 * FRAMES_PER_SECOND * COUNTED_S as f64;
        let allocations = (later.allocations - with.allocations) as f64;
        Subscribers {
            cost: Cost::of_each(before, with, MEASURED),
            allocations_per_1000_frames: allocations * 1_000.0 / frames,
        }
    })
}
