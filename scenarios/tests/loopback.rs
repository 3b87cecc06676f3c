//! The clients of the simulation on real sockets: the same code, the same checks, the gateway on tokio's
//! multi-threaded runtime.

#![allow(clippy::disallowed_methods, reason = "real sockets need tasks of a real runtime")]

use std::{net::SocketAddr, sync::Arc};

use rehearsal_core::{
    config::Config,
    env::Os,
    gateway::{Ended, Gateway},
};
use rehearsal_sim::clients::{
    flv_viewer,
    media::MediaPlan,
    publisher::{self, Leave, Notes, PublishPlan, Source},
    rtmp_player::{self, PlayPlan, PlayReport},
    verify::{Kind, Logged},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const PLAYERS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn everybody_gets_every_frame_on_real_sockets() {
    let mut config = Config::default();
    config.rtmp.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.http.listen = config.rtmp.listen;
    let shutdown = CancellationToken::new();
    let gateway = Gateway::bind(Os, config, shutdown.clone()).await.expect("free ports");
    let (rtmp, http) = (gateway.rtmp_addr(), gateway.http_addr());
    let live = gateway.shared().live.clone();
    let notes: Notes = Arc::new(|_| {});
    let origin = Instant::now();

    let media = MediaPlan { gop_frames: 10, ..MediaPlan::default() };
    let publish = PublishPlan {
        stream: "live/cam".into(),
        epoch: 1,
        start_ms: 0,
        source: Source::Generated(media),
        duration_ms: 3_000,
        leave: Leave::Orderly,
        digest: true,
    };
    let play = |index: usize| PlayPlan {
        stream: "live/cam".into(),
        start_ms: index as u64 * 100,
        leave_ms: 5_000,
        stall: None,
    };
    let clients = async {
        let publishing = publisher::run(Os, rtmp, publish, origin, Arc::clone(&notes));
        let mut players = tokio::task::JoinSet::new();
        for index in 0..PLAYERS {
            let notes = Arc::clone(&notes);
            players.spawn(rtmp_player::run(Os, rtmp, play(index), origin, Arc::clone(&notes)));
            players.spawn(flv_viewer::run(Os, http, play(index), origin, notes));
        }
        let (sent, played) = tokio::join!(publishing, players.join_all());
        shutdown.cancel();
        (sent, played)
    };
    let (ended, (sent, played)) = tokio::join!(gateway.run(), clients);

    assert_eq!(ended, Ended { cut_connections: 0 });
    assert!(live.is_empty(), "nobody publishes or plays any more");
    assert_eq!(sent.end, "closed in order");
    assert_eq!(played.len(), 2 * PLAYERS);
    for report in played {
        assert_eq!(report.violations, Vec::<String>::new());
        assert_is_tail(&report, &sent.sent);
    }
}

/// From its first frame on, a player has everything to the end.
fn assert_is_tail(report: &PlayReport, sent: &[Logged]) {
    let media = |log: &[Logged]| -> Vec<u64> {
        let is_media = |kind| matches!(kind, Kind::Keyframe | Kind::Inter | Kind::Audio);
        log.iter().filter(|seen| is_media(seen.kind)).map(|seen| seen.hash).collect()
    };
    let (sent, got) = (media(sent), media(&report.received));
    assert!(got.len() > 5 && sent.ends_with(&got), "{} of {} frames", got.len(), sent.len());
}
