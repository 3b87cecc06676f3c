//! Calls that the gateway makes, and what those do who are called: answer, refuse, ring on, answer too late, ask who calls.

use std::time::Duration;

use rehearsal_core::config::{self, Account, Password};
use rehearsal_sim::{
    LinkConfig, Rng,
    clients::phone::{
        Answer, Called, Codec, Direction, PhonePlan, PhoneReport, Proof, Reply, Saying, Signal,
        Voice, Way,
    },
};

use super::{CALLED, HEARD, calm_ms, ends, hear, publish_audio};
use crate::{
    catalogue::Scenario, fault::Lever, live::unless, oracles::Violation, plan::Plan, run::Evidence,
};

/// The account by which the gateway calls those who want to know who it is.
const ACCOUNT: &str = "sip:studio@exchange";
const PASSWORD: &str = "sesame";

/// What somebody does who takes the call.
pub(super) const TAKES: Reply =
    Reply { rings_ms: Some(200), after_ms: 1_500, answer: Answer::Accept };

/// Somebody who is called as `dial`, and does with one call after the other what `replies` say.
pub(crate) fn callee(dial: &str, replies: Vec<Reply>) -> PhonePlan {
    let called = Called { replies, proof: None, registrar: None, away_ms: Vec::new() };
    PhonePlan {
        dial: dial.to_owned(),
        called: Some(called),
        codecs: vec![Codec::Pcmu, Codec::Pcma],
        voice: Some(Voice { stream: format!("call/{dial}"), epoch: 1 }),
        talk_ms: Some(6_000),
        leave_ms: 90_000,
        ..PhonePlan::default()
    }
}

/// Adds `phone` on a host of its name, which the gateway calls: it is heard on a stream of its name.
pub(crate) fn call_out(plan: &mut Plan, link: LinkConfig, phone: PhonePlan) -> &mut config::Call {
    let host = phone.dial.clone();
    let publish = phone.voice.as_ref().map(|voice| voice.stream.clone());
    plan.phone(&host, link, phone);
    let to = plan.phones.last().expect("it was added").address();
    plan.config.sip.calls.push(config::Call {
        to,
        from: None,
        publish,
        play: None,
        redial_ms: None,
    });
    plan.config.sip.calls.last_mut().expect("there is one")
}

fn over(evidence: &Evidence, end: &'static str) -> Vec<Violation> {
    let phones = evidence.plan.phones.iter().zip(&evidence.phones);
    phones.filter_map(|(phone, report)| ends(&phone.host, report, &[end])).collect()
}

/// Final answers of the phone to calls, in order.
pub(super) fn answers(report: &PhoneReport) -> Vec<u16> {
    let sent = report.signals.iter().filter(|it| it.way == Way::Sent && it.method == "INVITE");
    let mut answers: Vec<(&str, u16)> = sent
        .filter_map(|it| match it.what {
            Saying::Response(status @ 200..) => Some((&it.branch[..], status)),
            _ => None,
        })
        .collect();
    answers.dedup();
    answers.into_iter().map(|(_, status)| status).collect()
}

/// First copies of requests of `method` that came.
fn asked<'a>(report: &'a PhoneReport, method: &str) -> Vec<&'a Signal> {
    let came = report.signals.iter().filter(|it| it.way == Way::Received);
    let asked = came.filter(|it| it.what == Saying::Request && it.method == method);
    let mut asked: Vec<&Signal> = asked.collect();
    asked.dedup_by(|a, b| (&a.branch, &a.to_tag) == (&b.branch, &b.to_tag));
    asked
}

/// Calls that are taken.
pub const OUTGOING: Scenario = Scenario {
    name: "sip/called",
    about: "the gateway calls: who is called is heard, or hears a stream, or changes the call, until he hangs up",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.publisher("publisher", LinkConfig::lan(), publish_audio(0, 20_000, Codec::Pcmu));
        let mut takes = || Reply { after_ms: 1_500 + rng.below(1_000), ..TAKES };
        let talks = PhonePlan { talk_ms: Some(9_000), ..callee("talk", vec![takes()]) };
        let listens = PhonePlan {
            voice: Some(Voice { stream: HEARD.to_owned(), epoch: 99 }),
            ..callee("listens", vec![takes()])
        };
        let holds = PhonePlan {
            changes: vec![
                rehearsal_sim::clients::phone::Change {
                    at_ms: 2_000,
                    direction: Direction::Inactive,
                },
                rehearsal_sim::clients::phone::Change {
                    at_ms: 3_500,
                    direction: Direction::SendRecv,
                },
            ],
            ..callee("holds", vec![takes()])
        };
        call_out(&mut plan, LinkConfig::lan(), talks);
        let call = call_out(&mut plan, LinkConfig::dsl(), listens);
        (call.publish, call.play) = (None, Some(HEARD.to_owned()));
        call_out(&mut plan, LinkConfig::dsl(), holds);
        hear(&mut plan, 20_000);
        plan
    },
    check: |evidence| {
        let (said, has) = (evidence.phones[0].spoken.len(), evidence.players[0].received.len());
        let whole = unless(said >= 440 && said == has, || {
            format!("talk said {said} packets, {CALLED} had {has}")
        });
        let heard = evidence.phones[1].heard.len();
        let heard = unless(heard >= 290, || format!("listens heard {heard} packets"));
        let changes = evidence.phones[2].directions.len();
        let changed = unless(changes == 3, || format!("holds was in {changes} states"));
        over(evidence, "hung up")
            .into_iter()
            .chain([whole, heard, changed].into_iter().flatten())
            .collect()
    },
};

