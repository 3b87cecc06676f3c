//! Where two runs of a world part is found to the event.

use std::{ops::Range, time::Duration};

use crate::pair::{LIMIT, pair, wait_ms};
use rehearsal_core::env::Env;
use rehearsal_sim::{
    SimEnv,
    trace::{
        Trace,
        divergence::{Difference, Divergence, between},
    },
};

/// 6 s in which the client notes a tick every 10 ms, and at 3 s what `at_3_s` says.
fn ticks(seed: u64, window: Range<u64>, at_3_s: impl Fn(&SimEnv)) -> Trace {
    let (world, client, _) = pair(seed);
    world.trace(|trace| trace.keep_window(window));
    let ran = world.run(LIMIT, async {
        for tick in 0..600 {
            client.note(format!("tick {tick}"));
            if tick == 300 {
                at_3_s(&client);
            }
            wait_ms(10).await;
        }
    });
    assert_eq!(ran, Ok(()));
    world.trace(|trace| trace.clone())
}

fn found(
    left: impl Fn(Range<u64>) -> Trace,
    right: impl Fn(Range<u64>) -> Trace,
) -> Option<Divergence> {
    between(left, right).expect("runs repeat themselves")
}

fn quiet(_: &SimEnv) {}

#[test]
fn one_seed_does_not_part_from_itself() {
    assert_eq!(found(|w| ticks(1, w, quiet), |w| ticks(1, w, quiet)), None);
}

#[test]
fn two_seeds_part_where_the_seed_first_shows() {
    let draw = |host: &SimEnv| {
        let mut drawn = [0; 8];
        host.fill_random(&mut drawn);
        host.note(format!("drew {drawn:?}"));
    };
    let parted = found(|w| ticks(1, w, draw), |w| ticks(2, w, draw)).expect("they part");
    assert_eq!((parted.index, parted.difference), (301, Difference::Event));
    assert_eq!(parted.at(), [Some(Duration::from_secs(3)); 2]);
}

#[test]
fn a_note_more_is_found_at_its_place() {
    let more = |host: &SimEnv| host.note("planted");
    let parted = found(|w| ticks(1, w, quiet), |w| ticks(1, w, more)).expect("they part");
    assert_eq!((parted.index, parted.difference), (301, Difference::Event));
    let at = [Duration::from_millis(3_010), Duration::from_secs(3)];
    assert_eq!(parted.at(), at.map(Some));
    let table = parted.to_string();
    assert!(table.contains("301       3.000000000  >  client: planted"), "{table}");
    assert!(table.contains("301       3.010000000  <  client: tick 301"), "{table}");
    assert!(table.contains("300       3.000000000  =  client: tick 300"), "{table}");
}

/// 100 ms in which the client notes a tick every 10 ms; at the fifth the server spawns a task that
/// does nothing, and no event tells whether it is polled.
fn idle_task(window: Range<u64>, is_polled: bool) -> Trace {
    let (world, client, server) = pair(1);
    world.trace(|trace| trace.keep_window(window));
    let ran = world.run(LIMIT, async {
        for tick in 0..10 {
            client.note(format!("tick {tick}"));
            let task = (tick == 4).then(|| server.spawn(async {}));
            if !is_polled {
                drop(task);
                wait_ms(10).await;
            } else {
                wait_ms(10).await;
                drop(task);
            }
        }
    });
    assert_eq!(ran, Ok(()));
    world.trace(|trace| trace.clone())
}

#[test]
fn a_poll_more_is_told_apart_from_an_event() {
    let parted = found(|w| idle_task(w, true), |w| idle_task(w, false)).expect("they part");
    assert_eq!((parted.index, parted.difference), (5, Difference::Polls));
    assert!(parted.to_string().contains("tasks were polled in another order"), "{parted}");
}
