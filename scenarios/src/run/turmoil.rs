//! A plan on the crate turmoil: the gateway and each client on a host of its own, links without rate or loss.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use rehearsal_sim::turmoil_env::TurmoilEnv;
use tokio::time::Instant;

use super::{
    LIMIT_BEYOND_PLAN, Ran, Shown, assert_portable,
    cast::Clients,
    notebook::Notebook,
    serving::{Addresses, Serving},
};
use crate::plan::{ASSETS, Plan};

/// One way. Segments overtake each other, and are put in order at their end.
const LATENCY_MIN: Duration = Duration::from_millis(1);
const LATENCY_MAX: Duration = Duration::from_millis(20);
/// Writes that a stream's buffer holds, and connections that may wait to be accepted.
const TCP_CAPACITY: usize = 256;

/// Carries out `plan`; `seed` draws latencies and whose turn is when.
///
/// # Panics
/// When the plan has what only the fabric can do.
pub(super) fn carry_out(seed: u64, plan: Plan) -> Ran {
    assert_portable(&plan);
    let mut sim = turmoil::Builder::new()
        .rng_seed(seed)
        // Dates come from `TurmoilEnv::wall_clock`; turmoil's own begin at the real one.
        .epoch(SystemTime::UNIX_EPOCH)
        .simulation_duration(Duration::from_millis(plan.end_ms()) + LIMIT_BEYOND_PLAN)
        .min_message_latency(LATENCY_MIN)
        .max_message_latency(LATENCY_MAX)
        .tcp_capacity(TCP_CAPACITY)
        .enable_random_order()
        .build();
    let clients = Arc::new(Clients::new(&plan));
    let notebook = Notebook::default();
    let gateway = TurmoilEnv::new(&sim, seed, "gateway");
    let addresses = Addresses::configured(gateway.ip(), &plan.config);

    // A host that nobody speaks to any more still answers: only the gateway's end ends the run.
    for (host, role) in clients.all() {
        let (playing, notebook) = (Arc::clone(&clients), notebook.clone());
        let env = client(&sim, seed, host);
        sim.host(host, move || {
            let (origin, env) = (Instant::now(), env.clone());
            let notes = notebook.of(env.name(), origin);
            let playing = playing.play(role, env, addresses, origin, notes);
            async move {
                playing.await;
                pending().await
            }
        });
    }
    let found = Arc::new(Mutex::new(None));
    {
        let found = Arc::clone(&found);
        sim.client("gateway", async move {
            let serving = Serving::start(&gateway, gateway.ip(), plan.config.clone(), None).await;
            let reports = clients.reports().await;
            let evidence = serving.see_out(Vec::new(), plan, reports, None).await;
            *found.lock().expect("no panic under the lock") = Some(evidence);
            Ok(())
        });
    }
    let ran = sim.run();
    let evidence = found.lock().expect("no panic under the lock").take();
    Ran {
        evidence: match ran {
            Ok(()) => Ok(evidence.expect("the gateway's end ends the run")),
            Err(error) => Err(error.to_string()),
        },
        shown: Shown { time: sim.elapsed(), notes: notebook.take(), ..Shown::default() },
    }
}

fn client(sim: &turmoil::Sim<'_>, seed: u64, host: &str) -> TurmoilEnv {
    let env = TurmoilEnv::new(sim, seed, host);
    for (path, content) in ASSETS {
        env.write_file(path, content.to_vec());
    }
    env
}