/// How long the gateway waits until it calls again.
const REDIAL_MS: u64 = 120_000;
/// How calls are refused.
const REFUSALS: [u16; 7] = [302, 404, 480, 486, 488, 503, 603];

/// Calls that are refused at first.
pub const CALLEE_BUSY: Scenario = Scenario {
    name: "sip/callee-busy",
    about: "who is called is busy, is elsewhere, or will not talk: the gateway calls again when it is time, not before",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut plan = Plan::empty();
        for status in REFUSALS {
            let dial = format!("says-{status}");
            let mut rng = Rng::named(seed, &format!("scenario/sip/{dial}"));
            let rings_ms = (rng.below(2) == 0).then_some(100);
            let refuses = Reply {
                rings_ms,
                after_ms: 200 + rng.below(2_000),
                answer: Answer::Refuse(status),
            };
            let phone = PhonePlan {
                leave_ms: 2 * REDIAL_MS + 30_000,
                ..callee(&dial, vec![refuses, TAKES])
            };
            let link = if rng.below(2) == 0 { LinkConfig::lan() } else { LinkConfig::dsl() };
            call_out(&mut plan, link, phone).redial_ms = Some(REDIAL_MS);
        }
        plan
    },
    check: |evidence| {
        let phones = evidence.plan.phones.iter().zip(&evidence.phones).zip(REFUSALS);
        let wrong = phones.flat_map(|((phone, report), status)| {
            let told = answers(report);
            let told =
                unless(told == [status, 200], || format!("{} answered with {told:?}", phone.host));
            let calls = asked(report, "INVITE");
            let waits: Vec<Duration> =
                calls.windows(2).map(|two| two[1].at.saturating_sub(two[0].at)).collect();
            let redial = Duration::from_millis(REDIAL_MS);
            let soon = Duration::from_secs(12);
            let in_time = waits.iter().all(|wait| (redial..redial + soon).contains(wait));
            let in_time = unless(in_time, || format!("{} was called after {waits:?}", phone.host));
            [told, in_time, ends(&phone.host, report, &["hung up"])].into_iter().flatten()
        });
        wrong.collect()
    },
};

/// Two who take one call.
pub const FORK: Scenario = Scenario {
    name: "sip/fork",
    about: "two take a call of the gateway's at once: both are acknowledged, one is talked to, the other is hung up on",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        let forks = Reply { answer: Answer::Fork, after_ms: 1_500 + rng.below(500), ..TAKES };
        call_out(&mut plan, LinkConfig::lan(), callee("talk", vec![forks]));
        hear(&mut plan, 15_000);
        plan
    },
    check: |evidence| {
        let report = &evidence.phones[0];
        let tags = |method: &str| {
            asked(report, method).iter().filter_map(|it| it.to_tag.clone()).collect::<Vec<_>>()
        };
        let (acks, byes) = (tags("ACK"), tags("BYE"));
        let both =
            unless(acks.len() == 2 && acks[0] != acks[1], || format!("ACKs went to {acks:?}"));
        let one = unless(byes.len() == 1 && byes[0].ends_with("-fork"), || {
            format!("BYEs went to {byes:?}")
        });
        let (said, has) = (report.spoken.len(), evidence.players[0].received.len());
        let whole =
            unless(said >= 290 && said == has, || format!("{has} packets were heard of {said}"));
        over(evidence, "hung up")
            .into_iter()
            .chain([both, one, whole].into_iter().flatten())
            .collect()
    },
};

