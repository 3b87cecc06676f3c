//! Phones that speak SIP over TCP: how they call, are called, and register, where nothing befalls their connections.

use std::time::Duration;

use rehearsal_sim::{
    Direction, LinkConfig, Rng,
    clients::phone::{
        Answer, Cancel, Change, Codec, Connection, Direction as Speaks, OverTcp, PhonePlan,
        PhoneReport, Reply, Saying, Voice, Way,
    },
};

use super::{
    CALLED, call, call_by_name, call_out, callee,
    callees::answers,
    calm_ms, ends, hear, hear_on, listen, publish_audio,
    registered::{BUSY, TAKES, of, registered, registers, was_told},
};
use crate::{
    catalogue::Scenario,
    live::unless,
    oracles::Violation,
    plan::{Phone, Plan},
    run::Evidence,
};

/// Draws how a phone writes what it says: whole or cut, alone or with what follows, with ends of lines before it.
pub(crate) fn any_way(rng: &mut Rng) -> OverTcp {
    let mut cuts: Vec<usize> = (0..rng.below(4)).map(|_| 1 + rng.below(700) as usize).collect();
    cuts.sort_unstable();
    OverTcp {
        cuts,
        joins: rng.below(2) == 0,
        leads: rng.below(3) == 0,
        pings_ms: (rng.below(2) == 0).then(|| rng.range(500..=20_000)),
        ..OverTcp::default()
    }
}

/// A violation unless what the phone on `host` said is heard, which was that much at least. Before it knows that its answer has come
/// nobody may know who talks there.
pub(super) fn heard_whole(evidence: &Evidence, host: &str, stream: &str) -> Option<Violation> {
    let report = of(evidence, host);
    let is_called =
        evidence.plan.phones.iter().any(|it| it.host == host && it.plan.called.is_some());
    let answered = report.answered_at.unwrap_or_default();
    let mut acks = report.signals.iter().filter(|it| it.way == Way::Received && it.method == "ACK");
    let known = acks.find(|it| it.at >= answered).map_or(answered, |ack| ack.at);
    let is_sure = |at: Duration| !is_called || at >= known;
    let said = report.spoken.len();
    let due = report.spoken.iter().filter(|said| is_sure(said.at)).count();
    let players = evidence.plan.players.iter().zip(&evidence.players);
    let mut has = players.filter(|(player, _)| player.plan.stream == stream);
    let has = has.next().map_or(0, |(_, report)| report.received.len());
    unless(due >= 240 && (due..=said).contains(&has), || {
        format!("{host} said {said} packets, {has} were heard, due were {due}")
    })
}

/// Numbers of the connections that `report` tells of: those that the phone has made, and others.
fn made(report: &PhoneReport) -> (usize, usize) {
    let own = |it: &&Connection| it.is_own;
    let all = report.connections.len();
    let own = report.connections.iter().filter(own).count();
    (own, all - own)
}

/// A violation unless so many connections were made by the phone on `host`, and to it.
fn connected(evidence: &Evidence, host: &str, due: (usize, usize)) -> Option<Violation> {
    let made = made(of(evidence, host));
    unless(made == due, || format!("{host}: connections by it and to it are {made:?}, not {due:?}"))
}

/// When INVITEs that begin calls came, and by which connections.
pub(super) fn called(report: &PhoneReport) -> Vec<(Duration, Option<u32>)> {
    let came = report.signals.iter().filter(|it| it.way == Way::Received && it.method == "INVITE");
    let came = came.filter(|it| it.what == Saying::Request && it.to_tag.is_none());
    came.map(|it| (it.at, it.over)).collect()
}

