//! The gateway ends while everybody is there, and a gateway that is full.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use rehearsal_core::{
    config::Config,
    env::Env,
    gateway::{Ended, Gateway},
};
use rehearsal_sim::{
    LinkConfig, World,
    clients::{
        flv_viewer,
        media::MediaPlan,
        publisher::{self, Leave, Notes, PublishPlan, Source},
        raw::{self, RawPlan},
        rtmp_player::{self, PlayPlan, PlayReport, Stall},
    },
};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

fn publish(leave: Leave, keyframe_bytes: usize) -> PublishPlan {
    PublishPlan {
        stream: "live/cam".into(),
        epoch: 1,
        start_ms: 0,
        source: Source::Generated(MediaPlan { keyframe_bytes, ..MediaPlan::default() }),
        duration_ms: 60_000,
        leave,
        digest: false,
    }
}

fn play(stream: &str, stall: Option<Stall>) -> PlayPlan {
    PlayPlan { stream: stream.into(), start_ms: 500, leave_ms: 30_000, stall, pause: None }
}

#[test]
fn everybody_is_told_and_nobody_holds_the_gateway_up() {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    let envs = [
        "publisher",
        "player",
        "viewer",
        "waiting",
        "stalled",
        "silent",
        "stalled viewer",
        "player in time",
        "viewer in time",
    ]
    .map(|name| world.add_host(name, LinkConfig::lan()));
    let farewell = Duration::from_millis(Config::default().limits.farewell_ms);
    let due = Duration::from_secs(5) + farewell;
    let said = Arc::new(Mutex::new(Vec::new()));
    let run = world.run(Duration::from_secs(60), async {
        let origin = Instant::now();
        let shutdown = CancellationToken::new();
        let config = Config::default();
        let gateway = Gateway::bind(gateway_env.clone(), config, shutdown.clone()).await.unwrap();
        let rtmp = SocketAddr::new(gateway_env.ip(), 1935);
        let http = SocketAddr::new(gateway_env.ip(), 8080);
        let notes = |who: &'static str| -> Notes {
            let said = Arc::clone(&said);
            Arc::new(move |what: &str| said.lock().unwrap().push(format!("{who}: {what}")))
        };
        let [a, b, c, d, e, f, g, h, i] = envs;
        // They take the last bytes just before that is due.
        let until_due = Some(Stall { from_ms: 600, to_ms: due.as_millis() as u64 - 50 });
        let playing_in_time =
            rtmp_player::run(h, rtmp, play("live/cam", until_due), origin, notes("in time"));
        let viewing_in_time =
            flv_viewer::run(i, http, play("live/cam", until_due), origin, notes("viewer in time"));
        let always = Some(Stall { from_ms: 600, to_ms: 20_000 });
        let publishing =
            publisher::run(a, rtmp, publish(Leave::Silent, 400_000), origin, notes("publisher"));
        let playing = rtmp_player::run(b, rtmp, play("live/cam", None), origin, notes("player"));
        let viewing = flv_viewer::run(c, http, play("live/cam", None), origin, notes("viewer"));
        let waiting = flv_viewer::run(d, http, play("live/no", None), origin, notes("waiting"));
        let stalled = rtmp_player::run(e, rtmp, play("live/cam", always), origin, notes("stalled"));
        let stuck =
            flv_viewer::run(g, http, play("live/cam", always), origin, notes("stalled viewer"));
        let silence = RawPlan {
            start_ms: 500,
            pieces: vec![vec![3]],
            pause_ms: 1,
            half_close: false,
            read_from_ms: 0,
            leave_ms: 30_000,
        };
        let silent = raw::run(f, rtmp, silence, origin);
        let ending = async {
            sleep_until(origin + Duration::from_secs(5)).await;
            shutdown.cancel();
        };
        let serving = async { (gateway.run().await, origin.elapsed()) };
        let in_time = async { tokio::join!(playing_in_time, viewing_in_time) };
        let (served, _, published, _, viewed, waited, stalled, stuck, silent, in_time) = tokio::join!(
            serving, ending, publishing, playing, viewing, waiting, stalled, stuck, silent, in_time
        );
        (served, published, viewed, waited, [stalled, stuck], silent.unwrap(), in_time)
    });
    let ((ended, at), published, viewed, waited, stalled, silent, in_time) = run.unwrap();
    assert_eq!(ended, Ended { cut_connections: 0 });
    assert!(at >= due && at < due + Duration::from_millis(100), "{at:?}");
    let is_told = |player: &PlayReport| {
        player.statuses.iter().any(|(_, code)| code == "NetConnection.Connect.Closed")
            || player.end == "end of the response"
    };
    let [late_player, late_viewer] = &stalled;
    let told = [&in_time.0, &in_time.1, late_player, late_viewer].map(is_told);
    assert_eq!(told, [true, true, false, false], "two just before it is due, two too late");
    let said = said.lock().unwrap();
    for expected in [
        "publisher: NetStream.Unpublish.Success",
        "publisher: NetConnection.Connect.Closed",
        "player: NetStream.Play.Stop",
        "player: NetConnection.Connect.Closed",
    ] {
        assert!(said.iter().any(|line| line == expected), "{expected:?} is not in {said:#?}");
    }
    assert_eq!(published.end, "closed by the server");
    assert_eq!(viewed.end, "end of the response", "its chunked body was ended properly");
    assert!(viewed.violations.is_empty() && !viewed.received.is_empty());
    assert_eq!(waited.end, "status 503");
    assert!(silent.closed_at.is_some_and(|at| at < Duration::from_millis(5_100)));
}

