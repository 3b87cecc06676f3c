//! Plans that seeds draw as a whole: written as JSON and read again they are the same, they are in bounds, and what is left out
//! moves nothing else. Each feature has its turn.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use proptest::{collection::vec, prelude::*, sample::select};
use rehearsal_core::config::Config;
use rehearsal_scenarios::{
    catalogue::{self, light},
    fault::Lever,
    plan::{Plan, Protocol},
    run,
    swarm::{Theme, draw, elements},
};
use rehearsal_sim::clients::publisher::Leave;

/// Plans of so many seeds show everything that can be drawn.
const SEEDS: u64 = 600;
/// No client of a drawn plan is there later.
const END_MS_MAX: u64 = 40_000;

fn themes() -> impl Strategy<Value = Theme> {
    select(Theme::ALL.to_vec())
}

/// A theme and a seed, and elements of their plan that are left out.
fn parts() -> impl Strategy<Value = (Theme, u64, BTreeSet<String>)> {
    (themes(), any::<u64>(), vec(any::<bool>(), 40)).prop_map(|(theme, seed, stays)| {
        let names = elements(theme, seed).into_iter().zip(stays);
        let left_out = names.filter(|(_, stays)| !stays).map(|(name, _)| name);
        (theme, seed, left_out.collect())
    })
}

/// Plans of any theme, of which any part is left out.
fn plans() -> impl Strategy<Value = Plan> {
    parts().prop_map(|(theme, seed, left_out)| draw(theme, seed, |name| !left_out.contains(name)))
}

fn read_again(plan: &Plan) -> Plan {
    let json = serde_json::to_string(plan).expect("a plan can be written");
    serde_json::from_str(&json).expect("what was written can be read")
}

/// What is wrong with a plan that cannot be carried out, or whose oracles could not tell who is who.
fn problem(plan: &Plan) -> Option<String> {
    let hosts = plan.hosts();
    let names: BTreeSet<_> = hosts.iter().collect();
    if names.len() != hosts.len() {
        return Some(format!("hosts are not distinct: {hosts:?}"));
    }
    let mut epochs: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for publisher in &plan.publishers {
        let is_new = epochs.entry(&publisher.plan.stream).or_default().insert(publisher.plan.epoch);
        if !is_new || publisher.plan.duration_ms == 0 {
            return Some(format!("{publisher:?}"));
        }
    }
    let late = plan.players.iter().find(|player| {
        let stall = player.plan.stall.is_none_or(|stall| stall.from_ms < stall.to_ms);
        player.plan.start_ms >= player.plan.leave_ms || !stall
    });
    if let Some(player) = late {
        return Some(format!("{player:?}"));
    }
    let stray = plan.faults.iter().find(|fault| !hosts.contains(&fault.host));
    if let Some(fault) = stray {
        return Some(format!("{fault:?}"));
    }
    let unknown = plan.terms.faulty.iter().chain(&plan.terms.may_skip);
    let unknown = unknown.into_iter().find(|host| !hosts.contains(host));
    if let Some(host) = unknown {
        return Some(format!("{host} is in the terms"));
    }
    (plan.end_ms() > END_MS_MAX).then(|| format!("it ends at {} ms", plan.end_ms()))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_drawn_plan_is_the_same_when_it_is_written_and_read(plan in plans()) {
        prop_assert_eq!(read_again(&plan), plan);
    }

    #[test]
    fn a_drawn_plan_is_in_bounds(plan in plans()) {
        let written = plan.config.to_commented_toml();
        prop_assert_eq!(Config::parse(Path::new("plan"), &written), Ok(plan.config.clone()));
        prop_assert_eq!(problem(&plan), None);
    }

    #[test]
    fn what_is_left_out_moves_nothing_else((theme, seed, left_out) in parts()) {
        let whole = draw(theme, seed, |_| true);
        let part = draw(theme, seed, |name| !left_out.contains(name));
        let is_left = |host: &String| !left_out.contains(host);
        prop_assert_eq!(&part.config, &whole.config);
        let publishers: Vec<_> = whole.publishers.iter().filter(|p| is_left(&p.host)).collect();
        prop_assert_eq!(part.publishers.iter().collect::<Vec<_>>(), publishers);
        let players: Vec<_> = whole.players.iter().filter(|p| is_left(&p.host)).collect();
        prop_assert_eq!(part.players.iter().collect::<Vec<_>>(), players);
        let raw_clients: Vec<_> = whole.raw_clients.iter().filter(|r| is_left(&r.host)).collect();
        prop_assert_eq!(part.raw_clients.iter().collect::<Vec<_>>(), raw_clients);
        let mut faults = whole.faults.iter();
        // In their order, and each as it was.
        prop_assert!(part.faults.iter().all(|fault| faults.any(|of_whole| of_whole == fault)));
        let points: Vec<_> = whole.fault_points.iter().filter(|(name, _)| is_left(name)).collect();
        prop_assert_eq!(part.fault_points.iter().collect::<Vec<_>>(), points);
        let kept = |name: &String| is_left(name) && whole.hosts().contains(name);
        prop_assert_eq!(elements(theme, seed).iter().filter(|n| kept(n)).count() + 1, part.hosts().len());
    }

    #[test]
    fn a_fault_that_is_left_out_leaves_every_client_and_other_fault(seed in any::<u64>()) {
        let whole = draw(Theme::Faults, seed, |_| true);
        let hosts = whole.hosts();
        let is_fault = |name: &&String| !hosts.contains(name) && !whole.fault_points.contains_key(*name);
        for name in elements(Theme::Faults, seed).iter().filter(is_fault) {
            let part = draw(Theme::Faults, seed, |other| other != name);
            prop_assert_eq!(part.hosts(), whole.hosts());
            let gone: Vec<_> = whole.faults.iter().filter(|f| !part.faults.contains(f)).collect();
            prop_assert!(!gone.is_empty(), "{} has no fault", name);
            prop_assert!(gone.iter().all(|fault| fault.host == gone[0].host));
            prop_assert_eq!(part.faults.len() + gone.len(), whole.faults.len());
        }
    }
}

