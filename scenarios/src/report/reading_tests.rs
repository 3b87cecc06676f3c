use super::*;

const PEERS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];

fn addresses() -> (SocketAddrV4, SocketAddrV4) {
    (SocketAddrV4::new(PEERS[0], 1935), SocketAddrV4::new(PEERS[1], 40_000))
}

fn of(events: Vec<(u64, TraceEvent)>) -> Timeline {
    let hosts = [("gateway".to_owned(), PEERS[0]), ("player".to_owned(), PEERS[1])];
    let kept: Vec<_> = events
        .into_iter()
        .enumerate()
        .map(|(index, (at_us, event))| Kept {
            index: index as u64,
            at_ns: at_us * 1_000,
            polls: Vec::new(),
            bytes: 0,
            event,
        })
        .collect();
    super::timeline(&hosts, kept.iter())
}

fn sent(seq: u64, bytes: u32) -> TraceEvent {
    let (from, to) = addresses();
    TraceEvent::SegmentSent { from, to, flags: Flags::ACK, seq, bytes }
}

fn delivered(seq: u64, bytes: u32) -> TraceEvent {
    let (from, to) = addresses();
    // A NAT has changed the port.
    let to = SocketAddrV4::new(*to.ip(), 50_000);
    TraceEvent::SegmentDelivered { from, to, flags: Flags::ACK, seq, bytes }
}

fn dropped(bytes: u32) -> TraceEvent {
    let (from, to) = addresses();
    TraceEvent::LinkDropped { from, to, bytes, reason: rehearsal_sim::trace::DropReason::Lost }
}

#[test]
fn a_packet_and_its_arrival_are_one_message_and_a_second_arrival_is_another() {
    let timeline = of(vec![
        (10, sent(1, 100)),
        (20, sent(101, 0)),
        (35, delivered(101, 0)),
        (40, delivered(1, 100)),
        (50, delivered(1, 100)),
    ]);
    let seen: Vec<_> = timeline.messages.iter().map(|m| (m.at_ns, m.fate, m.kind)).collect();
    assert_eq!(
        seen,
        [
            (10_000, Fate::Arrived(30_000), EventKind::Data),
            (20_000, Fate::Arrived(15_000), EventKind::Ack),
            (50_000, Fate::Arrived(0), EventKind::Data),
        ]
    );
    assert!(timeline.messages.iter().all(|message| message.ends == [0, 1]));
}

#[test]
fn a_loss_ends_the_youngest_message_of_its_length_or_is_a_mark() {
    let timeline = of(vec![
        (10, sent(1, 100)),
        (20, sent(101, 100)),
        (21, dropped(140)),
        (30, delivered(1, 100)),
        (40, dropped(999)),
    ]);
    let fates: Vec<_> = timeline.messages.iter().map(|message| message.fate).collect();
    assert_eq!(fates, [Fate::Arrived(20_000), Fate::Lost(1_000)]);
    assert!(timeline.texts[timeline.messages[1].text].ends_with(", lost: lost"));
    assert_eq!(timeline.marks.len(), 1);
    assert_eq!((timeline.marks[0].1, timeline.marks[0].2), (0, EventKind::Drop));
}

#[test]
fn who_is_no_host_has_a_lane_of_its_own() {
    let note = |who: &str| TraceEvent::App { who: who.to_owned(), what: "x".to_owned() };
    let timeline = of(vec![(1, note("player")), (2, note("oracle")), (3, note("oracle"))]);
    assert_eq!(timeline.lanes, ["gateway", "player", "oracle"]);
    assert_eq!(timeline.marks.iter().map(|mark| mark.1).collect::<Vec<_>>(), [1, 2, 2]);
}

#[test]
fn what_is_too_much_is_left_out_far_from_the_alarm_and_counted() {
    let events = (0..100).map(|index| (index * 10, sent(index, 1))).collect();
    let timeline = of(events);
    let cut = |focus_us: Option<u64>| {
        let mut timeline = timeline.clone();
        timeline.cut_to(focus_us, 16, 0);
        assert_eq!(timeline.messages.len(), 16);
        timeline
    };
    assert_eq!(cut(None).messages_left_out, [0, 84]);
    assert_eq!(cut(Some(500)).messages_left_out, [38, 46]);
    assert_eq!(cut(Some(9_999)).messages_left_out, [84, 0]);
    let mut all = timeline.clone();
    all.cut_to(None, 100, 0);
    assert_eq!(all, timeline);
}

#[test]
fn a_message_is_a_row_of_numbers() {
    let timeline = of(vec![(10, sent(7, 100)), (20, delivered(7, 100)), (30, sent(8, 1))]);
    let rows = serde_json::to_string(&timeline.messages).expect("it is JSON");
    assert_eq!(rows, r#"[[10,10,0,1,100,"data",7,0,0],[30,-1,0,1,1,"data",8,0,0]]"#);
}
