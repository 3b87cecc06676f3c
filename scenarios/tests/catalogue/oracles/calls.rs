//! Runs with phones in which just one thing is broken.

use rehearsal_core::config::{Account, Call};
use rehearsal_sim::{
    LinkConfig,
    clients::{
        media::MediaPlan,
        phone::{
            Answer, CallEnd, Called, Codec, Dialled, Direction, Fault, Keyed, MessageFault,
            PhonePlan, PhoneReport, Pressed, Registers, Registrar, Reply, Saying, Signal, Spoken,
            Torn, Voice, Way,
        },
        publisher::{Leave, PublishPlan, Source},
        rtmp_player::PlayPlan,
    },
};

use super::*;

const TALKS: usize = 0;
const LISTENS: usize = 1;
const SILENT: usize = 2;
const LOSSY: usize = 3;
const EXCHANGE: usize = 4;
const REGISTERED: usize = 5;

/// One who talks and is heard, one who listens, one whom the gateway hangs up on, and one on a bad line. What the first
/// acknowledges, and what the third answers, is lost at first.
static CALLS: Scenario = Scenario {
    name: "oracles/calls",
    about: "",
    parity: false,
    heavy: false,
    plan: |_| {
        let mut plan = Plan::empty();
        plan.config.rtp.silence_ms = 10_000;
        let voice = |stream: &str| Some(Voice { stream: stream.to_owned(), epoch: 1 });
        let drop = |index| MessageFault { way: Way::Sent, index, fault: Fault::Drop };
        let talks = PhonePlan {
            start_ms: 1_500,
            dial: "talk".to_owned(),
            voice: voice("call/talk"),
            talk_ms: Some(12_000),
            message_faults: vec![drop(1), drop(2)],
            leave_ms: 150_000,
            ..PhonePlan::default()
        };
        let listens = PhonePlan {
            dial: "play-x".to_owned(),
            voice: voice("live/x"),
            message_faults: Vec::new(),
            ..talks.clone()
        };
        let silent = PhonePlan {
            dial: "silent".to_owned(),
            voice: None,
            talk_ms: None,
            message_faults: vec![drop(2), drop(3)],
            ..talks.clone()
        };
        let lossy = PhonePlan {
            dial: "lossy".to_owned(),
            voice: voice("call/lossy"),
            message_faults: Vec::new(),
            ..talks.clone()
        };
        plan.phone("talks", LinkConfig::lan(), talks);
        plan.phone("listens", LinkConfig::lan(), listens);
        plan.phone("silent", LinkConfig::lan(), silent);
        plan.phone("lossy", LinkConfig::lan().with_loss_ppm(50_000), lossy);
        let registrar = Registrar { expires_s: 10, min_expires_s: 0, refuses_ms: None };
        let called = Called {
            replies: vec![Reply { rings_ms: None, after_ms: 0, answer: Answer::Refuse(404) }],
            proof: None,
            registrar: Some(registrar),
            away_ms: Vec::new(),
        };
        let exchange = PhonePlan {
            dial: "exchange".to_owned(),
            called: Some(called),
            leave_ms: 150_000,
            ..PhonePlan::default()
        };
        plan.phone("exchange", LinkConfig::lan(), exchange);
        plan.config.sip.accounts.push(Account {
            address: "sip:studio@exchange".to_owned(),
            registrar: None,
            username: None,
            password: None,
            expires_s: 60,
        });
        let registers = Registers {
            user: "registered".to_owned(),
            password: None,
            expires_s: 60,
            margin_s: Some(10),
            retry_ms: None,
            leaves_ms: Some(70_000),
            takes_all_back: false,
            errs_ms: None,
            knows_sha256: false,
            others: Vec::new(),
        };
        let called = Called {
            replies: vec![Reply { rings_ms: None, after_ms: 0, answer: Answer::Refuse(486) }],
            proof: None,
            registrar: None,
            away_ms: Vec::new(),
        };
        let registered = PhonePlan {
            dial: "registered".to_owned(),
            called: Some(called),
            registers: Some(registers),
            leave_ms: 150_000,
            ..PhonePlan::default()
        };
        plan.phone("registered", LinkConfig::lan(), registered);
        plan.config.sip.calls.push(Call {
            to: "registered".to_owned(),
            from: None,
            publish: Some("call/registered".to_owned()),
            play: None,
            redial_ms: None,
        });
        for stream in ["call/talk", "call/lossy"] {
            let stream = stream.to_owned();
            let play = PlayPlan { stream, start_ms: 0, leave_ms: 30_000, stall: None, pause: None };
            plan.player(&play.stream.replace('/', "-"), LinkConfig::lan(), Protocol::Rtmp, play);
        }
        let media = MediaPlan {
            gop_frames: 0,
            audio_bytes: 160,
            telephone: Some(Codec::Pcmu),
            ..MediaPlan::default()
        };
        let publish = PublishPlan {
            stream: "live/x".to_owned(),
            epoch: 1,
            start_ms: 0,
            source: Source::Generated(media),
            duration_ms: 10_000,
            leave: Leave::Orderly,
            digest: false,
        };
        plan.publisher("publisher", LinkConfig::lan(), publish);
        plan
    },
    check: |_| Vec::new(),
};

