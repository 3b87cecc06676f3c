//! Offers and answers as phones and servers write them.

use super::*;

fn local(codecs: &[Codec]) -> Local {
    Local {
        address: [192, 0, 2, 10].into(),
        audio_port: 40_000,
        video_port: None,
        codecs: codecs.to_vec(),
        prefer_peers_order: false,
        h264_parameters: Codec::H264_PARAMETERS.to_owned(),
        origin_id: 7,
        limits: DescriptionLimits::default(),
    }
}

fn negotiator(codecs: &[Codec]) -> Negotiator {
    Negotiator::new(local(codecs))
}

const SIPP: &str = "v=0\r\n\
    o=user1 53655765 2353687637 IN IP4 198.51.100.7\r\n\
    s=-\r\n\
    c=IN IP4 198.51.100.7\r\n\
    t=0 0\r\n\
    m=audio 6000 RTP/AVP 0\r\n\
    a=rtpmap:0 PCMU/8000\r\n";

const LINPHONE: &str = "v=0\r\n\
    o=bob 3417 1201 IN IP4 198.51.100.8\r\n\
    s=Talk\r\n\
    c=IN IP4 198.51.100.8\r\n\
    t=0 0\r\n\
    a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics\r\n\
    m=audio 7078 RTP/AVP 96 97 98 0 8 101 99 100\r\n\
    a=rtpmap:96 opus/48000/2\r\n\
    a=fmtp:96 useinbandfec=1\r\n\
    a=rtpmap:97 speex/16000\r\n\
    a=fmtp:97 vbr=on\r\n\
    a=rtpmap:98 speex/8000\r\n\
    a=fmtp:98 vbr=on\r\n\
    a=rtpmap:101 telephone-event/48000\r\n\
    a=rtpmap:99 telephone-event/16000\r\n\
    a=rtpmap:100 telephone-event/8000\r\n\
    a=rtcp:7079\r\n\
    m=video 9078 RTP/AVP 102 103\r\n\
    a=rtpmap:102 VP8/90000\r\n\
    a=rtpmap:103 H264/90000\r\n\
    a=fmtp:103 profile-level-id=42801F\r\n";

const ASTERISK: &str = "v=0\r\n\
    o=root 1821 1821 IN IP4 198.51.100.9\r\n\
    s=Asterisk PBX 18\r\n\
    c=IN IP4 198.51.100.9\r\n\
    t=0 0\r\n\
    m=audio 16452 RTP/AVP 0 8 101\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-16\r\n\
    a=ptime:20\r\n\
    a=maxptime:150\r\n\
    a=sendrecv\r\n";

const BARESIP: &str = "v=0\r\n\
    o=- 3840251 1 IN IP6 2001:db8::5\r\n\
    s=-\r\n\
    c=IN IP6 2001:db8::5\r\n\
    t=0 0\r\n\
    a=tool:baresip 1.1.0\r\n\
    m=audio 23140 RTP/AVP 8 0 101\r\n\
    b=AS:125\r\n\
    a=rtpmap:8 PCMA/8000\r\n\
    a=rtpmap:0 PCMU/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-15\r\n\
    a=rtcp:23141\r\n\
    a=sendrecv\r\n\
    a=label:1\r\n\
    a=ssrc:1404 cname:sip:a@b\r\n\
    a=ptime:20\r\n";

/// The lines of a description from the first `m=` line on.
fn media_lines(text: &str) -> &str {
    &text[text.find("m=").unwrap()..]
}

#[test]
fn the_first_offer_has_all_codecs_in_order_with_their_usual_numbers() {
    let codecs = [Codec::Wideband, Codec::Narrowband, Codec::Pcma, Codec::H264, Codec::Dtmf];
    let mut caller = Negotiator::new(Local { video_port: Some(40_002), ..local(&codecs) });
    assert_eq!(
        caller.offer(),
        "v=0\r\no=- 7 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n\
         m=audio 40000 RTP/AVP 96 98 8 101 102\r\n\
         a=rtpmap:96 speex/16000\r\na=rtpmap:98 speex/8000\r\na=rtpmap:8 PCMA/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
         a=rtpmap:102 telephone-event/16000\r\na=fmtp:102 0-15\r\na=sendrecv\r\n\
         m=video 40002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n\
         a=fmtp:99 profile-level-id=420014;packetization-mode=1\r\n\
             a=rtcp-fb:99 nack pli\r\na=sendrecv\r\n"
    );
}

