//! The same plans on the fabric, on turmoil and on real sockets come to the same: nobody finds anything wrong, and every
//! client sees what it sees elsewhere.

mod seen;

use rehearsal_scenarios::{
    catalogue::{CATALOGUE, Scenario},
    oracles::Violation,
    plan::{Plan, Protocol},
    run::{self, Net, Outcome, Watch},
};
use rehearsal_sim::{
    LinkConfig,
    clients::{
        media::MediaPlan,
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::PlayPlan,
    },
};
use seen::{Client, differences, seen};

const SEED: u64 = 1;
/// Players over each protocol in [`CROWD`].
const PLAYERS: u64 = 20;

/// Forty players who come one after the other: more connections at a time than any scenario that has a golden file.
const CROWD: Scenario = Scenario {
    name: "parity/crowd",
    about: "twenty players over RTMP and twenty over HTTP-FLV get everything to the end",
    parity: true,
    heavy: false,
    plan: |_| {
        let mut plan = Plan::empty();
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
        plan.publisher("publisher", LinkConfig::lan(), publish);
        for index in 0..PLAYERS {
            for (name, protocol) in [("player", Protocol::Rtmp), ("viewer", Protocol::HttpFlv)] {
                let stream = "live/cam".into();
                let play = PlayPlan {
                    stream,
                    start_ms: index * 100,
                    leave_ms: 5_000,
                    stall: None,
                    pause: None,
                };
                plan.player(&format!("{name}-{index}"), LinkConfig::lan(), protocol, play);
            }
        }
        plan
    },
    check: |evidence| {
        let few = evidence.players.iter().filter(|player| player.received.len() <= 50);
        let what = |count| format!("a player got {count} messages");
        few.map(|player| Violation { oracle: "crowd", what: what(player.received.len()) }).collect()
    },
};

fn parity_set() -> Vec<&'static Scenario> {
    CATALOGUE.iter().filter(|scenario| scenario.parity).chain([&CROWD]).collect()
}

/// What is wrong on `net`, or different from the fabric.
fn against_fabric(net: Net, outcomes: Vec<Outcome>) -> Vec<String> {
    let mut wrong = Vec::new();
    for (scenario, outcome) in parity_set().into_iter().zip(outcomes) {
        let mut note = |what: &dyn std::fmt::Display| {
            wrong.push(format!("{} on {net:?}: {what}", scenario.name));
        };
        outcome.violations.iter().for_each(|violation| note(violation));
        let fabric = run::run(scenario, outcome.seed);
        assert_eq!(fabric.violations, [], "{}", scenario.name);
        if outcome.evidence.is_some() {
            let found = differences(&seen(&fabric), &seen(&outcome));
            found.iter().for_each(|difference| note(difference));
        }
    }
    wrong
}

#[test]
fn turmoil_agrees_with_the_fabric() {
    for seed in SEED..SEED + 3 {
        let outcomes = parity_set()
            .into_iter()
            .map(|scenario| run::run_on(Net::Turmoil, scenario, seed, &Watch::default()));
        let wrong = against_fabric(Net::Turmoil, outcomes.collect());
        assert!(wrong.is_empty(), "seed {seed}\n{wrong:#?}");
    }
}

#[test]
fn real_sockets_agree_with_the_fabric() {
    let outcomes = run::run_on_loopback(&parity_set(), SEED);
    let wrong = against_fabric(Net::Loopback, outcomes);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn turmoil_repeats_itself() {
    let run = || run::run_on(Net::Turmoil, &CROWD, 7, &Watch::default());
    let (first, second) = (run(), run());
    assert_eq!(first.notes, second.notes);
    assert_ne!(
        first.notes,
        run::run_on(Net::Turmoil, &CROWD, 8, &Watch::default()).notes,
        "the seed draws"
    );
}

/// What the comparison is for: every fault that a network could have shows.
#[test]
fn every_difference_is_told() {
    let clients = seen(&run::run(&CROWD, SEED));
    assert_eq!(differences(&clients, &clients), Vec::<String>::new());
    let expect = |change: &dyn Fn(&mut Client), client: usize, expected: &str| {
        let mut changed = clients.clone();
        change(&mut changed[client]);
        for found in [differences(&clients, &changed), differences(&changed, &clients)] {
            assert!(found.len() == 1 && found[0].contains(expected), "{expected:?}: {found:#?}");
        }
    };
    let (publisher, player) = (0, 7);
    let frames = |client: &mut Client, change: &dyn Fn(&mut Vec<_>)| {
        change(&mut client.epochs[0].frames);
    };
    expect(&|p| p.sent.truncate(3), publisher, "sent");
    expect(&|p| p.facts[0] = "end no answer".into(), publisher, "no answer");
    expect(&|p| drop(p.facts.pop()), player, "against");
    expect(&|p| p.epochs.clear(), player, "epochs");
    expect(&|p| frames(p, &|f| _ = f.remove(9)), player, "after 9 frames");
    expect(&|p| frames(p, &|f| f.swap(8, 9)), player, "after 8 frames");
    expect(&|p| frames(p, &|f| f.insert(9, f[9])), player, "after 10 frames");
    expect(&|p| frames(p, &|f| f.truncate(f.len() - 1)), player, "to the end");
    expect(&|p| frames(p, &|f| drop(f.drain(..f.len() - 1))), player, "ms earlier");
    expect(&|p| p.epochs[0].lead.clear(), player, "began");
    expect(&|p| frames(p, &Vec::clear), player, "frames");
}