#[test]
fn plans_of_all_scenarios_are_the_same_when_they_are_written_and_read() {
    for scenario in light() {
        let plan = (scenario.plan)(1);
        assert_eq!(read_again(&plan), plan, "{}", scenario.name);
    }
}

/// What there is to see in `plan`.
fn sights(plan: &Plan) -> Vec<String> {
    let mut seen = Vec::new();
    let mut see = |what: &str| seen.push(what.to_owned());
    for publisher in &plan.publishers {
        match publisher.plan.leave {
            Leave::Orderly => see("ends in order"),
            Leave::Killed => see("is killed"),
            Leave::Silent => see("falls silent"),
        }
    }
    for player in &plan.players {
        match player.protocol {
            Protocol::Rtmp => see("plays"),
            Protocol::HttpFlv => see("views"),
        }
        if player.plan.stall.is_some() {
            see("stalls");
        }
    }
    for raw in &plan.raw_clients {
        see(raw.host.splitn(3, '-').nth(2).unwrap_or("reads late"));
    }
    for fault in &plan.faults {
        let where_ = if fault.host == "gateway" { "gateway" } else { "host" };
        let what = match fault.lever {
            Lever::Link(_) => "link",
            Lever::BlackHole(_) => "black hole",
            Lever::PartitionTo(..) => "partition",
            Lever::RebindNat => "NAT",
            Lever::Crash => "crash",
            Lever::Restart => "restart",
            Lever::Frozen(_) => "freeze",
            Lever::ResetConnections => "reset",
            Lever::DescriptorLimit(_) => "descriptors",
            Lever::FailAccepts(_) => "accepts",
            Lever::EphemeralPorts(..) => "ports",
            Lever::ShortIo(_) => "short io",
            Lever::StepWallClock(_) => "wall clock",
            Lever::Disk(_) => "disk",
            Lever::ShutDown => "shutdown",
        };
        see(&format!("{where_}: {what}"));
    }
    for name in plan.fault_points.keys() {
        see(name);
    }
    if plan.terms.twin_within_ms.is_some() {
        see("twin");
    }
    // Lines of the file that are not those of the default.
    let (default, drawn) = (Config::default().to_commented_toml(), plan.config.to_commented_toml());
    for (default, drawn) in default.lines().zip(drawn.lines()).filter(|(a, b)| a != b) {
        assert_eq!(default.split(" = ").next(), drawn.split(" = ").next());
        see(default.split(" = ").next().unwrap_or_default());
    }
    seen
}