/// How long the gateway lets somebody ring, from when he says so.
const RING_MS: u64 = 5_000;
/// When he says so.
const RINGS_AFTER_MS: u64 = 300;
/// Until what the gateway says is there.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Those who do not answer.
pub const RING_AND_CANCEL: Scenario = Scenario {
    name: "sip/ring-and-cancel",
    about: "who rings and does not answer is given up, by time or because the gateway ends; who says nothing is forgotten",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.ring_ms = RING_MS;
        let never = |rings_ms| Reply { rings_ms, after_ms: 0, answer: Answer::Never };
        call_out(&mut plan, LinkConfig::dsl(), callee("rings", vec![never(Some(RINGS_AFTER_MS))]));
        call_out(&mut plan, LinkConfig::lan(), callee("silent", vec![never(None)]));
        if rng.below(2) == 0 {
            plan.fault(1_000 + rng.below(3_000), "gateway", Lever::ShutDown);
            plan.fault(40_000, "gateway", Lever::Restart);
        }
        plan.terms.calm_ms = calm_ms(&plan.config);
        plan
    },
    check: |evidence| {
        let [rings, silent] = [0, 1].map(|index| &evidence.phones[index]);
        let told = answers(rings);
        let lives = evidence.lives.len();
        let given_up = unless(told == vec![487; lives], || format!("rings answered with {told:?}"));
        let acks = asked(rings, "ACK").len();
        let known = unless(acks == lives, || format!("{acks} answers were acknowledged"));
        let cancels = asked(silent, "CANCEL").len();
        let quiet =
            unless(cancels == 0, || format!("{cancels} CANCELs for a call that nobody has"));
        let first = asked(rings, "INVITE").first().map(|it| it.at).unwrap_or_default();
        let cancelled = asked(rings, "CANCEL").first().map(|it| it.at).unwrap_or_default();
        let due = match evidence.plan.faults.first() {
            Some(fault) => Duration::from_millis(fault.at_ms),
            None => first + Duration::from_millis(RINGS_AFTER_MS + RING_MS),
        };
        let in_time = unless((due..due + ON_ITS_WAY).contains(&cancelled), || {
            format!("called at {first:?}, it was given up at {cancelled:?}, due was {due:?}")
        });
        [given_up, known, quiet, in_time].into_iter().flatten().collect()
    },
};

/// Somebody who takes a call that was just given up.
pub const LATE_ANSWER: Scenario = Scenario {
    name: "sip/late-answer",
    about: "a call is taken when it was just given up: it goes on if it had rung for too long, and is ended if nobody wants it",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.ring_ms = 2_000 + rng.below(2_000);
        let late = Reply { rings_ms: Some(100), after_ms: 60_000, answer: Answer::AcceptLate };
        call_out(&mut plan, LinkConfig::dsl(), callee("talk", vec![late]));
        hear(&mut plan, 15_000);
        if rng.below(2) == 0 {
            plan.fault(1_000 + rng.below(900), "gateway", Lever::ShutDown);
            plan.fault(100_000, "gateway", Lever::Restart);
        }
        plan
    },
    check: |evidence| {
        let report = &evidence.phones[0];
        let (told, cancels) = (answers(report), asked(report, "CANCEL").len());
        let in_turn = unless(told == [200] && cancels == 1, || {
            format!("{cancels} CANCELs came, and the answers were {told:?}")
        });
        let is_wanted = evidence.plan.faults.is_empty();
        let heard = evidence.players[0].received.len();
        let due = if is_wanted { report.spoken.len() } else { 0 };
        let heard = unless(heard == due, || format!("{heard} packets of it were heard, not {due}"));
        let end = if is_wanted { "hung up" } else { "hung up by the gateway" };
        over(evidence, end).into_iter().chain([in_turn, heard].into_iter().flatten()).collect()
    },
};

/// The account of the gateway, with the exchange where it registers.
pub(super) fn account(password: &str) -> Account {
    Account {
        address: ACCOUNT.to_owned(),
        registrar: Some("sip:exchange".to_owned()),
        username: None,
        password: Some(Password(password.to_owned())),
        expires_s: 600,
    }
}

/// What the account proves.
pub(super) fn proof(status: u16, requests_per_nonce: u32) -> Proof {
    let (user, password) = ("studio".to_owned(), PASSWORD.to_owned());
    Proof { status, user, password, requests_per_nonce }
}

/// Those who want to know who calls.
pub const AUTHENTICATION: Scenario = Scenario {
    name: "sip/authentication",
    about: "who is called asks who calls: it is proven once for each call, by a new nonce; who is not believed gives up",
    parity: false,
    heavy: false,
    plan: |seed| {
        let mut rng = Rng::named(seed, "scenario/sip");
        let mut plan = Plan::empty();
        plan.config.sip.accounts.push(account(PASSWORD));
        for (dial, status, is_known) in
            [("talk", 401, true), ("proxy", 407, true), ("wary", 407, false)]
        {
            let mut phone = callee(dial, vec![Reply { after_ms: 500 + rng.below(1_500), ..TAKES }]);
            let mut proof = proof(status, 1);
            if !is_known {
                proof.password = "other".to_owned();
            }
            phone.called.as_mut().expect("it is called").proof = Some(proof);
            call_out(&mut plan, LinkConfig::lan(), phone).from = Some(ACCOUNT.to_owned());
        }
        hear(&mut plan, 20_000);
        plan
    },
    check: |evidence| {
        let due: [(&[u16], &str); 3] = [
            (&[401, 200], "hung up"),
            (&[407, 200], "hung up"),
            (&[407, 403], "left before an answer"),
        ];
        let phones = evidence.plan.phones.iter().zip(&evidence.phones).zip(due);
        let wrong = phones.flat_map(|((phone, report), (due, end))| {
            let told = answers(report);
            let told = unless(told == due, || format!("{} answered with {told:?}", phone.host));
            [told, ends(&phone.host, report, &[end])].into_iter().flatten()
        });
        wrong.collect()
    },
};
