//! A client session and a server session against each other, and the server against what a bare link sends.

mod any_bytes;
mod application;

use std::time::Duration;

use bytes::Bytes;
use rehearsal_core::rtmp::{
    chunk::{ChunkLimits, MessageHead},
    client::{ClientConfig, ClientEvent, ClientSession, Intent},
    command::{Command, Encoding, Status},
    handshake::{ClientForm, Scheme},
    link::{Incoming, Link},
    message::{Control, Message, UserControl, chunk_stream, type_id},
    server::{Awaited, ServerEvent, ServerSession, SessionConfig, SessionError},
};

const LIMITS: ChunkLimits =
    ChunkLimits { message_bytes: 1 << 20, chunk_bytes: 1 << 20, chunk_streams: 16 };

const CONFIG: SessionConfig = SessionConfig {
    chunk_limits: LIMITS,
    chunk_bytes: 4096,
    window_ack_bytes: 2_500_000,
    message_streams: 3,
    name_bytes: 32,
    handshake: Duration::from_secs(10),
    command: Duration::from_secs(20),
    idle: Duration::from_secs(180),
    publisher_silence: Duration::from_secs(15),
    ping: Duration::from_secs(60),
    ping_timeout: Duration::from_secs(30),
};

fn entropy(buf: &mut [u8]) {
    buf.iter_mut().enumerate().for_each(|(index, byte)| *byte = (index * 13 % 255) as u8);
}

fn client(intent: Intent, name: &str, form: ClientForm, encoding: Encoding) -> ClientSession {
    let config = ClientConfig {
        form,
        chunk_limits: LIMITS,
        chunk_bytes: 1000,
        encoding,
        app: "live".into(),
        name: name.into(),
        intent,
    };
    ClientSession::new(config, Duration::ZERO, &mut entropy)
}

/// A client and a server joined by a wire that cuts into pieces of `step` bytes.
struct Pair {
    client: ClientSession,
    server: ServerSession,
    step: usize,
    /// What the server's owner would refuse.
    taken: Option<&'static str>,
    client_events: Vec<ClientEvent>,
    server_events: Vec<ServerEvent>,
}

impl Pair {
    fn new(client: ClientSession, step: usize) -> Self {
        let server = ServerSession::new(CONFIG, Duration::ZERO);
        let (client_events, server_events) = (Vec::new(), Vec::new());
        Self { client, server, step, taken: None, client_events, server_events }
    }

    /// Moves bytes until both sides are quiet.
    fn drive(&mut self) {
        loop {
            let (up, down) = (self.client.poll_output(), self.server.poll_output());
            if up.is_empty() && down.is_empty() {
                return;
            }
            for mut piece in up.chunks(self.step) {
                while let Some(event) =
                    self.server.handle_input(Duration::ZERO, &mut piece, &mut entropy).unwrap()
                {
                    self.decide(&event);
                    self.server_events.push(event);
                }
            }
            for mut piece in down.chunks(self.step) {
                while let Some(event) =
                    self.client.handle_input(Duration::ZERO, &mut piece, &mut entropy).unwrap()
                {
                    self.client_events.push(event);
                }
            }
        }
    }

    fn decide(&mut self, event: &ServerEvent) {
        let now = Duration::ZERO;
        match event {
            ServerEvent::Connect(_) => self.server.accept_connect(),
            ServerEvent::Publish { stream_id, name } if Some(name.as_str()) == self.taken => {
                let status = Status::error("NetStream.Publish.BadName", "taken");
                self.server.refuse(now, *stream_id, status);
            }
            ServerEvent::Publish { stream_id, name } => {
                self.server.accept_publish(now, *stream_id, name);
            }
            ServerEvent::Play { stream_id, name } => self.server.accept_play(now, *stream_id, name),
            _ => {}
        }
    }
}