/// Places of the messages that `is_it`.
fn places(report: &PhoneReport, is_it: impl Fn(&Signal) -> bool) -> Vec<usize> {
    (0..report.signals.len()).filter(|place| is_it(&report.signals[*place])).collect()
}

/// Places of the answers with `status` to `method`.
fn answers(report: &PhoneReport, status: u16, method: &str) -> Vec<usize> {
    places(report, |it| it.what == Saying::Response(status) && it.method == method)
}

/// Places of the requests that came.
fn requests(report: &PhoneReport) -> Vec<usize> {
    places(report, |it| it.what == Saying::Request && it.way == Way::Received)
}

/// The message at `place` once more, at the end.
fn again(report: &mut PhoneReport, place: usize, change: impl Fn(&mut Signal)) {
    let mut signal = report.signals[place].clone();
    let last = report.signals.last().expect("there is one").at;
    (signal.at, signal.arrived_at) = (last + MS, Some(last + MS));
    change(&mut signal);
    report.signals.push(signal);
}

/// The one who talks has dialled a 5, and its player was told `told`.
fn dialled(seen: &mut Evidence, told: &str) {
    let (plan, report) = (&mut seen.plan.phones[TALKS].plan, &mut seen.phones[TALKS]);
    plan.digits = vec![Dialled { at_ms: 0, digit: '5', lost: 0 }];
    // In the midst of the call: of what is dialled at its end nobody knows.
    let spoken = &report.spoken;
    let Spoken { at, ssrc, sequence, timestamp, .. } = spoken[spoken.len() / 2];
    let (sequence, is_lost) = (sequence.wrapping_add(1), false);
    report.dialled = vec![Pressed { at, ssrc, sequence, timestamp, digit: '5', is_lost }];
    seen.players[0].digits = told.chars().map(|digit| (at, digit)).collect();
}

/// What the phone dials it says by INFO.
fn keyed(seen: &mut Evidence, status: u16, is_again: bool) {
    let (plan, report) = (&mut seen.plan.phones[TALKS].plan, &mut seen.phones[TALKS]);
    plan.dials_by_info = true;
    let at = report.dialled[0].at;
    report.keyed = vec![Keyed { at, digit: '5', status: Some(status), is_again }];
}

const O15: &str = "O15 SIP safety";
const O16: &str = "O16 SIP timers";
const O17: &str = "O17 call agreement";
const O18: &str = "O18 glare convergence";
const O20: &str = "O20 DTMF exactly once";

