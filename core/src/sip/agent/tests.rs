//! Two agents on a wire that loses, doubles and delays what it is told to.

mod connections;
mod crossing;
mod flood;
mod forks;
mod pair;
mod peer;
mod proofs;
mod refusals;
mod registrar;
mod registration;
mod sayings;
mod sessions;

use std::{net::SocketAddr, time::Duration};

use self::pair::{FAULTS, Fault, Pair, SCRIPTS, Script, config, run};
use crate::sip::{
    message::Message,
    transport::{Hop, Transport},
};

#[test]
fn calls_go_their_way_when_nothing_is_lost() {
    let lines = |script| {
        let pair = run(script, &[]);
        pair.check();
        let strip = |line: &String| line.split_once(' ').unwrap().1.to_owned();
        pair.sent.iter().map(strip).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        lines(Script::CallerHangsUp),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 ACK, 0 BYE, 1 200 BYE"
    );
    assert_eq!(
        lines(Script::CalledHangsUp),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 ACK, 1 BYE, 0 200 BYE"
    );
    assert_eq!(
        lines(Script::Cancel),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 0 CANCEL, 1 200 CANCEL, 1 487 INVITE, 0 ACK"
    );
    assert_eq!(
        lines(Script::CancelLate),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 CANCEL, 0 ACK, 0 BYE, 1 200 CANCEL, 1 200 BYE"
    );
    assert_eq!(lines(Script::Reject), "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 486 INVITE, 0 ACK");
    assert_eq!(lines(Script::LateAnswer), lines(Script::CallerHangsUp));
    assert_eq!(
        lines(Script::Register),
        "0 REGISTER, 1 401 REGISTER, 0 REGISTER, 1 200 REGISTER, 0 REGISTER, 1 200 REGISTER, 0 REGISTER, 1 200 REGISTER"
    );
    assert_eq!(
        lines(Script::Reoffer),
        "0 INVITE, 1 100 INVITE, 1 180 INVITE, 1 200 INVITE, 0 ACK, 0 INVITE, 1 100 INVITE, 1 200 INVITE, 0 ACK, \
         0 BYE, 1 200 BYE"
    );
}

#[test]
fn crossing_changes_are_both_made_one_after_the_other() {
    let pair = run(Script::Glare, &[]);
    pair.check();
    for end in &pair.ends {
        let accepted = end.events.iter().filter(|event| *event == "OfferAccepted").count();
        let offered = end.events.iter().filter(|event| *event == "Offered").count();
        assert_eq!((accepted, offered), (1, 1), "{:?}", end.events);
    }
    assert!(pair.sent.iter().any(|line| line.contains("491")), "{:?}", pair.sent);
}

#[test]
fn no_single_loss_copy_or_delay_leaves_half_a_call() {
    for script in SCRIPTS {
        let messages = run(script, &[]).sent.len();
        for at in 0..messages {
            for fault in FAULTS {
                run(script, &[(at, fault)]).check();
            }
        }
    }
}

#[test]
fn no_two_losses_copies_or_delays_leave_half_a_call() {
    for script in SCRIPTS {
        let messages = run(script, &[]).sent.len();
        for first in 0..messages {
            for second in first + 1..messages + 1 {
                for (one, other) in FAULTS.into_iter().flat_map(|a| FAULTS.map(|b| (a, b))) {
                    run(script, &[(first, one), (second, other)]).check();
                }
            }
        }
    }
}

#[test]
fn a_peer_that_is_gone_ends_the_call_when_its_session_does() {
    let mut pair = Pair::new(Script::CalledHangsUp, &[]);
    pair.ends[1].todo.clear();
    pair.run(Duration::from_secs(10));
    assert!(pair.ends.iter().all(|end| end.is_up));
    // From now on nothing arrives.
    pair.faults = (pair.sent.len()..pair.sent.len() + 1_000).map(|at| (at, Fault::Drop)).collect();
    pair.run(Duration::from_secs(4_000));
    pair.check();
    assert!(pair.now < Duration::from_secs(2_000), "{:?}", pair.now);
}

#[test]
fn a_session_is_refreshed_for_days() {
    let mut pair = Pair::new(Script::CalledHangsUp, &[]);
    pair.ends[0].todo.clear();
    pair.ends[1].todo = Vec::new();
    pair.script = Script::CallerHangsUp;
    let day = Duration::from_secs(24 * 3_600);
    pair.run(day);
    assert!(pair.ends.iter().all(|end| end.is_up), "{:?}", pair.ends[0].events);
    let refreshes = pair.ends.iter().flat_map(|end| &end.events);
    let refreshes = refreshes.filter(|event| *event == "RefreshDue").count();
    assert!((90..=100).contains(&refreshes), "{refreshes} refreshes a day of one in 15 minutes");
}

#[test]
fn a_flood_of_requests_does_not_keep_a_call_from_its_end() {
    let mut pair = Pair::new(Script::CallerHangsUp, &[]);
    pair.run(Duration::from_millis(1_000));
    assert!(pair.ends.iter().all(|end| end.is_up));
    let room = config(0).transactions.server_transactions;
    for number in 0..2 * room {
        let address = SocketAddr::from(([198, 51, 100, number as u8], 5060));
        let stranger = Hop { transport: Transport::Udp, address };
        let invite = format!(
            "INVITE sip:talk@192.0.2.1:5070 SIP/2.0\r\nVia: SIP/2.0/UDP {address};branch=z9hG4bK{number}\r\n\
             From: <sip:x@{address}>;tag={number}\r\nTo: <sip:talk@192.0.2.1>\r\nCall-ID: {number}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:x@{address}>\r\nRequire: what-nobody-has\r\n\r\n"
        );
        pair.ends[1].agent.handle_bytes(pair.now, stranger, invite.as_bytes());
        while pair.ends[1].agent.poll_transmit().is_some() {}
    }
    assert!(pair.ends[1].agent.counters().refused >= room as u64);
    pair.run(Duration::from_secs(600));
    pair.check();
    assert_eq!(pair.ends[1].events.last().map(String::as_str), Some("Ended"));
    let refused = pair.messages.iter().filter(
        |(_, message)| matches!(message, Message::Response(response) if response.status == 503),
    );
    assert_eq!(refused.count(), 0, "the call's own BYE is refused");
}

#[test]
fn retransmissions_double_up_to_t2_and_end_after_64_t1() {
    let mut pair = Pair::new(Script::CallerHangsUp, &[]);
    pair.faults = (0..1_000).map(|at| (at, Fault::Drop)).collect();
    pair.run(Duration::from_secs(600));
    let times: Vec<_> = pair.sent.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(times, ["0ns", "500ms", "1.5s", "3.5s", "7.5s", "15.5s", "31.5s"]);
    assert_eq!(pair.now, Duration::from_secs(32));
    assert_eq!(pair.ends[0].call, None);
}