#[test]
fn everything_that_can_be_drawn_is_drawn_sometimes() {
    let mut met = BTreeSet::new();
    for (theme, seed) in
        Theme::ALL.into_iter().flat_map(|theme| (0..SEEDS).map(move |s| (theme, s)))
    {
        met.extend(sights(&draw(theme, seed, |_| true)));
    }
    let of_hosts = [
        "link",
        "black hole",
        "partition",
        "NAT",
        "crash",
        "restart",
        "freeze",
        "reset",
        "short io",
    ];
    let of_gateway = [
        "crash",
        "restart",
        "shutdown",
        "freeze",
        "descriptors",
        "accepts",
        "short io",
        "wall clock",
    ];
    let clients =
        ["ends in order", "is killed", "falls silent", "plays", "views", "stalls", "twin"];
    let raw = [
        "before-c0",
        "in-c1",
        "created",
        "publishing",
        "playing",
        "in-head",
        "waiting",
        "reads late",
    ];
    let config = [
        "handshake_ms",
        "command_ms",
        "idle_ms",
        "publisher_silence_ms",
        "ping_ms",
        "ping_timeout_ms",
        "head_ms",
        "wait_publisher_ms",
        "keep_ms",
        "lag_resync_ms",
        "lag_close_ms",
        "player_stall_ms",
        "flv_probe_ms",
        "farewell_ms",
        "shutdown_ms",
        "chunk_bytes",
        "window_ack_bytes",
        "max_message_bytes",
        "max_chunk_bytes",
        "max_chunk_streams",
        "max_message_streams",
        "max_head_bytes",
        "max_name_bytes",
        "max_headers_bytes",
        "gop_ms",
        "ring_bytes",
        "lag_resync_bytes",
        "in_flight_bytes",
        "notify_unpublish",
        "max_connections",
        "max_streams",
    ];
    let of_hosts = of_hosts.iter().map(|lever| format!("host: {lever}"));
    let of_gateway = of_gateway.iter().map(|lever| format!("gateway: {lever}"));
    let points = [
        "a delivery lets others go first",
        "a delivery takes one frame and no more",
        "an RTMP connection lets others go first",
        "a ring lets go of all but its newest frame",
        "a subscriber is taken to be late",
    ];
    let others = clients.iter().chain(&raw).chain(&config).chain(&points);
    let others = others.map(|what| (*what).to_owned());
    let never: Vec<_> =
        of_hosts.chain(of_gateway).chain(others).filter(|what| !met.contains(what)).collect();
    assert!(never.is_empty(), "never drawn: {never:?}");
}

#[test]
fn some_runs_have_few_clients_and_some_have_many() {
    let counts: Vec<usize> =
        (0..SEEDS).map(|seed| draw(Theme::Live, seed, |_| true).hosts().len() - 1).collect();
    let share = |is: fn(usize) -> bool| counts.iter().filter(|count| is(**count)).count();
    assert!(share(|count| count <= 5) * 10 > counts.len(), "{counts:?}");
    assert!(share(|count| count >= 12) * 10 > counts.len(), "{counts:?}");
}

/// Publishers who are answered within so much of the moment at which the silence of another is over.
const AROUND: Duration = Duration::from_millis(30);

/// Whether somebody comes to a name when another's silence is over, about.
fn may_tie(plan: &Plan) -> bool {
    let silence_ms = plan.config.rtmp.publisher_silence_ms;
    let mut silent = plan.publishers.iter().filter(|its| its.plan.leave == Leave::Silent);
    silent.any(|silent| {
        let free_ms = silent.plan.start_ms + silent.plan.duration_ms + silence_ms;
        let mut others = plan.publishers.iter().filter(|its| its.plan.stream == silent.plan.stream);
        others.any(|other| other.plan.start_ms.abs_diff(free_ms) <= 60)
    })
}

#[test]
fn some_come_just_when_a_deadline_is_over() {
    let scenario = catalogue::find("swarm/live").expect("a scenario of the catalogue");
    let (mut accepted, mut refused) = (0, 0);
    for seed in (0..10 * SEEDS).filter(|seed| may_tie(&(scenario.plan)(*seed))) {
        let evidence = run::run(scenario, seed).evidence.expect("it came to its end");
        let silence = Duration::from_millis(evidence.plan.config.rtmp.publisher_silence_ms);
        let publishers = evidence.plan.publishers.iter().zip(&evidence.publishers);
        for (_, silent) in publishers.filter(|(its, _)| its.plan.leave == Leave::Silent) {
            let Some(last) = silent.sent.last() else { continue };
            let others = evidence.publishers.iter().filter(|other| other.stream == silent.stream);
            let near = others.filter(|other| {
                other.answered_at.is_some_and(|at| at.abs_diff(last.at + silence) <= AROUND)
            });
            for other in near {
                *(if other.refused.is_some() { &mut refused } else { &mut accepted }) += 1;
            }
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} were accepted and {refused} refused");
}
