//! A client that speaks no protocol: it sends the bytes it is told, in the pieces it is told, and waits for the end.

use std::{net::SocketAddr, time::Duration};

use rehearsal_core::env::Env;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, sleep_until, timeout_at},
};

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawPlan {
    /// When to connect, after the start of the run.
    pub start_ms: u64,
    /// The pieces, each written by itself.
    pub pieces: Vec<Vec<u8>>,
    /// From one piece to the next.
    pub pause_ms: u64,
    /// Send FIN after the last piece.
    pub half_close: bool,
    /// When to start to read, after the start of the run.
    pub read_from_ms: u64,
    /// When to go at the latest, after the start of the run.
    pub leave_ms: u64,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawReport {
    /// Everything received.
    pub received: Vec<u8>,
    /// When the end of the connection was read; `None` when the client left first.
    pub closed_at: Option<Duration>,
}

/// Carries out `plan`; times count from `origin`.
///
/// # Errors
/// The connection could not be made.
pub async fn run<E: Env>(
    env: E,
    server: SocketAddr,
    plan: RawPlan,
    origin: Instant,
) -> std::io::Result<RawReport> {
    let at = |ms| origin + Duration::from_millis(ms);
    sleep_until(at(plan.start_ms)).await;
    let (mut reader, mut writer) = tokio::io::split(env.connect_tcp(server).await?);
    let mut received = Vec::new();
    let sending = async {
        for (piece, index) in plan.pieces.iter().zip(1..) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            sleep_until(at(plan.start_ms + index * plan.pause_ms)).await;
        }
        if plan.half_close {
            let _ = writer.shutdown().await;
        }
        std::future::pending::<()>().await;
    };
    let receiving = async {
        sleep_until(at(plan.read_from_ms)).await;
        let mut buf = vec![0; 16 << 10];
        while let Ok(read @ 1..) = reader.read(&mut buf).await {
            received.extend_from_slice(&buf[..read]);
        }
    };
    let closed = timeout_at(at(plan.leave_ms), async {
        tokio::select! {
            biased;
            () = receiving => {}
            () = sending => {}
        }
    });
    let closed_at = closed.await.is_ok().then(|| origin.elapsed());
    Ok(RawReport { received, closed_at })
}