#[test]
fn an_answer_takes_our_preference_with_the_offerers_numbers() {
    let mut callee = negotiator(&[Codec::Wideband, Codec::Pcma, Codec::Dtmf]);
    let (answer, negotiated) = callee.handle_offer(LINPHONE.as_bytes()).unwrap();
    assert_eq!(
        media_lines(&answer),
        "m=audio 40000 RTP/AVP 97 99\r\na=rtpmap:97 speex/16000\r\n\
         a=rtpmap:99 telephone-event/16000\r\na=fmtp:99 0-15\r\na=sendrecv\r\n\
         m=video 0 RTP/AVP 102 103\r\n"
    );
    let audio = negotiated.audio.unwrap();
    assert_eq!(audio.codec, Codec::Wideband);
    let events = Format { payload_type: 99, codec: Codec::WidebandDtmf };
    assert_eq!(audio.events, Some(EventFormats { send: events, receive: vec![events] }));
    assert_eq!(audio.remote_rtp.to_string(), "198.51.100.8:7078");
    assert_eq!(negotiated.video, None);
}

#[test]
fn the_peers_order_counts_where_it_is_preferred() {
    let codecs = [Codec::Pcma, Codec::Pcmu];
    let agreed = |prefer_peers_order| {
        Negotiator::new(Local { prefer_peers_order, ..local(&codecs) })
            .handle_offer(ASTERISK.as_bytes())
            .unwrap()
            .1
            .audio
            .unwrap()
            .codec
    };
    assert_eq!(agreed(false), Codec::Pcma);
    assert_eq!(agreed(true), Codec::Pcmu);
}

#[test]
fn video_is_answered_with_the_parameters_of_the_offer() {
    let codecs = [Codec::Pcmu, Codec::H264];
    let mut callee = Negotiator::new(Local { video_port: Some(40_002), ..local(&codecs) });
    let (answer, negotiated) = callee.handle_offer(LINPHONE.as_bytes()).unwrap();
    assert!(answer.ends_with(
        "m=video 40002 RTP/AVP 103\r\na=rtpmap:103 H264/90000\r\n\
         a=fmtp:103 profile-level-id=42801F\r\na=sendrecv\r\n"
    ));
    assert_eq!(negotiated.video.unwrap().parameters.unwrap(), "profile-level-id=42801F");
}

#[test]
fn h264_that_may_be_fragmented_is_chosen_before_that_which_may_not() {
    let offer = format!(
        "{SIPP}m=video 6002 RTP/AVP 97 98\r\na=rtpmap:97 H264/90000\r\na=rtpmap:98 H264/90000\r\n\
         a=fmtp:97 packetization-mode=0\r\na=fmtp:98 profile-level-id=42e01f;packetization-mode=1\r\n"
    );
    let mut callee = Negotiator::new(Local { video_port: Some(2), ..local(&[Codec::H264]) });
    let video = callee.handle_offer(offer.as_bytes()).unwrap().1.video.unwrap();
    assert_eq!(video.send_payload_type, 98);
    assert!(video.takes_parts());
    let offer = offer.replace("packetization-mode=1", "level-asymmetry-allowed=1");
    let mut callee = Negotiator::new(Local { video_port: Some(2), ..local(&[Codec::H264]) });
    let video = callee.handle_offer(offer.as_bytes()).unwrap().1.video.unwrap();
    assert!(!video.takes_parts(), "nothing said is packetization-mode=0");
}

#[test]
fn an_answer_echoes_ptime() {
    let (answer, negotiated) =
        negotiator(&[Codec::Pcmu]).handle_offer(ASTERISK.as_bytes()).unwrap();
    assert!(answer.contains("a=ptime:20\r\n"));
    assert_eq!(negotiated.audio.unwrap().ptime_ms, Some(20));
}

#[test]
fn ipv6_is_spoken_with_those_who_do() {
    let own = Local { address: "2001:db8::1".parse().unwrap(), ..local(&[Codec::Pcma]) };
    let (answer, negotiated) = Negotiator::new(own).handle_offer(BARESIP.as_bytes()).unwrap();
    assert!(answer.contains("\r\nc=IN IP6 2001:db8::1\r\n"));
    assert_eq!(negotiated.audio.unwrap().remote_rtp.to_string(), "[2001:db8::5]:23140");
    assert!(matches!(
        negotiator(&[Codec::Pcma]).handle_offer(BARESIP.as_bytes()),
        Err(OfferError::Address(AddressError::OtherVersion(_)))
    ));
}