#[test]
fn publishing_works_in_every_form_encoding_and_segmentation() {
    let forms =
        [ClientForm::Simple, ClientForm::Digest(Scheme::Zero), ClientForm::Digest(Scheme::One)];
    for form in forms {
        for (encoding, step) in
            [(Encoding::Amf0, 1), (Encoding::Amf3, 7), (Encoding::Amf0, 100_000)]
        {
            let client = client(Intent::Publish, "cam?token=1", form, encoding);
            let mut pair = Pair::new(client, step);
            pair.drive();
            assert!(pair.client_events.contains(&ClientEvent::Started));
            let name = "cam".to_owned();
            assert!(pair.server_events.contains(&ServerEvent::Publish { stream_id: 1, name }));

            pair.server_events.clear();
            pair.client.send_media(9, 0x0100_0000, Bytes::from(vec![7; 5000]));
            pair.client.send_media(8, 0x0100_0001, Bytes::from_static(b"aac"));
            pair.drive();
            let times: Vec<_> = pair
                .server_events
                .iter()
                .map(|event| match event {
                    ServerEvent::Media { stream_id: 1, media } => {
                        (media.type_id, media.timestamp_ms, media.payload.len())
                    }
                    other => panic!("{other:?}"),
                })
                .collect();
            assert_eq!(times, [(9, 0x0100_0000, 5000), (8, 0x0100_0001, 3)]);
        }
    }
}