/// What a player says while its line is still busy with what the gateway has sent must not cost it the rest.
#[test]
fn who_is_behind_on_a_narrow_line_receives_the_end() {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    let publisher = world.add_host("publisher", LinkConfig::lan());
    let narrow = LinkConfig::dsl().with_rate_bps(2_900_000);
    let player = world.add_host("player", narrow);
    let run = world.run(Duration::from_secs(60), async {
        let origin = Instant::now();
        let shutdown = CancellationToken::new();
        let mut config = Config::default();
        // It says so much has come before all of it has.
        config.rtmp.window_ack_bytes = 20_000;
        let gateway = Gateway::bind(gateway_env.clone(), config, shutdown.clone()).await.unwrap();
        let rtmp = SocketAddr::new(gateway_env.ip(), 1935);
        let notes: Notes = Arc::new(|_: &str| {});
        let plan = publish(Leave::Silent, 60_000);
        let publishing = publisher::run(publisher, rtmp, plan, origin, notes.clone());
        // A GOP is there at once when it comes.
        let comes = PlayPlan { start_ms: 5_500, ..play("live/cam", None) };
        let playing = rtmp_player::run(player, rtmp, comes, origin, notes);
        let ending = async {
            sleep_until(origin + Duration::from_millis(6_500)).await;
            shutdown.cancel();
        };
        tokio::join!(playing, publishing, gateway.run(), ending).0
    });
    let played = run.unwrap();
    assert!(played.ended_at > Duration::from_millis(6_700), "it was not behind");
    let last = played.statuses.last().map(|(_, code)| code.as_str());
    let told = (played.end.as_str(), last);
    assert_eq!(told, ("closed by the server", Some("NetConnection.Connect.Closed")));
}

#[test]
fn who_takes_no_answer_is_cut_when_the_time_to_end_is_over() {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    let client = world.add_host("client", LinkConfig::lan());
    let run = world.run(Duration::from_secs(60), async {
        let origin = Instant::now();
        let shutdown = CancellationToken::new();
        let config = Config::default();
        let gateway = Gateway::bind(gateway_env.clone(), config, shutdown.clone()).await.unwrap();
        let http = SocketAddr::new(gateway_env.ip(), 8080);
        // More answers than the sockets hold, of which it reads none.
        let plan = RawPlan {
            start_ms: 0,
            pieces: vec![b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20_000)],
            pause_ms: 1,
            half_close: false,
            read_from_ms: 30_000,
            leave_ms: 40_000,
        };
        let ending = async {
            sleep_until(origin + Duration::from_secs(5)).await;
            shutdown.cancel();
        };
        let serving = async { (gateway.run().await, origin.elapsed()) };
        tokio::join!(serving, raw::run(client, http, plan, origin), ending).0
    });
    let (ended, at) = run.unwrap();
    assert_eq!(ended, Ended { cut_connections: 1 });
    let within = Duration::from_millis(Config::default().limits.shutdown_ms);
    assert_eq!(at, Duration::from_secs(5) + within);
}

#[test]
fn a_full_gateway_refuses_one_more_and_takes_it_when_there_is_room() {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    let client = world.add_host("client", LinkConfig::lan());
    let run = world.run(Duration::from_secs(60), async {
        let origin = Instant::now();
        let mut config = Config::default();
        config.limits.max_connections = 2;
        let gateway =
            Gateway::bind(gateway_env.clone(), config, CancellationToken::new()).await.unwrap();
        let shared = gateway.shared();
        let rtmp = SocketAddr::new(gateway_env.ip(), 1935);
        let _gateway = gateway_env.spawn(async move {
            gateway.run().await;
        });
        let silent = |start_ms, leave_ms| {
            let plan = RawPlan {
                start_ms,
                pieces: vec![vec![3]],
                pause_ms: 1,
                half_close: false,
                read_from_ms: 0,
                leave_ms,
            };
            raw::run(client.clone(), rtmp, plan, origin)
        };
        let (first, second, third, fourth) = tokio::join!(
            silent(0, 3_000),
            silent(100, 3_000),
            silent(200, 3_000),
            silent(4_000, 6_000)
        );
        let refused =
            shared.counters.connections_refused.load(std::sync::atomic::Ordering::Relaxed);
        ([first, second, third, fourth].map(|report| report.unwrap().closed_at.is_some()), refused)
    });
    let (closed, refused) = run.unwrap();
    assert_eq!(closed, [false, false, true, false], "only the third is closed by the gateway");
    assert_eq!(refused, 1);
}

#[test]
fn a_gateway_that_is_started_while_its_ports_are_taken_says_so_and_one_after_that_serves() {
    let mut world = World::new(1);
    let gateway_env = world.add_host("gateway", LinkConfig::datacentre());
    let run = world.run(Duration::from_secs(60), async {
        let start = |shutdown| Gateway::bind(gateway_env.clone(), Config::default(), shutdown);
        let shutdown = CancellationToken::new();
        let first = start(shutdown.clone()).await.unwrap();
        let told = start(CancellationToken::new()).await.unwrap_err().to_string();
        shutdown.cancel();
        first.run().await;
        // HTTP's port alone: what was bound before it is free again.
        let holder = gateway_env.bind_tcp(Config::default().http.listen).await.unwrap();
        let told_again = start(CancellationToken::new()).await.unwrap_err().to_string();
        drop(holder);
        start(CancellationToken::new()).await.unwrap();
        [told, told_again]
    });
    let expected = [("1935", "RTMP", "rtmp.listen"), ("8080", "HTTP", "http.listen")];
    for (told, (port, protocol, key)) in run.unwrap().into_iter().zip(expected) {
        let begins = format!("cannot listen on 0.0.0.0:{port} for {protocol}: ");
        let ends = format!("(change {key} or free the port)");
        assert!(told.starts_with(&begins) && told.ends_with(&ends), "{told}");
    }
}