#[test]
fn lines_that_cannot_be_served_keep_their_place_closed() {
    let offer = SIPP
        .replace("m=audio", "m=text 5000 RTP/AVP 98\r\nm=audio 5998 RTP/SAVP 0\r\nm=audio")
        + "m=audio 6002 RTP/AVP 0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n";
    let (answer, _) = negotiator(&[Codec::Pcmu]).handle_offer(offer.as_bytes()).unwrap();
    let lines: Vec<_> = answer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=text 0 RTP/AVP 98",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 40000 RTP/AVP 0",
            "m=audio 0 RTP/AVP 0",
            "m=application 0 UDP/DTLS/SCTP webrtc-datachannel",
        ]
    );
}

#[test]
fn nothing_in_common_is_refused_and_changes_nothing() {
    let mut callee = negotiator(&[Codec::Pcma, Codec::Dtmf]);
    assert_eq!(callee.handle_offer(SIPP.as_bytes()), Err(OfferError::NoCommonCodec));
    assert_eq!(callee.negotiated(), Negotiated::default());
    callee.handle_offer(ASTERISK.as_bytes()).unwrap();
    let before = callee.negotiated();
    assert_eq!(callee.handle_offer(SIPP.as_bytes()), Err(OfferError::NoCommonCodec));
    assert_eq!(callee.negotiated(), before);
}

#[test]
fn each_way_of_holding_is_answered_by_its_mirror() {
    let mut callee = negotiator(&[Codec::Pcmu]);
    callee.handle_offer(SIPP.as_bytes()).unwrap();
    let cisco = SIPP.replace("c=IN IP4 198.51.100.7", "c=IN IP4 0.0.0.0");
    let cisco_line = format!("{SIPP}c=IN IP4 0.0.0.0\r\na=sendonly\r\n");
    let common = SIPP.replace("t=0 0\r\n", "t=0 0\r\na=inactive\r\n");
    let with = |attribute| format!("{SIPP}a={attribute}\r\n");
    for (offer, answered, held) in [
        (with("sendonly"), "a=recvonly", true),
        (with("inactive"), "a=inactive", true),
        (with("recvonly"), "a=sendonly", false),
        (common, "a=inactive", true),
        (cisco, "a=recvonly", true),
        (cisco_line, "a=recvonly", true),
        (SIPP.to_owned(), "a=sendrecv", false),
    ] {
        let (answer, negotiated) = callee.handle_offer(offer.as_bytes()).unwrap();
        assert_eq!(answer.lines().last(), Some(answered), "{offer}");
        assert_eq!(negotiated.is_held_by_peer(), held, "{offer}");
    }
}

#[test]
fn holding_says_sendonly_or_inactive_if_the_peer_holds_too_and_keeps_the_address() {
    let mut callee = negotiator(&[Codec::Pcmu]);
    callee.handle_offer(SIPP.as_bytes()).unwrap();
    callee.hold(true);
    let offer = callee.offer();
    assert!(offer.contains("c=IN IP4 192.0.2.10\r\n") && offer.ends_with("a=sendonly\r\n"));
    callee.handle_answer(format!("{SIPP}a=recvonly\r\n").as_bytes()).unwrap();
    let held = format!("{SIPP}a=sendonly\r\n");
    assert!(callee.handle_offer(held.as_bytes()).unwrap().0.ends_with("a=inactive\r\n"));
    assert!(callee.offer().ends_with("a=inactive\r\n"));
}

#[test]
fn the_version_goes_up_with_each_change_and_only_then() {
    let version = |text: &str| text.split(' ').nth(2).unwrap().to_owned();
    let mut caller = negotiator(&[Codec::Pcmu]);
    assert_eq!(version(&caller.offer()), "1");
    caller.handle_answer(SIPP.as_bytes()).unwrap();
    assert_eq!(version(&caller.offer()), "1");
    caller.reject_offer();
    caller.hold(true);
    assert_eq!(version(&caller.offer()), "2");
}

#[test]
fn a_refused_hold_is_rolled_back() {
    let mut caller = negotiator(&[Codec::Pcmu]);
    caller.offer();
    let before = caller.handle_answer(SIPP.as_bytes()).unwrap();
    caller.hold(true);
    let offer = caller.offer();
    assert_eq!(caller.offer(), offer, "it is the one that is pending");
    assert_eq!(caller.handle_offer(SIPP.as_bytes()), Err(OfferError::Glare));
    caller.reject_offer();
    assert_eq!(caller.negotiated(), before);
    let (answer, _) = caller.handle_offer(SIPP.as_bytes()).unwrap();
    assert!(answer.ends_with("a=sendrecv\r\n"));
}

