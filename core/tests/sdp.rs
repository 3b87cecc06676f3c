//! Offers and answers between two gateways, and from hostile peers.

use proptest::{prelude::*, sample::subsequence};
use rehearsal_core::sdp::{
    Codec, DescriptionLimits, Local, MediaAgreement, Negotiated, Negotiator, OfferError,
};

fn negotiator(host: u8, codecs: Vec<Codec>, prefer_peers_order: bool) -> Negotiator {
    Negotiator::new(Local {
        address: [192, 0, 2, host].into(),
        audio_port: 40_000 + 10 * u16::from(host),
        video_port: Some(40_002 + 10 * u16::from(host)),
        codecs,
        prefer_peers_order,
        h264_parameters: Codec::H264_PARAMETERS.to_owned(),
        origin_id: host.into(),
        limits: DescriptionLimits::default(),
    })
}

/// Any of the codecs in any order.
fn codecs() -> impl Strategy<Value = Vec<Codec>> {
    subsequence(Codec::ALL.to_vec(), 0..=6).prop_shuffle()
}

/// Codecs that two sides have in common at least one of.
fn codecs_with_pcmu() -> impl Strategy<Value = Vec<Codec>> {
    codecs().prop_map(|mut codecs| {
        codecs.retain(|codec| *codec != Codec::Pcmu);
        codecs.push(Codec::Pcmu);
        codecs
    })
}

fn assert_mirrored(one: &Option<MediaAgreement>, other: &Option<MediaAgreement>) {
    assert_eq!(one.is_some(), other.is_some());
    let (Some(one), Some(other)) = (one, other) else { return };
    assert_eq!(one.codec, other.codec);
    assert_eq!(one.direction, other.direction.mirrored());
    assert_eq!(one.send_payload_type, other.receive_formats[0].payload_type);
    assert_eq!(one.receive_formats[0].payload_type, other.send_payload_type);
    assert_eq!(one.events.is_some(), other.events.is_some());
    if let (Some(one), Some(other)) = (&one.events, &other.events) {
        assert!(one.receive.contains(&other.send) && other.receive.contains(&one.send));
    }
}

fn assert_agreement(one: &Negotiated, other: &Negotiated) {
    assert_mirrored(&one.audio, &other.audio);
    assert_mirrored(&one.video, &other.video);
}

/// An offer that is answered; whether it was accepted.
fn exchange(from: &mut Negotiator, to: &mut Negotiator) -> bool {
    let offer = from.offer();
    match to.handle_offer(offer.as_bytes()) {
        Ok((answer, theirs)) => {
            let ours = from.handle_answer(answer.as_bytes()).expect("the answer fits");
            assert_agreement(&ours, &theirs);
            true
        }
        Err(error) => {
            assert_eq!(error, OfferError::NoCommonCodec);
            from.reject_offer();
            false
        }
    }
}

/// What happens in a call after it was set up.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// One side sets whether it holds, and says so.
    Hold { caller: bool, hold: bool },
    /// One side sets whether it holds, and the offer is lost or refused.
    Refused { caller: bool, hold: bool },
    /// Both set whether they hold, and their offers cross.
    Glare { caller_holds: bool, callee_holds: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let two = (any::<bool>(), any::<bool>());
    prop_oneof![
        two.prop_map(|(caller, hold)| Step::Hold { caller, hold }),
        two.prop_map(|(caller, hold)| Step::Refused { caller, hold }),
        two.prop_map(|(caller_holds, callee_holds)| Step::Glare { caller_holds, callee_holds }),
    ]
}