#[test]
fn a_taken_name_is_refused_as_bad_name() {
    let mut pair =
        Pair::new(client(Intent::Publish, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    pair.taken = Some("cam");
    pair.drive();
    let refused = ClientEvent::Refused {
        code: "NetStream.Publish.BadName".into(),
        description: "taken".into(),
    };
    assert!(pair.client_events.contains(&refused), "{:?}", pair.client_events);
}

#[test]
fn a_player_starts_pauses_and_stops() {
    let mut pair = Pair::new(client(Intent::Play, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    pair.drive();
    assert!(pair.client_events.contains(&ClientEvent::Started));
    assert!(pair.client_events.contains(&ClientEvent::User(UserControl::StreamBegin(1))));
    for paused in [true, false] {
        pair.server_events.clear();
        pair.client.send_pause(paused);
        pair.drive();
        assert_eq!(pair.server_events, [ServerEvent::Pause { stream_id: 1, paused }]);
    }
    pair.server_events.clear();
    pair.client.send_close();
    pair.drive();
    assert_eq!(pair.server_events, [ServerEvent::Closed { stream_id: 1 }]);
    let stopped = ClientEvent::Status { code: "NetStream.Play.Stop".into() };
    assert_eq!(pair.client_events.last(), Some(&stopped));
}

#[test]
fn unpublishing_is_confirmed_once() {
    let mut pair =
        Pair::new(client(Intent::Publish, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    pair.drive();
    pair.server_events.clear();
    pair.client.send_close();
    pair.drive();
    assert_eq!(pair.server_events, [ServerEvent::Closed { stream_id: 1 }]);
    let unpublished = ClientEvent::Status { code: "NetStream.Unpublish.Success".into() };
    assert_eq!(pair.client_events.iter().filter(|event| **event == unpublished).count(), 1);
}

/// A server session past the handshake, with a bare link to speak to it.
fn raw() -> (ServerSession, Link) {
    let mut server = ServerSession::new(CONFIG, Duration::ZERO);
    let mut c0c1c2 = vec![3; 1];
    c0c1c2.extend([0; 2 * 1536]);
    let mut input = &c0c1c2[..];
    assert_eq!(server.handle_input(Duration::ZERO, &mut input, &mut entropy), Ok(None));
    server.poll_output();
    (server, Link::new(LIMITS, Duration::ZERO))
}

/// Sends one command and gives the replies.
fn call(
    server: &mut ServerSession,
    link: &mut Link,
    stream_id: u32,
    command: Command,
) -> Result<Vec<Command>, SessionError> {
    link.send_command(stream_id, &command, Encoding::Amf0);
    let bytes = link.poll_output();
    let mut input = &bytes[..];
    while let Some(event) = server.handle_input(Duration::ZERO, &mut input, &mut entropy)? {
        match event {
            ServerEvent::Connect(_) => server.accept_connect(),
            ServerEvent::Play { stream_id, name } => {
                server.accept_play(Duration::ZERO, stream_id, &name);
            }
            ServerEvent::Publish { stream_id, name } => {
                server.accept_publish(Duration::ZERO, stream_id, &name);
            }
            _ => {}
        }
    }
    let bytes = server.poll_output();
    let mut input = &bytes[..];
    let mut replies = Vec::new();
    while let Some(incoming) = link.handle_input(Duration::ZERO, &mut input).unwrap() {
        if let Incoming::Message(message) = incoming
            && message.type_id == 20
        {
            replies.push(Command::parse(&message).unwrap());
        }
    }
    Ok(replies)
}

fn command(name: &str, transaction: f64, values: &[rehearsal_core::amf::Value]) -> Command {
    Command { name: name.into(), transaction, values: values.to_vec() }
}

fn connected() -> (ServerSession, Link) {
    use rehearsal_core::amf::Object;
    let (mut server, mut link) = raw();
    let object = Object::new().with("app", "live");
    let replies =
        call(&mut server, &mut link, 0, command("connect", 1.0, &[object.into()])).unwrap();
    assert_eq!(replies[0].name, "_result");
    (server, link)
}

#[test]
fn every_call_is_answered_with_its_transaction() {
    use rehearsal_core::amf::Value;
    let (mut server, mut link) = connected();
    let names =
        ["releaseStream", "FCPublish", "FCSubscribe", "_checkbw", "getStreamLength", "whatever"];
    for (index, name) in names.into_iter().enumerate() {
        let transaction = 10.5 + index as f64;
        let sent = command(name, transaction, &[Value::Null, "cam".into()]);
        let replies = call(&mut server, &mut link, 0, sent).unwrap();
        assert_eq!((replies[0].name.as_str(), replies[0].transaction), ("_result", transaction));
    }
    let unasked = command("whatever", 0.0, &[Value::Null]);
    assert_eq!(call(&mut server, &mut link, 0, unasked), Ok(vec![]));
}

#[test]
fn a_second_connect_changes_nothing_and_answers_are_not_answered() {
    use rehearsal_core::amf::{Object, Value};
    let (mut server, mut link) = connected();
    let object = Object::new().with("app", "elsewhere");
    let again = command("connect", 7.0, &[object.into()]);
    let replies = call(&mut server, &mut link, 0, again).unwrap();
    assert_eq!(replies, [command("_result", 7.0, &[Value::Null, Value::Null])]);
    for name in ["_result", "_error", "onStatus"] {
        let sent = command(name, 8.0, &[Value::Null]);
        assert_eq!(call(&mut server, &mut link, 0, sent), Ok(vec![]), "{name}");
    }
    let publish = command("createStream", 9.0, &[Value::Null]);
    assert_eq!(call(&mut server, &mut link, 0, publish).unwrap()[0].name, "_result");
}

#[test]
fn message_streams_are_numbered_from_one_limited_and_reused() {
    use rehearsal_core::amf::Value;
    let (mut server, mut link) = connected();
    let mut create = || {
        let sent = command("createStream", 2.0, &[Value::Null]);
        let replies = call(&mut server, &mut link, 0, sent).unwrap();
        (replies[0].name.clone(), replies[0].number(0))
    };
    for id in [1.0, 2.0, 3.0] {
        assert_eq!(create(), ("_result".into(), Some(id)));
    }
    assert_eq!(create().0, "_error");
    let delete = command("deleteStream", 0.0, &[Value::Null, 2.0.into()]);
    assert_eq!(call(&mut server, &mut link, 0, delete), Ok(vec![]));
    let sent = command("createStream", 2.0, &[Value::Null]);
    assert_eq!(call(&mut server, &mut link, 0, sent).unwrap()[0].number(0), Some(2.0));
}

#[test]
fn enhanced_clients_are_told_what_passes_through() {
    use rehearsal_core::amf::{Object, Value};
    let (mut server, mut link) = raw();
    let list = Value::StrictArray(vec!["hvc1".into()]);
    let object = Object::new().with("app", "live").with("fourCcList", list);
    let replies =
        call(&mut server, &mut link, 0, command("connect", 1.0, &[object.into()])).unwrap();
    let Some(Value::StrictArray(codecs)) = replies[0].object().unwrap().get("fourCcList") else {
        panic!("no fourCcList in {replies:?}");
    };
    for codec in ["hvc1", "av01", "vp09", "avc1", "Opus", "fLaC"] {
        assert!(codecs.contains(&codec.into()), "{codec}");
    }
}

#[test]
fn commands_before_connect_end_the_session() {
    use rehearsal_core::amf::Value;
    let (mut server, mut link) = raw();
    let sent = command("createStream", 2.0, &[Value::Null]);
    assert_eq!(call(&mut server, &mut link, 0, sent), Err(SessionError::NotConnected));
}

#[test]
fn an_unusable_app_or_name_is_refused() {
    use rehearsal_core::amf::{Object, Value};
    let (mut server, mut link) = raw();
    let object = Object::new().with("app", "?x");
    let replies =
        call(&mut server, &mut link, 0, command("connect", 1.0, &[object.into()])).unwrap();
    assert_eq!(replies[0].name, "_error");

    let (mut server, mut link) = connected();
    call(&mut server, &mut link, 0, command("createStream", 2.0, &[Value::Null])).unwrap();
    for name in ["", "?k=v", "a\u{7}", &"x".repeat(33)] {
        let sent = command("publish", 3.0, &[Value::Null, name.into(), "live".into()]);
        let replies = call(&mut server, &mut link, 1, sent).unwrap();
        let code = replies[0].argument(0).unwrap().as_object().unwrap().get_str("code");
        assert_eq!(code, Some("NetStream.Publish.BadName"), "{name:?}");
    }
}

#[test]
fn deadlines_fire_when_due_and_not_before() {
    let seconds = Duration::from_secs;
    let expired = |awaited| Err(SessionError::Timeout(awaited));
    let almost = Duration::from_millis(1);

    let mut server = ServerSession::new(CONFIG, seconds(0));
    assert_eq!(server.poll_timeout(), Some(seconds(10)));
    assert_eq!(server.handle_timeout(seconds(10) - almost), Ok(()));
    assert_eq!(server.handle_timeout(seconds(10)), expired(Awaited::Handshake));

    let (mut server, _) = raw();
    assert_eq!(server.handle_timeout(seconds(20) - almost), Ok(()));
    assert_eq!(server.handle_timeout(seconds(20)), expired(Awaited::Command));

    let mut pair =
        Pair::new(client(Intent::Publish, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    pair.drive();
    assert_eq!(pair.server.poll_timeout(), Some(seconds(15)));
    assert_eq!(pair.server.handle_timeout(seconds(15)), expired(Awaited::Media));

    let mut pair = Pair::new(client(Intent::Play, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    pair.drive();
    assert_eq!(pair.server.poll_timeout(), Some(seconds(60)));
    assert_eq!(pair.server.handle_timeout(seconds(60)), Ok(()), "a ping is due, nothing else");
    assert!(!pair.server.poll_output().is_empty());
    assert_eq!(pair.server.poll_timeout(), Some(seconds(90)));
    assert_eq!(pair.server.handle_timeout(seconds(90)), expired(Awaited::Ping));

    let mut pair = Pair::new(client(Intent::Play, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    let never_ping = SessionConfig { ping: seconds(3600), ..CONFIG };
    pair.server = ServerSession::new(never_ping, seconds(0));
    pair.drive();
    assert_eq!(pair.server.poll_timeout(), Some(seconds(3600)), "a player may wait");
    pair.client.send_close();
    pair.drive();
    assert_eq!(pair.server.handle_timeout(seconds(180) - almost), Ok(()));
    assert_eq!(pair.server.handle_timeout(seconds(180)), expired(Awaited::NextStream));
}

#[test]
fn a_player_that_answers_its_pings_is_pinged_for_ever() {
    let seconds = Duration::from_secs;
    let (mut server, mut link) = connected();
    use_stream(&mut server, &mut link, "play", "cam");
    for minute in 1..5 {
        let at = seconds(minute * 60);
        assert_eq!(server.poll_timeout(), Some(at));
        assert_eq!(server.handle_timeout(at), Ok(()));
        assert!(!server.poll_output().is_empty(), "a ping");
        assert_eq!(server.poll_timeout(), Some(at + seconds(30)));
        link.send_control(Control::User(UserControl::PingResponse(0)));
        let bytes = link.poll_output();
        server.handle_input(at, &mut &bytes[..], &mut entropy).unwrap();
    }
}

/// Creates a stream and publishes or plays on it.
fn use_stream(server: &mut ServerSession, link: &mut Link, what: &str, name: &str) -> u32 {
    use rehearsal_core::amf::Value;
    let create = command("createStream", 2.0, &[Value::Null]);
    let stream_id = call(server, link, 0, create).unwrap()[0].number(0).unwrap() as u32;
    call(server, link, stream_id, command(what, 3.0, &[Value::Null, name.into()])).unwrap();
    stream_id
}

/// Codes of the statuses among replies.
fn codes(replies: &[Command]) -> Vec<&str> {
    let statuses = replies.iter().filter(|reply| reply.name == "onStatus");
    statuses
        .map(|status| status.argument(0).unwrap().as_object().unwrap().get_str("code").unwrap())
        .collect()
}

#[test]
fn streams_are_used_again_and_again() {
    use rehearsal_core::amf::Value;
    let (mut server, mut link) = connected();
    let stream_id = use_stream(&mut server, &mut link, "publish", "a");
    let mut send = |name: &str, values: &[Value]| {
        let replies = call(&mut server, &mut link, stream_id, command(name, 0.0, values)).unwrap();
        codes(&replies).join(" ").replace("NetStream.", "")
    };
    let named = |name: &str| [Value::Null, name.into()];
    // As FMLE does, as Flash does, and as Flowplayer does.
    assert_eq!(send("FCUnpublish", &named("a")), "Unpublish.Success");
    assert_eq!(send("publish", &named("b")), "Publish.Start");
    assert_eq!(send("publish", &[Value::Null, false.into()]), "Unpublish.Success");
    assert_eq!(send("play", &named("c")), "Play.Reset Play.Start");
    assert_eq!(send("closeStream", &[Value::Null]), "Play.Stop");
    assert_eq!(send("closeStream", &[Value::Null]), "");
    assert_eq!(send("play", &named("d")), "Play.Reset Play.Start");
    assert_eq!(send("play", &named("e")), "Play.Reset Play.Start");
    assert_eq!(send("pauseRaw", &[Value::Null, true.into(), 0.0.into()]), "Pause.Notify");
    assert_eq!(send("seek", &[Value::Null, 5.0.into()]), "Seek.Failed");
    assert_eq!(send("play", &[Value::Null, false.into()]), "Play.Stop");
}

#[test]
fn one_connection_publishes_and_plays() {
    let (mut server, mut link) = connected();
    let published = use_stream(&mut server, &mut link, "publish", "local");
    let played = use_stream(&mut server, &mut link, "play", "remote");
    assert_ne!(published, played);
    link.send_message(6, &audio(published));
    link.send_message(6, &audio(played));
    let bytes = link.poll_output();
    let mut input = &bytes[..];
    let mut streams = Vec::new();
    while let Some(event) = server.handle_input(Duration::ZERO, &mut input, &mut entropy).unwrap() {
        if let ServerEvent::Media { stream_id, .. } = event {
            streams.push(stream_id);
        }
    }
    assert_eq!(streams, [published], "media on a played stream is nobody's");
}

fn audio(stream_id: u32) -> Message {
    let payload = Bytes::from_static(&[0xaf, 1, 0]);
    Message { type_id: type_id::AUDIO, stream_id, timestamp_ms: 0, payload }
}

#[test]
fn each_publisher_of_a_connection_has_its_own_silence() {
    let (mut server, mut link) = connected();
    let busy = use_stream(&mut server, &mut link, "publish", "busy");
    use_stream(&mut server, &mut link, "publish", "silent");
    for second in 1..15 {
        link.send_message(6, &audio(busy));
        let bytes = link.poll_output();
        let now = Duration::from_secs(second);
        server.handle_input(now, &mut &bytes[..], &mut entropy).unwrap();
    }
    let expired = Err(SessionError::Timeout(Awaited::Media));
    assert_eq!(server.handle_timeout(Duration::from_secs(15)), expired);
}

#[test]
fn a_refused_name_does_not_prolong_the_wait_for_a_good_one() {
    let mut pair =
        Pair::new(client(Intent::Publish, "cam", ClientForm::Simple, Encoding::Amf0), 999);
    pair.taken = Some("cam");
    pair.drive();
    let expired = Err(SessionError::Timeout(Awaited::Command));
    assert_eq!(pair.server.handle_timeout(Duration::from_secs(20)), expired);
}

#[test]
fn playing_again_keeps_the_chunk_streams_in_step_with_the_owners_frames() {
    use rehearsal_core::amf::Value;
    let (mut server, mut link) = connected();
    let mut wire = server.poll_output();
    let create = command("createStream", 2.0, &[Value::Null]);
    call(&mut server, &mut link, 0, create).unwrap();
    for _ in 0..3 {
        link.send_command(1, &command("play", 3.0, &[Value::Null, "cam".into()]), Encoding::Amf0);
        let bytes = link.poll_output();
        let mut input = &bytes[..];
        while let Some(event) =
            server.handle_input(Duration::ZERO, &mut input, &mut entropy).unwrap()
        {
            if let ServerEvent::Play { stream_id, name } = event {
                server.accept_play(Duration::ZERO, stream_id, &name);
            }
        }
        wire.extend(server.poll_output());
        // A frame as the owner writes it, between what the session writes.
        let head = MessageHead::new(chunk_stream::DATA, type_id::DATA_AMF0, 0, 300);
        wire.extend(head.first());
        wire.extend([9; 300]);
    }
    let mut input = &wire[..];
    let mut lengths = Vec::new();
    while let Some(incoming) = link.handle_input(Duration::ZERO, &mut input).unwrap() {
        if let Incoming::Message(message) = incoming
            && message.type_id == type_id::DATA_AMF0
        {
            lengths.push(message.payload.len());
        }
    }
    assert_eq!(lengths, [24, 300, 24, 300, 24, 300]);
}

#[test]
fn what_a_peer_calls_its_stream_is_not_repeated_without_bound() {
    use rehearsal_core::amf::Value;
    let (mut server, mut link) = connected();
    for name in ["FCPublish", "FCUnpublish", "FCSubscribe"] {
        let long = "\u{fffd}".repeat(300_000);
        let sent = command(name, 4.0, &[Value::Null, long.into()]);
        let replies = call(&mut server, &mut link, 0, sent).unwrap();
        let length: usize = replies.iter().map(|reply| reply.encode(Encoding::Amf0).1.len()).sum();
        assert!(length < 400, "{name}: {length} bytes");
    }
}

#[test]
fn control_characters_are_in_no_name() {
    use rehearsal_core::amf::Object;
    let (mut server, mut link) = raw();
    let object = Object::new().with("app", "li\nve");
    let replies =
        call(&mut server, &mut link, 0, command("connect", 1.0, &[object.into()])).unwrap();
    assert_eq!(replies[0].name, "_error");
}