#[test]
fn an_answer_with_other_numbers_is_sent_with_those_and_received_with_ours() {
    let mut caller = negotiator(&[Codec::Wideband, Codec::Pcmu, Codec::Dtmf]);
    caller.offer();
    let answer = SIPP.replace("AVP 0", "AVP 110 0 120")
        + "a=rtpmap:110 speex/16000\r\na=rtpmap:120 telephone-event/8000\r\n";
    let audio = caller.handle_answer(answer.as_bytes()).unwrap().audio.unwrap();
    assert_eq!((audio.codec, audio.send_payload_type), (Codec::Wideband, 110));
    assert_eq!(
        audio.receive_formats,
        [
            Format { payload_type: 96, codec: Codec::Wideband },
            Format { payload_type: 0, codec: Codec::Pcmu },
        ]
    );
    let events = |payload_type| Format { payload_type, codec: Codec::Dtmf };
    let expected = EventFormats { send: events(120), receive: vec![events(101)] };
    assert_eq!(audio.events, Some(expected), "better those of another clock than none");
    assert!(caller.offer().contains("m=audio 40000 RTP/AVP 96 0 101 102\r\n"));
}

#[test]
fn what_comes_by_the_numbers_of_before_is_known_until_the_peer_has_the_answer() {
    let mut caller = negotiator(&[Codec::Wideband, Codec::Dtmf]);
    caller.offer();
    let lines = |audio: u8, events: u8| {
        SIPP.replace("AVP 0", &format!("AVP {audio} {events}"))
            + &format!(
                "a=rtpmap:{audio} speex/16000\r\na=rtpmap:{events} telephone-event/16000\r\n"
            )
    };
    caller.handle_answer(lines(96, 102).as_bytes()).unwrap();
    let audio = caller.handle_offer(lines(98, 103).as_bytes()).unwrap().1.audio.unwrap();
    let numbers = |formats: &[Format]| formats.iter().map(|it| it.payload_type).collect::<Vec<_>>();
    assert_eq!(numbers(&audio.receive_formats), [98, 96]);
    assert_eq!(numbers(&audio.events.unwrap().receive), [103, 102]);
    let audio = caller.handle_offer(lines(102, 96).as_bytes()).unwrap().1.audio.unwrap();
    assert_eq!(numbers(&audio.receive_formats), [102, 98], "96 means events now");
}

#[test]
fn other_audio_can_be_asked_for_until_the_peer_has_taken_or_refused_it() {
    let mut callee = negotiator(&[Codec::Pcmu, Codec::Dtmf]);
    let offer = SIPP.replace("AVP 0", "AVP 0 8 97") + "a=rtpmap:97 speex/16000\r\n";
    callee.handle_offer(offer.as_bytes()).unwrap();
    callee.want(vec![Codec::Pcma, Codec::Wideband]);
    let asked = callee.offer();
    let rtp = "m=audio 40000 RTP/AVP 8 96 101 102\r\n";
    assert!(asked.contains(rtp), "8 means what it always does: {asked}");
    assert_eq!(callee.offered_audio().len(), 2);
    assert!(callee.reject_offer() && callee.wants_audio(), "it met another change");
    assert!(callee.offer().contains(rtp));
    let answer = SIPP.replace("AVP 0", "AVP 96") + "a=rtpmap:96 speex/16000\r\n";
    let audio = callee.handle_answer(answer.as_bytes()).unwrap().audio.unwrap();
    assert_eq!(audio.codec, Codec::Wideband);
    let numbers: Vec<u8> = audio.receive_formats.iter().map(|it| it.payload_type).collect();
    assert_eq!(numbers, [96, 0], "what was agreed on before may still be on its way");
    assert!(!callee.wants_audio() && callee.offered_audio().is_empty());
    let held = format!("{answer}a=sendonly\r\n");
    assert!(callee.handle_offer(held.as_bytes()).is_ok(), "it is the peer's to offer, too");
    callee.offer();
    assert!(!callee.reject_offer(), "that asked for nothing else");
}