/// Calls by phones.
pub const TCP_CALL: Scenario = Scenario {
    name: "sip/tcp-call",
    about: "phones call over TCP, whole messages or pieces: they talk, change the call, give up, and hang up, by one connection each",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 20_000, Codec::Pcmu));
        let tcp = |rng: &mut Rng| Some(any_way(rng));
        let talks = PhonePlan { tcp: tcp(&mut rng), ..call(500 + rng.below(500), 5_000) };
        let changes = [(0, Speaks::Inactive), (2_000, Speaks::SendRecv), (2_000, Speaks::SendOnly)];
        let change = |(at_ms, direction)| Change { at_ms, direction };
        let holds = PhonePlan {
            changes: changes.map(change).to_vec(),
            tcp: tcp(&mut rng),
            ..listen(500 + rng.below(500), 6_000)
        };
        // Its acknowledgment and its BYE go at once.
        let brief = PhonePlan {
            dial: "brief".to_owned(),
            voice: None,
            tcp: tcp(&mut rng).map(|tcp| OverTcp { joins: true, ..tcp }),
            ..call(500 + rng.below(500), 0)
        };
        let cancel = Some(Cancel { after_ms: 0, hasty: true });
        let hasty = PhonePlan { dial: "hasty".to_owned(), cancel, voice: None, ..brief.clone() };
        // What it wants to hear is in another codec.
        let refused = PhonePlan {
            dial: "play-x".to_owned(),
            codecs: vec![Codec::Pcma],
            start_ms: 2_000,
            ..brief.clone()
        };
        // Each byte by itself.
        let piecemeal = OverTcp { cuts: (1..600).collect(), ..OverTcp::default() };
        let piecemeal = PhonePlan {
            dial: "piecemeal".to_owned(),
            voice: None,
            tcp: Some(piecemeal),
            ..call(700, 3_000)
        };
        for (host, link, phone) in [
            ("talks", LinkConfig::lan(), talks),
            ("holds", LinkConfig::dsl(), holds),
            ("brief", LinkConfig::dsl(), brief),
            ("hasty", LinkConfig::dsl(), hasty),
            ("refused", LinkConfig::lan(), refused),
            ("piecemeal", LinkConfig::lan(), piecemeal),
        ] {
            plan.phone(host, link, phone);
        }
        hear(&mut plan, 12_000);
        plan
    },
    check: |evidence| {
        let hosts = ["talks", "holds", "brief", "hasty", "piecemeal"];
        let over = hosts.map(|host| ends(host, of(evidence, host), &["hung up", "cancelled"]));
        let lines = hosts.map(|host| connected(evidence, host, (1, 0)));
        let whole = heard_whole(evidence, "talks", CALLED);
        let states = of(evidence, "holds").directions.len();
        let changed = unless(states == 4, || format!("holds was in {states} states"));
        let refused = ends("refused", of(evidence, "refused"), &["rejected with 488"]);
        over.into_iter().chain(lines).chain([whole, changed, refused]).flatten().collect()
    },
};

/// Until the gateway calls again whoever did not take the call.
const REDIAL_MS: u64 = 200_000;
/// When those who are called again leave: before they are a third time.
const CALLED_UNTIL_MS: u64 = 240_000;
/// A change over a line that loses nothing of it is answered within this.
const CHANGES_WITHIN: Duration = Duration::from_secs(1);
/// T1 of RFC 3261, 64 times: how long it waits for an answer.
const NO_ANSWER_MS: u64 = 32_000;
/// Until what the gateway says is there, by a connection that it has to make.
const SOON: Duration = Duration::from_millis(100);

/// Calls of the gateway.
pub const TCP_CALLED: Scenario = Scenario {
    name: "sip/tcp-called",
    about: "the gateway calls over TCP: who takes the call is heard, who refuses it or says nothing is called again, by the same connection",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.ring_ms = 5_000;
        let mut is = |dial: &str, replies| PhonePlan {
            tcp: Some(any_way(&mut rng)),
            leave_ms: CALLED_UNTIL_MS,
            ..callee(dial, replies)
        };
        let talk = is("talk", vec![BUSY, TAKES]);
        let never = |rings_ms| Reply { rings_ms, after_ms: 0, answer: Answer::Never };
        let rings = is("rings", vec![never(Some(200))]);
        let silent = is("silent", vec![never(None)]);
        call_out(&mut plan, LinkConfig::dsl(), talk).redial_ms = Some(REDIAL_MS);
        call_out(&mut plan, LinkConfig::lan(), rings);
        call_out(&mut plan, LinkConfig::lan(), silent).redial_ms = Some(REDIAL_MS);
        hear(&mut plan, CALLED_UNTIL_MS);
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let told = |host| answers(of(evidence, host));
        let (talk, rings) = (told("talk"), told("rings"));
        let taken = unless(talk == [486, 200], || format!("talk answered with {talk:?}"));
        let given_up = unless(rings == [487], || format!("rings answered with {rings:?}"));
        let silent = called(of(evidence, "silent"));
        let waits: Vec<_> = silent.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
        let due = Duration::from_millis(NO_ANSWER_MS + REDIAL_MS);
        let in_time = waits.iter().all(|wait| (due..due + SOON).contains(wait));
        let in_time = unless(waits.len() == 1 && in_time, || {
            format!("silent was called again after {waits:?}, due was {due:?}")
        });
        let whole = heard_whole(evidence, "talk", CALLED);
        let lines = [
            // Its BYE goes by a connection of its own.
            connected(evidence, "talk", (1, 1)),
            connected(evidence, "rings", (0, 1)),
            connected(evidence, "silent", (0, 1)),
        ];
        let over = ends("talk", of(evidence, "talk"), &["hung up"]);
        lines.into_iter().chain([taken, given_up, in_time, whole, over]).flatten().collect()
    },
};