proptest! {
    #[test]
    fn both_sides_agree_unless_nothing_is_in_common(
        (one, other) in (codecs(), codecs()),
        prefer_peers_order in any::<bool>(),
    ) {
        let common = one.iter().any(|codec| codec.is_stream() && other.contains(codec));
        let mut caller = negotiator(1, one, false);
        let mut callee = negotiator(2, other, prefer_peers_order);
        prop_assert_eq!(exchange(&mut caller, &mut callee), common);
        prop_assert_eq!(exchange(&mut callee, &mut caller), common, "the other way round");
    }

    #[test]
    fn both_sides_stay_in_agreement_through_holds_refusals_and_glare(
        (one, other) in (codecs_with_pcmu(), codecs_with_pcmu()),
        steps in prop::collection::vec(step(), 0..20),
    ) {
        let mut caller = negotiator(1, one, false);
        let mut callee = negotiator(2, other, false);
        prop_assert!(exchange(&mut caller, &mut callee));
        let codec = caller.negotiated().audio.unwrap().codec;
        let (mut caller_holds, mut callee_holds) = (false, false);
        for step in steps {
            match step {
                Step::Hold { caller: true, hold } => {
                    caller_holds = hold;
                    caller.hold(hold);
                    prop_assert!(exchange(&mut caller, &mut callee));
                }
                Step::Hold { caller: false, hold } => {
                    callee_holds = hold;
                    callee.hold(hold);
                    prop_assert!(exchange(&mut callee, &mut caller));
                }
                Step::Refused { caller: by_caller, hold } => {
                    let side = if by_caller { &mut caller } else { &mut callee };
                    let before = side.negotiated();
                    side.hold(hold);
                    side.offer();
                    side.reject_offer();
                    prop_assert_eq!(side.negotiated(), before);
                }
                Step::Glare { caller_holds: one, callee_holds: other } => {
                    caller.hold(one);
                    callee.hold(other);
                    let (offer, crossing) = (caller.offer(), callee.offer());
                    prop_assert_eq!(callee.handle_offer(offer.as_bytes()), Err(OfferError::Glare));
                    prop_assert_eq!(caller.handle_offer(crossing.as_bytes()), Err(OfferError::Glare));
                    caller.reject_offer();
                    callee.reject_offer();
                    // The caller comes first the second time.
                    caller_holds = one;
                    caller.hold(one);
                    prop_assert!(exchange(&mut caller, &mut callee));
                    callee_holds = other;
                    callee.hold(other);
                    prop_assert!(exchange(&mut callee, &mut caller));
                }
            }
            assert_agreement(&caller.negotiated(), &callee.negotiated());
            let audio = caller.negotiated().audio.unwrap();
            prop_assert_eq!(audio.codec, codec, "no codec is changed in mid-call");
            prop_assert!(!(caller_holds && audio.direction.receive));
            prop_assert!(!(callee_holds && audio.direction.send));
        }
        caller.hold(false);
        prop_assert!(exchange(&mut caller, &mut callee));
        callee.hold(false);
        prop_assert!(exchange(&mut callee, &mut caller));
        let direction = caller.negotiated().audio.unwrap().direction;
        prop_assert!(direction.send && direction.receive, "both have resumed");
    }

    #[test]
    fn no_bytes_of_a_peer_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut gateway = negotiator(1, Codec::ALL.to_vec(), false);
        let _ = gateway.handle_offer(&body);
        gateway.offer();
        let _ = gateway.handle_answer(&body);
    }

    #[test]
    fn no_lines_of_a_peer_panic_and_what_fails_changes_nothing(
        lines in prop::collection::vec(prop_oneof![
            Just("c=IN IP4 198.51.100.7".to_owned()),
            Just("c=IN IP4 0.0.0.0".to_owned()),
            Just("c=IN IP4 224.0.0.1/127".to_owned()),
            (any::<u16>(), 0u8..=140, 0u8..=140)
                .prop_map(|(port, a, b)| format!("m=audio {port} RTP/AVP {a} {b} 0")),
            any::<u16>().prop_map(|port| format!("m=video {port}/2 RTP/AVPF 99 {port}")),
            Just("m=text 0  x".to_owned()),
            (0u8..=140, "[a-zA-Z0-9/ ]{0,12}").prop_map(|(n, x)| format!("a=rtpmap:{n} {x}")),
            (0u8..=140).prop_map(|n| format!("a=rtpmap:{n} telephone-event/8000")),
            (90u8..=100).prop_map(|n| format!("a=rtpmap:{n} H264/90000")),
            "[a-z]{1,8}:?[0-9a-z;= ]{0,12}".prop_map(|x| format!("a={x}")),
            any::<u32>().prop_map(|n| format!("a=rtcp:{n}")),
            any::<i32>().prop_map(|n| format!("a=ptime:{n}")),
            Just("a=inactive".to_owned()),
        ], 0..20),
        (answers, more) in (any::<bool>(), any::<bool>()),
    ) {
        let body = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\n{}\r\n", lines.join("\r\n"));
        let mut gateway = negotiator(1, Codec::ALL.to_vec(), false);
        if more {
            exchange(&mut gateway, &mut negotiator(2, vec![Codec::Pcmu], false));
        }
        let before = gateway.negotiated();
        let result = if answers {
            gateway.offer();
            gateway.handle_answer(body.as_bytes()).ok()
        } else {
            gateway.handle_offer(body.as_bytes()).ok().map(|(_, negotiated)| negotiated)
        };
        prop_assert_eq!(gateway.negotiated(), result.unwrap_or(before));
        prop_assert!(!gateway.is_offer_pending());
    }
}