#[test]
fn telephone_events_have_the_clock_of_the_audio() {
    let mut caller = negotiator(&[Codec::Wideband, Codec::Pcmu, Codec::Dtmf]);
    caller.offer();
    let both = "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:121 telephone-event/16000\r\n";
    let answer = SIPP.replace("AVP 0", "AVP 110 101 121") + "a=rtpmap:110 speex/16000\r\n" + both;
    let events = caller.handle_answer(answer.as_bytes()).unwrap().audio.unwrap().events.unwrap();
    let numbered = |payload_type, codec| Format { payload_type, codec };
    assert_eq!(events.send, numbered(121, Codec::WidebandDtmf));
    let receive = [numbered(101, Codec::Dtmf), numbered(102, Codec::WidebandDtmf)];
    assert_eq!(events.receive, receive);
    let narrow = negotiator(&[Codec::Pcmu, Codec::Dtmf]).offer();
    assert!(narrow.contains("m=audio 40000 RTP/AVP 0 101\r\n"), "{narrow}");
    let offer = SIPP.replace("AVP 0", "AVP 0 101 121") + both;
    let mut callee = negotiator(&[Codec::Pcmu, Codec::Dtmf]);
    let audio = callee.handle_offer(offer.as_bytes()).unwrap().1.audio.unwrap();
    assert_eq!(audio.events.unwrap().send, numbered(101, Codec::Dtmf));
}

#[test]
fn numbers_that_had_another_meaning_are_not_offered() {
    let mut callee = negotiator(&[Codec::Pcmu, Codec::Wideband, Codec::Dtmf]);
    let offer = SIPP.replace("AVP 0", "AVP 0 96 101")
        + "a=rtpmap:96 opus/48000/2\r\n\
         a=rtpmap:101 iLBC/8000\r\n";
    callee.handle_offer(offer.as_bytes()).unwrap();
    assert!(callee.offer().contains("m=audio 40000 RTP/AVP 0 97 98 102\r\n"));
}

#[test]
fn a_renewed_offer_keeps_lines_in_place_and_closed_ones_closed() {
    let codecs = [Codec::Pcmu, Codec::H264];
    let mut callee = Negotiator::new(Local { video_port: Some(40_002), ..local(&codecs) });
    let offer = SIPP.replace("m=audio", "m=text 5000 RTP/AVP 98\r\nm=audio");
    callee.handle_offer(offer.as_bytes()).unwrap();
    let offer = callee.offer();
    let lines: Vec<_> = offer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(lines, ["m=text 0 RTP/AVP 98", "m=audio 40000 RTP/AVP 0"]);
}

#[test]
fn lines_may_be_added_but_neither_dropped_nor_exchanged() {
    let mut callee = negotiator(&[Codec::Pcmu]);
    let two = format!("{SIPP}m=video 6002 RTP/AVP 31\r\n");
    callee.handle_offer(SIPP.as_bytes()).unwrap();
    callee.handle_offer(two.as_bytes()).unwrap();
    let before = callee.negotiated();
    assert_eq!(
        callee.handle_offer(SIPP.as_bytes()),
        Err(OfferError::FewerLines { offered: 1, agreed: 2 })
    );
    let exchanged = two.replace("m=audio", "m=text");
    assert_eq!(callee.handle_offer(exchanged.as_bytes()), Err(OfferError::OtherMedia(0)));
    assert_eq!(callee.negotiated(), before);
}

#[test]
fn a_peer_that_moves_shows_with_its_new_address_and_the_same_codec() {
    let mut callee = negotiator(&[Codec::Pcma, Codec::Pcmu]);
    callee.handle_offer(SIPP.as_bytes()).unwrap();
    let moved = ASTERISK.replace("198.51.100.9", "203.0.113.4");
    let audio = callee.handle_offer(moved.as_bytes()).unwrap().1.audio.unwrap();
    assert_eq!(audio.remote_rtp.to_string(), "203.0.113.4:16452");
    assert_eq!(audio.codec, Codec::Pcmu, "what is in use stays, though another is preferred");
}

#[test]
fn answers_that_do_not_fit_the_offer_end_it() {
    let wrong = [
        (SIPP.replace("AVP 0", "AVP 3").replace("0 PCMU", "3 GSM"), AnswerError::NotOffered(0)),
        (SIPP.replace("6000", "0"), AnswerError::NoCommonCodec),
        (SIPP.replace("RTP/AVP", "RTP/SAVP"), AnswerError::OtherMedia(0)),
        (SIPP.replace("m=audio", "m=video"), AnswerError::OtherMedia(0)),
        (
            format!("{SIPP}{}", media_lines(SIPP)),
            AnswerError::LineCount { answered: 2, offered: 1 },
        ),
        (
            SIPP.replace("c=IN IP4 198.51.100.7", "c=IN IP4 pbx.example"),
            AnswerError::Address(AddressError::NotIp("pbx.example".into())),
        ),
    ];
    for (answer, error) in wrong {
        let mut caller = negotiator(&[Codec::Pcmu]);
        caller.offer();
        assert_eq!(caller.handle_answer(answer.as_bytes()), Err(error), "{answer}");
        assert!(!caller.is_offer_pending());
    }
    assert_eq!(negotiator(&[]).handle_answer(SIPP.as_bytes()), Err(AnswerError::NoOffer));
}

