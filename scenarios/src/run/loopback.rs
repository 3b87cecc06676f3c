//! A plan on the operating system: real sockets on the loopback interface, tokio's multi-threaded runtime, and real time.
//!
//! Links and seeds mean nothing here, and nothing repeats: whatever agrees with the simulation agrees in spite of that.

#![allow(clippy::disallowed_methods, reason = "the real world is what this is for")]

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rehearsal_core::env::{Env, Os};
use rehearsal_sim::clients::publisher::Source;
use tokio::{
    runtime,
    time::{Instant, timeout},
};

use super::{
    PANICKED, Ran, Shown, assert_portable, cast::Clients, notebook::Notebook, panics::Panics,
    serving::Serving,
};
use crate::plan::{ASSETS, Plan};

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Time a run may take beyond its plan: nobody waits for more than a client's patience of 60 s.
const LIMIT_BEYOND_PLAN: Duration = Duration::from_secs(90);

/// Carries out `plans`, all at a time, and notes what panics.
///
/// # Panics
/// When a plan has what only the fabric can do.
pub(super) fn carry_out(plans: Vec<Plan>, panics: &Panics) -> Vec<Ran> {
    plans.iter().for_each(assert_portable);
    let panics = panics.clone();
    let runtime = runtime::Builder::new_multi_thread()
        .on_thread_start(move || panics.note_on_this_thread())
        .enable_all()
        .build();
    let runtime = runtime.expect("the system gives threads");
    let running: Vec<_> =
        plans.into_iter().map(|plan| runtime.spawn(carry_out_one(plan))).collect();
    let ran = running.into_iter().map(|run| runtime.block_on(run));
    let broken_off = || Ran { evidence: Err(PANICKED.to_owned()), shown: Shown::default() };
    ran.map(|ran| ran.unwrap_or_else(|_| broken_off())).collect()
}

async fn carry_out_one(mut plan: Plan) -> Ran {
    plan.config.rtmp.listen = SocketAddr::new(LOCALHOST, 0);
    plan.config.http.listen = plan.config.rtmp.listen;
    plan.config.sip.listen = plan.config.rtmp.listen;
    let assets = Assets::unpack().expect("the folder for temporary files can be written");
    for publisher in &mut plan.publishers {
        if let Source::FlvFile(path) = &mut publisher.plan.source {
            *path = assets.real_path(path);
        }
    }
    let limit = Duration::from_millis(plan.end_ms()) + LIMIT_BEYOND_PLAN;
    let notebook = Notebook::default();
    let origin = Instant::now();
    let run = async {
        let serving = Serving::start(&Os, LOCALHOST, plan.config.clone(), None).await;
        let (clients, addresses) = (Clients::new(&plan), serving.addresses());
        let mut tasks = Vec::new();
        for (host, role) in clients.all() {
            let notes = notebook.of(host, origin);
            tasks.push(Os.spawn(clients.play(role, Os, addresses, origin, notes)));
        }
        let reports = clients.reports().await;
        serving.see_out(Vec::new(), plan, reports, None).await
    };
    let evidence = timeout(limit, run).await.map_err(|_| format!("not done after {limit:?}"));
    Ran {
        evidence,
        shown: Shown { time: origin.elapsed(), notes: notebook.take(), ..Shown::default() },
    }
}

/// The files that plans name, in a folder of their own that goes with this.
struct Assets(PathBuf);

impl Assets {
    fn unpack() -> io::Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rehearsal-{}-{count}", process::id()));
        fs::create_dir_all(&folder)?;
        let assets = Self(folder);
        for (path, content) in ASSETS {
            fs::write(assets.real_path(Path::new(path)), content)?;
        }
        Ok(assets)
    }

    /// Where the file is that a plan knows as `path`.
    fn real_path(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }
}

impl Drop for Assets {
    fn drop(&mut self) {
        // Nothing depends on it, and the system clears such folders by itself.
        let _ = fs::remove_dir_all(&self.0);
    }
}
