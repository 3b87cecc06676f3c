//! Clients of the RTMP application `sip` among calls: each has somebody whom it calls, or an exchange that calls it, and gives commands
//! when it likes, whether they make sense or not.

use rehearsal_sim::{
    LinkConfig, Rng,
    clients::{
        phone::{Answer, Change, Codec, Direction, PhonePlan, Reply},
        sip_client::{Command, Order, Reaction, SipClientPlan},
    },
};

use super::moments::delay_ms;
use crate::{
    fault::Lever,
    plan::{Plan, VANISHED_CALM_MS},
    sip::{LINGER_MS, clients},
};

/// At most so many.
const CLIENTS: u64 = 3;
/// Whatever they do, they do within this time.
const BUSY_MS: u64 = 15_000;
/// The last of them goes.
const LEAVE_MS: u64 = 30_000;

/// Adds those whom `seed` draws.
pub(super) fn draw(plan: &mut Plan, seed: u64) {
    for index in 0..CLIENTS {
        let user = format!("agent-{index}");
        let mut rng = Rng::named(seed, &format!("scenario/swarm/calls/{user}"));
        let is_there = rng.below(2) == 0;
        let (link, phone_link) = (link(&mut rng), link(&mut rng));
        let (is_called, host) = (rng.below(2) == 0, format!("{user}-peer"));
        let phone = phone(&mut rng, &user, &host, is_called);
        let client = client(&mut rng, &user, &host, is_called);
        let (is_struck, at_ms, is_crash) = (rng.below(5) == 0, rng.below(BUSY_MS), rng.below(2));
        let codec = [Codec::Pcmu, Codec::Pcma, Codec::Wideband][rng.below(3) as usize];
        let phone = PhonePlan { codecs: vec![codec], ..phone };
        let client = SipClientPlan { codecs: vec![codec], ..client };
        if !is_there {
            continue;
        }
        plan.phone(&host, phone_link, phone);
        plan.sip_client(&user, link, client);
        if is_struck {
            let lever = [Lever::ResetConnections, Lever::Crash][is_crash as usize].clone();
            plan.fault(at_ms, &user, lever);
            plan.terms.faulty.push(user);
            plan.terms.calm_ms = plan.terms.calm_ms.max(VANISHED_CALM_MS);
        }
    }
}

/// A line that may be far, and delivers everything.
fn link(rng: &mut Rng) -> LinkConfig {
    let (kind, delay_ms) = (rng.below(3), delay_ms(rng));
    match kind {
        0 => LinkConfig::lan(),
        1 => LinkConfig::dsl(),
        _ => LinkConfig::lan().with_delay_ms(delay_ms.min(400)),
    }
}

/// Who is on the other end.
fn phone(rng: &mut Rng, user: &str, host: &str, is_called: bool) -> PhonePlan {
    let rings_ms = (rng.below(3) > 0).then(|| rng.below(600));
    let after_ms = rng.range(10..=3_000);
    let answers = [Answer::Accept, Answer::Accept, Answer::AcceptLate, Answer::Refuse(486)];
    let answer = answers[rng.below(answers.len() as u64) as usize];
    let (talk_ms, calls_ms) = (rng.range(200..=12_000), rng.below(3_000));
    let hangs_up = rng.below(2) == 0;
    let holds_ms = rng.below(4_000);
    let changes = [(0, Direction::SendOnly), (rng.range(100..=3_000), Direction::SendRecv)];
    let changes = changes.map(|(at_ms, direction)| Change { at_ms: holds_ms + at_ms, direction });
    let holds = rng.below(2) == 0;
    let phone = match is_called {
        true => PhonePlan { calls_back_ms: Some(calls_ms), ..clients::exchange(user, host, 1) },
        false => clients::called_by(user, 1, host, Reply { rings_ms, after_ms, answer }),
    };
    PhonePlan {
        talk_ms: hangs_up.then_some(talk_ms),
        changes: if holds { changes.to_vec() } else { Vec::new() },
        leave_ms: LEAVE_MS + LINGER_MS + 40_000,
        ..phone
    }
}

/// What a client does.
fn client(rng: &mut Rng, user: &str, host: &str, is_called: bool) -> SipClientPlan {
    let start_ms = rng.below(3_000);
    let after_ms = rng.below(3_000);
    let reactions = [Command::Accept, Command::Accept, Command::Reject(None)];
    let command = reactions[rng.below(3) as usize].clone();
    let invites_ms = start_ms + rng.below(3_000);
    let mut orders: Vec<Order> = (0..rng.below(6)).map(|_| any_order(rng, start_ms)).collect();
    if !is_called {
        orders.push(Order { at_ms: invites_ms, command: clients::invite(host) });
    }
    orders.sort_by_key(|order| order.at_ms);
    let leave_ms = [LEAVE_MS, start_ms + rng.range(100..=BUSY_MS)][rng.below(2) as usize];
    let client = match is_called {
        true => clients::registered(user, host, leave_ms),
        false => clients::client(user, "studio", leave_ms),
    };
    SipClientPlan { start_ms, reactions: vec![Reaction { after_ms, command }], orders, ..client }
}

fn any_order(rng: &mut Rng, start_ms: u64) -> Order {
    let at_ms = start_ms + rng.below(BUSY_MS);
    let commands = [
        Command::Hold(true),
        Command::Hold(false),
        Command::SendDtmf('5'),
        Command::Accept,
        Command::Reject(Some(486)),
        Command::Bye,
    ];
    Order { at_ms, command: commands[rng.below(commands.len() as u64) as usize].clone() }
}