#[test]
fn a_port_for_video_is_missed_where_the_offer_has_video_that_can_be_carried() {
    let codecs = [Codec::Pcmu, Codec::H264];
    let mut callee = negotiator(&codecs);
    assert!(!callee.lacks_video_port_for(SIPP.as_bytes()));
    assert!(callee.lacks_video_port_for(LINPHONE.as_bytes()));
    assert!(!negotiator(&[Codec::Pcmu]).lacks_video_port_for(LINPHONE.as_bytes()));
    callee.set_video_port(Some(40_002));
    assert!(!callee.lacks_video_port_for(LINPHONE.as_bytes()), "it is there");
    assert!(callee.handle_offer(LINPHONE.as_bytes()).unwrap().1.video.is_some());
}

#[test]
fn the_offerers_own_parameter_sets_are_not_said_of_what_it_is_to_receive() {
    let mut callee = negotiator(&[Codec::H264]);
    callee.set_video_port(Some(40_002));
    let offer = SIPP.replace("m=audio", "m=video").replace(
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:0 H264/90000\r\na=fmtp:0 profile-level-id=42e01e; sprop-parameter-sets=Z0IAHoA=,aIA=;packetization-mode=1",
    );
    let (answer, agreed) = callee.handle_offer(offer.as_bytes()).unwrap();
    assert!(
        answer.contains("a=fmtp:0 profile-level-id=42e01e;packetization-mode=1\r\n"),
        "{answer}"
    );
    assert!(agreed.video.unwrap().parameters.unwrap().contains("sprop-parameter-sets="));
}

#[test]
fn lost_pictures_are_told_of_by_rtcp_where_both_ends_say_so() {
    let answer = |feedback: &str| {
        let video = format!("m=video 6002 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n{feedback}");
        let mut callee = negotiator(&[Codec::Pcmu, Codec::H264]);
        callee.set_video_port(Some(40_002));
        let (answer, agreed) = callee.handle_offer(format!("{SIPP}{video}").as_bytes()).unwrap();
        (answer.contains("a=rtcp-fb:99 nack pli\r\n"), agreed.video.unwrap().picture_loss)
    };
    assert_eq!(answer(""), (false, false));
    assert_eq!(answer("a=rtcp-fb:* nack pli\r\na=rtcp-fb:* ccm fir\r\n"), (true, true));
    let mut caller = negotiator(&[Codec::H264]);
    caller.set_video_port(Some(40_002));
    assert!(caller.offer().contains("a=rtcp-fb:99 nack pli\r\n"));
}

#[test]
fn what_comes_under_the_number_of_before_is_still_meant_after_the_peer_has_offered_another() {
    let speex = |number: u8| {
        let map = format!("a=rtpmap:{number} speex/8000");
        SIPP.replace("RTP/AVP 0", &format!("RTP/AVP {number}"))
            .replace("a=rtpmap:0 PCMU/8000", &map)
    };
    let mut caller = negotiator(&[Codec::Narrowband]);
    caller.offer();
    // It wants to hear it as 96, and says it as the 98 that was offered.
    let agreed = caller.handle_answer(speex(96).as_bytes()).unwrap().audio.unwrap();
    let numbers = |agreed: &MediaAgreement| -> Vec<u8> {
        agreed.receive_formats.iter().map(|format| format.payload_type).collect()
    };
    assert_eq!((agreed.send_payload_type, numbers(&agreed)), (96, vec![98]));
    let (_, agreed) = caller.handle_offer(speex(96).as_bytes()).unwrap();
    let agreed = agreed.audio.unwrap();
    assert_eq!((agreed.send_payload_type, numbers(&agreed)), (96, vec![96, 98]));
    let other = speex(96).replace("AVP 96", "AVP 96 98") + "a=rtpmap:98 opus/48000/2\r\n";
    let (_, agreed) = caller.handle_offer(other.as_bytes()).unwrap();
    assert_eq!(numbers(&agreed.audio.unwrap()), [96], "it means something else now");
}