/// What is broken in [`CALLS`], and how.
pub(super) const PLANTED_CALLS: &[Planted] = &[
    (O15, "a copy of an answer differs", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let copy = answers(report, 200, "INVITE")[1];
        report.signals[copy].raw = b"SIP/2.0 200 Otherwise\r\n\r\n".as_slice().into();
    }),
    (O15, "a copy of an answer makes another dialog", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let copy = answers(report, 200, "INVITE")[1];
        report.signals[copy].to_tag = Some("other".to_owned());
    }),
    (O15, "a provisional answer comes behind a final one", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let trying = answers(report, 100, "INVITE")[0];
        again(report, trying, |_| ());
    }),
    (O15, "what comes is no SIP", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let any = answers(report, 200, "INVITE")[0];
        again(report, any, |signal| signal.what = Saying::Unreadable);
    }),
    (O15, "a request has the number of another", &CALLS, |seen| {
        let report = &mut seen.phones[SILENT];
        let bye = requests(report)[0];
        let mut before = report.signals[bye].clone();
        (before.method, before.branch) = ("UPDATE".to_owned(), "other".to_owned());
        report.signals.insert(bye, before);
    }),
    (O15, "a copy of a request differs", &CALLS, |seen| {
        let report = &mut seen.phones[SILENT];
        let copy = requests(report)[1];
        report.signals[copy].raw = b"BYE sip:x SIP/2.0\r\n\r\n".as_slice().into();
    }),
    (O15, "a request comes when the call is over", &CALLS, |seen| {
        let report = &mut seen.phones[SILENT];
        let bye = requests(report)[0];
        again(report, bye, |signal| {
            signal.branch = "other".to_owned();
            signal.number += 1;
        });
    }),
    (O15, "a request is not answered", &CALLS, |seen| {
        let report = &mut seen.phones[LISTENS];
        report.signals.retain(|it| !(it.method == "BYE" && it.way == Way::Received));
    }),
    (O15, "an answer is not acknowledged", &CALLS, |seen| {
        let report = &mut seen.phones[LISTENS];
        let answer = answers(report, 200, "INVITE")[0];
        let mut own = report.signals[answer].clone();
        (own.way, own.number) = (Way::Sent, 77);
        report.signals.insert(answer + 1, own);
    }),
    (O16, "a copy of an answer is late", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let copy = answers(report, 200, "INVITE")[1];
        report.signals[copy].at += 100 * MS;
    }),
    (O16, "an account is not registered again", &CALLS, |seen| {
        let signals = &mut seen.phones[EXCHANGE].signals;
        let mut asked = signals.iter().filter(|it| it.method == "REGISTER");
        let first = asked.next().unwrap().at;
        signals.retain(|it| it.at < first + 1_000 * MS || it.at > first + 15_000 * MS);
    }),
    (O16, "an account is registered again at once", &CALLS, |seen| {
        let report = &mut seen.phones[EXCHANGE];
        let at = report.bindings[2].at + 100 * MS;
        let again = places(report, |it| it.method == "REGISTER" && it.way == Way::Received);
        let mut again = report.signals[*again.last().unwrap()].clone();
        (again.at, again.branch) = (at, "other".to_owned());
        let place = report.signals.iter().position(|it| it.at > at).unwrap();
        report.signals.insert(place, again);
    }),
    (O16, "a copy of an answer does not come", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let copy = answers(report, 200, "INVITE")[1];
        report.signals.remove(copy);
    }),
    (O16, "a copy of an answer comes when that is acknowledged", &CALLS, |seen| {
        let report = &mut seen.phones[TALKS];
        let answer = answers(report, 200, "INVITE")[0];
        let due = report.signals[answer].at + 3_500 * MS;
        again(report, answer, |signal| signal.at = due);
    }),
    (O16, "a copy of a request is early", &CALLS, |seen| {
        let report = &mut seen.phones[SILENT];
        let copy = requests(report)[2];
        report.signals[copy].at -= 100 * MS;
    }),
    (O16, "a copy of a request comes when that is answered", &CALLS, |seen| {
        let report = &mut seen.phones[SILENT];
        let bye = requests(report)[0];
        let due = report.signals[bye].at + 3_500 * MS;
        again(report, bye, |signal| signal.at = due);
    }),
    (O16, "less is granted than was asked for", &CALLS, |seen| {
        seen.phones[REGISTERED].registrations[0].granted_s = Some(50);
    }),
    (O16, "what is long enough is too brief", &CALLS, |seen| {
        let registration = &mut seen.phones[REGISTERED].registrations[0];
        (registration.status, registration.granted_s) = (Some(423), None);
    }),
    (O16, "a phone is registered for longer than was granted", &CALLS, |seen| {
        seen.phones[REGISTERED].registrations[1].listed[0].1 += 2;
    }),
    (O16, "a phone is registered for less than was granted", &CALLS, |seen| {
        seen.phones[REGISTERED].registrations[1].listed[0].1 -= 2;
    }),
    (O16, "a phone that is registered is not listed", &CALLS, |seen| {
        seen.phones[REGISTERED].registrations[1].listed.clear();
    }),
    (O16, "a phone that is not registered any more is listed", &CALLS, |seen| {
        let registrations = &mut seen.phones[REGISTERED].registrations;
        registrations[2].listed = registrations[1].listed.clone();
    }),
    (O16, "somebody is listed who has not registered", &CALLS, |seen| {
        let listed = &mut seen.phones[REGISTERED].registrations[1].listed;
        listed.push(("sip:nobody@192.0.2.9".to_owned(), 60));
    }),
    (O16, "a phone is called that is not registered any more", &CALLS, |seen| {
        let report = &mut seen.phones[REGISTERED];
        let invite = places(report, |it| it.method == "INVITE" && it.way == Way::Received)[0];
        again(report, invite, |signal| signal.branch = "other".to_owned());
    }),
    (O20, "a digit by INFO is not told", &CALLS, |seen| {
        dialled(seen, "");
        keyed(seen, 200, false);
    }),
    (O20, "a digit by INFO is told that was refused", &CALLS, |seen| {
        dialled(seen, "5");
        keyed(seen, 500, false);
    }),
    (O20, "a digit by INFO is told twice whose first answer may be lost", &CALLS, |seen| {
        dialled(seen, "55");
        keyed(seen, 500, true);
    }),
    (O17, "a call has no end", &CALLS, |seen| seen.phones[TALKS].ended = None),
    (O17, "a call is forgotten", &CALLS, |seen| {
        let ended = seen.phones[LISTENS].ended.as_mut().unwrap();
        ended.1 = CallEnd::Forgotten;
    }),
    (O17, "a call is hung up for nothing", &CALLS, |seen| {
        seen.plan.config.rtp.silence_ms = 60_000;
        let ended = seen.phones[LISTENS].ended.as_mut().unwrap();
        ended.1 = CallEnd::ByGateway;
    }),
    (O17, "audio comes when the call is over", &CALLS, |seen| {
        let report = &mut seen.phones[LISTENS];
        report.heard.last_mut().unwrap().at = report.ended.unwrap().0 + 1_000 * MS;
    }),
    (O17, "a call that is over is still heard", &CALLS, |seen| {
        let over = seen.phones[TALKS].ended.unwrap().0;
        seen.players[0].received.last_mut().unwrap().at = over + 1_000 * MS;
    }),
    (O17, "nobody is told of a call's end", &CALLS, |seen| seen.players[0].statuses.clear()),
    (O18, "offers are refused again and again", &CALLS, |seen| {
        let report = &mut seen.phones[LISTENS];
        let answer = answers(report, 200, "INVITE")[0];
        for branch in ["one", "two", "three"] {
            again(report, answer, |signal| {
                (signal.what, signal.branch) = (Saying::Response(491), branch.to_owned());
            });
        }
    }),
    (O18, "an offer that was refused is not made again", &CALLS, |seen| {
        let report = &mut seen.phones[LISTENS];
        let answer = answers(report, 200, "INVITE")[0];
        let mut own = report.signals[answer].clone();
        (own.way, own.what, own.branch) = (Way::Sent, Saying::Response(491), "other".to_owned());
        own.at += 1_000 * MS;
        report.signals.insert(answer + 2, own);
    }),
    (O18, "audio comes that is not agreed on", &CALLS, |seen| {
        let report = &mut seen.phones[LISTENS];
        let since = report.answered_at.unwrap() + 2_000 * MS;
        report.directions.push((since, Direction::SendOnly));
    }),
    (O19, "a number is left out", &CALLS, |seen| {
        seen.phones[LISTENS].heard.remove(20);
    }),
    (O19, "numbers do not go on", &CALLS, |seen| {
        seen.phones[LISTENS].heard[20].sequence ^= 0x4000;
    }),
    (O19, "the source changes", &CALLS, |seen| seen.phones[LISTENS].heard[20].ssrc ^= 1),
    (O19, "time does not go on", &CALLS, |seen| {
        seen.phones[LISTENS].heard[20].timestamp += 80;
    }),
    (O19, "the clock is off from some packet on", &CALLS, |seen| {
        for heard in &mut seen.phones[LISTENS].heard[20..] {
            heard.timestamp = heard.timestamp.wrapping_add(320);
            heard.marker = true;
        }
    }),
    (O19, "a packet is torn", &CALLS, |seen| seen.phones[LISTENS].heard[20].stamp = Err(Torn)),
    (O19, "a packet is of another codec", &CALLS, |seen| {
        seen.phones[LISTENS].heard[20].payload_type = 8;
    }),
    (O19, "a packet is of another stream", &CALLS, |seen| {
        let stamp = &mut seen.phones[LISTENS].heard[20].stamp;
        stamp.as_mut().unwrap().as_mut().unwrap().stream ^= 1;
    }),
    (O19, "a packet comes twice", &CALLS, |seen| {
        let heard = &mut seen.phones[LISTENS].heard;
        heard[21].stamp = heard[20].stamp;
    }),
    (O19, "who hears nothing hears something", &CALLS, |seen| {
        let heard = seen.phones[LISTENS].heard[0];
        seen.phones[TALKS].heard.push(heard);
    }),
    (O19, "a packet comes late", &CALLS, |seen| {
        seen.phones[LISTENS].heard.iter_mut().for_each(|heard| heard.at += 500 * MS);
    }),
    (O19, "something is heard before the answer", &CALLS, |seen| {
        let listens = &mut seen.phones[LISTENS];
        listens.answered_at = Some(listens.heard[3].at);
    }),
    (O19, "for a while nothing is heard", &CALLS, |seen| {
        for heard in &mut seen.phones[LISTENS].heard[20..] {
            heard.at += 200 * MS;
        }
    }),
    (O19, "loss is told of that was none", &CALLS, |seen| {
        seen.phones[TALKS].reports.last_mut().unwrap().lost = 1;
    }),
    (O19, "a share of loss is told of that was none", &CALLS, |seen| {
        seen.phones[TALKS].reports.last_mut().unwrap().fraction_lost = 1;
    }),
    (O19, "packets are told of that were not sent", &CALLS, |seen| {
        seen.phones[TALKS].reports.last_mut().unwrap().highest += 500;
    }),
    (O19, "the newest packet is told of as an old one", &CALLS, |seen| {
        seen.phones[TALKS].reports.last_mut().unwrap().highest -= 50;
    }),
    (O19, "jitter is told of that was none", &CALLS, |seen| {
        seen.phones[TALKS].reports.last_mut().unwrap().jitter = 8_000;
    }),
    (O19, "more is told of than was sent to it", &CALLS, |seen| {
        seen.phones[LISTENS].sender_reports.last_mut().unwrap().packets += 100;
    }),
    (O19, "more bytes are told of than were sent to it", &CALLS, |seen| {
        seen.phones[LISTENS].sender_reports.last_mut().unwrap().bytes += 1;
    }),
    (O19, "less loss is told of than there was", &CALLS, |seen| {
        // The last one is of when packets were still held.
        let mut reports = seen.phones[LOSSY].reports.iter_mut();
        reports.find(|report| report.lost > 0).unwrap().lost -= 1;
    }),
    (O19, "more loss is told of than there was", &CALLS, |seen| {
        let mut reports = seen.phones[LOSSY].reports.iter_mut();
        reports.find(|report| report.lost > 0).unwrap().lost += 1;
    }),
    (O19, "a share of loss is told of that is another", &CALLS, |seen| {
        seen.phones[LOSSY].reports[0].fraction_lost ^= 0x40;
    }),
    (O19, "loss is told of that no link caused", &CALLS, |seen| {
        seen.host.as_mut().unwrap().lost = Some(std::collections::BTreeMap::new());
    }),
    (O20, "a digit is not told", &CALLS, |seen| dialled(seen, "")),
    (O20, "a digit is told twice", &CALLS, |seen| dialled(seen, "55")),
    (O20, "another digit is told", &CALLS, |seen| dialled(seen, "6")),
    (O19, "what was said is not heard", &CALLS, |seen| {
        seen.players[0].received.remove(20);
    }),
    (O19, "what was said is heard late", &CALLS, |seen| {
        seen.players[0].received.iter_mut().for_each(|seen| seen.at += 500 * MS);
    }),
    (O19, "what nobody said is heard", &CALLS, |seen| {
        seen.players[0].received.last_mut().unwrap().stamp.as_mut().unwrap().index += 50;
    }),
    (O19, "a stranger is heard", &CALLS, |seen| {
        seen.players[0].received.last_mut().unwrap().stamp.as_mut().unwrap().epoch = 77;
    }),
];