/// How long after a call that was not taken they are called again.
const SOON_MS: u64 = 9_000;
/// When those who register have left.
const LEAVES_MS: u64 = 100_000;

/// Phones that nobody can connect to.
pub const TCP_REGISTERED: Scenario = Scenario {
    name: "sip/tcp-registered",
    about: "phones register over TCP, from where nobody can connect to them: they are called by the connection that they have made",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        for (user, is_hidden) in [("hidden", true), ("open", false), ("private", true)] {
            let tcp = OverTcp { is_hidden, ..any_way(&mut rng) };
            let private = "192.168.1.7".parse().ok().filter(|_| user == "private");
            let phone = PhonePlan {
                start_ms: rng.below(1_000),
                says_ip: private,
                tcp: Some(tcp),
                ..registered(registers(user, LEAVES_MS), vec![BUSY, TAKES])
            };
            plan.phone(user, LinkConfig::dsl(), phone);
            call_by_name(&mut plan, user).redial_ms = Some(SOON_MS);
            hear_on(&mut plan, &format!("call/{user}"), LEAVES_MS);
        }
        plan
    },
    check: |evidence| {
        let granted = (Some(200), Some(60));
        let each = ["hidden", "open", "private"].into_iter().flat_map(|host| {
            let report = of(evidence, host);
            let told = answers(report);
            let taken =
                unless(told.starts_with(&[486, 200]), || format!("{host} answered with {told:?}"));
            let whole = heard_whole(evidence, host, &format!("call/{host}"));
            [
                was_told(evidence, host, &[granted, granted, (Some(200), None)]),
                connected(evidence, host, (1, 0)),
                ends(host, report, &["hung up"]),
                taken,
                whole,
            ]
        });
        each.flatten().collect()
    },
};

/// One end of a stream by datagrams, the other over TCP.
pub const TCP_MIXED: Scenario = Scenario {
    name: "sip/tcp-mixed",
    about: "a phone that calls by datagrams is heard by one that the gateway calls over TCP, and the other way round",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        for (stream, caller, callee_is) in
            [("one", None, Some(any_way(&mut rng))), ("two", Some(any_way(&mut rng)), None)]
        {
            let voice = Some(Voice { stream: format!("call/{stream}"), epoch: 1 });
            let talks = PhonePlan {
                dial: stream.to_owned(),
                voice,
                tcp: caller,
                ..call(100 + rng.below(200), 9_000)
            };
            let reply = Reply { after_ms: 1_000 + rng.below(500), ..TAKES };
            let hears = PhonePlan {
                voice: None,
                tcp: callee_is,
                ..callee(&format!("hears-{stream}"), vec![reply])
            };
            plan.phone(&format!("talks-{stream}"), LinkConfig::lan(), talks);
            let call = call_out(&mut plan, LinkConfig::dsl(), hears);
            (call.publish, call.play) = (None, Some(format!("call/{stream}")));
            hear_on(&mut plan, &format!("call/{stream}"), 15_000);
        }
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let over = phones.filter_map(|(phone, report)| ends(&phone.host, report, &["hung up"]));
        let heard = ["hears-one", "hears-two"].map(|host| {
            let heard = of(evidence, host).heard.len();
            unless(heard >= 280, || format!("{host} heard {heard} packets"))
        });
        over.chain(heard.into_iter().flatten()).collect()
    },
};

