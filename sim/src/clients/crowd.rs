//! One of thousands of subscribers: it checks everything it receives as others do, and remembers almost nothing of
//! it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use rehearsal_core::env::Env;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    flv_viewer,
    publisher::Notes,
    rtmp_player::{self, PlayPlan, Told},
    verify::{Breach, Logged, Verifier},
};

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrowdReport {
    /// Messages received.
    pub frames: u64,
    /// Gaps in the numbers of frames.
    pub gaps: u64,
    /// What was wrong with what it received.
    pub violations: Vec<Breach>,
    /// The last message.
    pub last: Option<Logged>,
    /// How it ended.
    pub end: String,
}

/// Carries out `plan` over RTMP, or over HTTP-FLV; times count from `origin`.
pub async fn run<E: Env>(
    env: E,
    gateway: SocketAddr,
    over_http: bool,
    plan: PlayPlan,
    origin: Instant,
) -> CrowdReport {
    let at = |ms| origin + Duration::from_millis(ms);
    let mut verifier = Verifier::lean(&plan.stream);
    let notes: Notes = Arc::new(|_| {});
    sleep_until(at(plan.start_ms)).await;
    let playing = async {
        if over_http {
            let mut header = None;
            let view =
                flv_viewer::view(&env, gateway, &plan, origin, &notes, &mut verifier, &mut header);
            view.await.map_or_else(|end| end.to_string(), |()| "end of the response".to_owned())
        } else {
            let mut told = Told::default();
            let play =
                rtmp_player::play(&env, gateway, &plan, origin, &notes, &mut verifier, &mut told);
            play.await.map_or_else(|end| end.to_string(), str::to_owned)
        }
    };
    let end = timeout_at(at(plan.leave_ms), playing).await.unwrap_or_else(|_| "left".to_owned());
    let frames = verifier.frames();
    let (received, violations, gaps) = verifier.finish();
    CrowdReport { frames, gaps, violations, last: received.last().copied(), end }
}
