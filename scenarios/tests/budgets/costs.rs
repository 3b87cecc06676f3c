//! What a subscriber costs the gateway: heap while it keeps up, and allocations for each frame it gets.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rehearsal_core::{config::Config, env::Env, gateway::Gateway};
use rehearsal_sim::{
    LinkConfig, World,
    clients::{
        flv_viewer,
        media::MediaPlan,
        publisher::{self, Leave, Notes, PublishPlan, Source},
        rtmp_player::{self, PlayPlan},
    },
    heap::{self, CountingAllocator, Scope, Usage},
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const SUBSCRIBERS: usize = 1_000;
/// Heap for one subscriber that keeps up, in bytes.
const SUBSCRIBER_BYTES_MAX: i64 = 8 << 10;
/// Allocations for one frame that one subscriber gets, in thousandths.
const ALLOCATIONS_PER_1000_FRAMES_MAX: u64 = 100;

/// The gateway's heap without subscribers, with all of them, and ten seconds later.
struct Cost {
    without: Usage,
    with: Usage,
    later: Usage,
}

/// One stream with 25 pictures a second and small audio frames, played by everybody.
fn measure(over_http: bool) -> Cost {
    assert!(heap::is_counting(), "this test installs the allocator");
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    gateway_env.set_heap_scope(Scope::Gateway);
    let publisher_env = world.add_host("publisher", LinkConfig::lan());
    publisher_env.set_heap_scope(Scope::Client);
    let crowd_env = world.add_host("crowd", LinkConfig::datacentre());
    crowd_env.set_heap_scope(Scope::Client);

    let run = world.run(Duration::from_secs(60), async {
        let origin = Instant::now();
        let at = |seconds| sleep_until(origin + Duration::from_secs(seconds));
        let config = Config::default();
        let gateway = Gateway::bind(gateway_env.clone(), config, CancellationToken::new()).await;
        let gateway = gateway.expect("a fresh host has its ports free");
        let rtmp = SocketAddr::new(gateway_env.ip(), 1935);
        let http = SocketAddr::new(gateway_env.ip(), 8080);
        let _gateway = gateway_env.spawn(async move {
            gateway.run().await;
        });
        let plan = PublishPlan {
            stream: "live/cam".into(),
            epoch: 1,
            start_ms: 0,
            source: Source::Generated(MediaPlan::default()),
            duration_ms: 60_000,
            leave: Leave::Orderly,
            digest: false,
        };
        let notes: Notes = Arc::new(|_| {});
        let publish = publisher::run(publisher_env.clone(), rtmp, plan, origin, Arc::clone(&notes));
        let _publisher = publisher_env.spawn(async move {
            publish.await;
        });
        // Past the first growth of the ring, and in the middle of a GOP as later.
        at(15).await;
        let without = heap::usage(Scope::Gateway);
        let tasks: Vec<_> = (0..SUBSCRIBERS as u64)
            .map(|index| {
                let (env, notes) = (crowd_env.clone(), Arc::clone(&notes));
                let stream = "live/cam".into();
                let start_ms = 15_000 + index * 3;
                let plan = PlayPlan { stream, start_ms, leave_ms: 60_000, stall: None };
                crowd_env.spawn(async move {
                    match over_http {
                        true => flv_viewer::run(env, http, plan, origin, notes).await,
                        false => rtmp_player::run(env, rtmp, plan, origin, notes).await,
                    };
                })
            })
            .collect();
        at(25).await;
        let with = heap::usage(Scope::Gateway);
        at(35).await;
        let later = heap::usage(Scope::Gateway);
        drop(tasks);
        Cost { without, with, later }
    });
    run.expect("the run ends in time")
}

fn assert_cheap(protocol: &str, cost: &Cost) {
    let bytes = (cost.with.live_bytes - cost.without.live_bytes) / SUBSCRIBERS as i64;
    let blocks = (cost.with.live_blocks - cost.without.live_blocks) / SUBSCRIBERS as i64;
    // Ten seconds of 25 pictures and 46.875 audio frames.
    let frames = SUBSCRIBERS as u64 * (250 + 468);
    let allocations = cost.later.allocations - cost.with.allocations;
    let per_1000_frames = allocations * 1000 / frames;
    println!(
        "{protocol}: {bytes} bytes in {blocks} blocks a subscriber, {per_1000_frames} allocations for 1000 frames"
    );
    assert!(bytes > 500, "{protocol}: {bytes} bytes a subscriber cannot be all of it");
    assert!(bytes <= SUBSCRIBER_BYTES_MAX, "{protocol}: a subscriber holds {bytes} bytes");
    assert!(
        per_1000_frames <= ALLOCATIONS_PER_1000_FRAMES_MAX,
        "{protocol}: {per_1000_frames} allocations for 1000 frames"
    );
    assert!(allocations > 0, "{protocol}: the publisher's frames are allocated");
}

#[test]
fn a_player_over_rtmp_costs_little() {
    assert_cheap("RTMP", &measure(false));
}

#[test]
fn a_viewer_over_http_flv_costs_little() {
    assert_cheap("HTTP-FLV", &measure(true));
}