/// Loss of the lines of [`TCP_LOSSY`], in parts per million.
const LOSS_PPM: [u32; 3] = [10_000, 50_000, 150_000];
/// T1 at both ends, who know that their lines are that bad (RFC 3261, 17.1.1.1): they wait 64 times that for an answer, which is when
/// TCP has sent a segment nine times, the last of them 255 s after the first.
const LOSSY_T1_MS: u64 = 4_000;
/// How long the gateway tries to connect, and a message may take that has begun to come, and phones talk: what they change comes
/// meanwhile.
const CONNECT_MS: u64 = 64 * LOSSY_T1_MS;
const TALKS_MS: u64 = 64 * LOSSY_T1_MS;
/// When they leave at the latest: they may have to wait for a connection, for their call, and for its end.
const LOSSY_UNTIL_MS: u64 = TALKS_MS + 4 * 64 * LOSSY_T1_MS;

/// Lines that lose segments.
pub const TCP_LOSSY: Scenario = Scenario {
    name: "sip/tcp-lossy",
    about: "segments are lost, late and out of order while calls over TCP are made, changed and ended: all is told, and nothing twice",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let sip = &mut plan.config.sip;
        (sip.connect_ms, sip.message_ms) = (CONNECT_MS, CONNECT_MS);
        (sip.t1_ms, sip.t2_ms) = (LOSSY_T1_MS, 2 * LOSSY_T1_MS);
        let publisher = publish_audio(0, LOSSY_UNTIL_MS, Codec::Pcmu);
        plan.publisher("publisher", LinkConfig::lan(), publisher);
        for (loss_ppm, index) in LOSS_PPM.into_iter().zip(0..) {
            let link = LinkConfig::dsl().with(|direction: &mut Direction| {
                direction.loss_ppm = loss_ppm;
                direction.jitter_ns = 5_000_000;
                direction.reorder_ppm = 50_000;
                direction.reorder_ns = 20_000_000;
            });
            let change = |at_ms, direction| Change { at_ms, direction };
            let holds = PhonePlan {
                changes: vec![change(1_000, Speaks::Inactive), change(3_000, Speaks::SendRecv)],
                tcp: Some(any_way(&mut rng)),
                t1_ms: Some(LOSSY_T1_MS),
                leave_ms: LOSSY_UNTIL_MS,
                ..listen(500 + rng.below(500), TALKS_MS)
            };
            plan.phone(&format!("calls-{index}"), link, holds);
            let reply = Reply { after_ms: 500 + rng.below(1_000), ..TAKES };
            let is_called = PhonePlan {
                tcp: Some(any_way(&mut rng)),
                t1_ms: Some(LOSSY_T1_MS),
                leave_ms: LOSSY_UNTIL_MS,
                ..callee(&format!("called-{index}"), vec![reply])
            };
            call_out(&mut plan, link, is_called);
        }
        plan.terms.slack_ms = 5_000;
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones);
        let wrong = phones.flat_map(|(phone, report)| {
            let changes = phone.plan.changes.len();
            let states = report.directions.len();
            let due = changes + usize::from(!is_last_on_its_way(evidence, phone, report));
            let changed = unless((due..=changes + 1).contains(&states), || {
                format!("{} was in {states} states", phone.host)
            });
            [ends(&phone.host, report, &["hung up"]), changed]
        });
        wrong.flatten().collect()
    },
};

/// Whether the last change that a phone asked for had no time to be answered in its call: for so long its connection waited to send again
/// what was lost.
fn is_last_on_its_way(evidence: &Evidence, phone: &Phone, report: &PhoneReport) -> bool {
    let asked = report.signals.iter().filter(|it| it.way == Way::Sent);
    let asked = asked.filter(|it| it.what == Saying::Request && it.method == "INVITE");
    let over = report.ended.map_or(report.left_at, |(at, _)| at);
    asked.last().is_some_and(|it| evidence.due(&[&phone.host], it.at, CHANGES_WITHIN) >= over)
}
