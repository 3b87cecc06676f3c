//! An application with commands of its own: a late answer to connect, commands as events, calls to the client, no deadlines.

use std::time::Duration;

use rehearsal_core::{
    amf::{Object, Value},
    rtmp::{
        command::{Command, Encoding},
        link::{Incoming, Link},
        message::{Control, UserControl},
        server::{Awaited, ConnectRequest, ServerEvent, ServerSession, SessionError},
    },
};

use super::{CONFIG, audio, call, codes, command, entropy, raw, use_stream};

const NOW: Duration = Duration::ZERO;

/// Sends commands and gives the events.
fn send(
    server: &mut ServerSession,
    link: &mut Link,
    commands: &[Command],
) -> Result<Vec<ServerEvent>, SessionError> {
    for command in commands {
        link.send_command(0, command, Encoding::Amf0);
    }
    let bytes = link.poll_output();
    let (mut input, mut events) = (&bytes[..], Vec::new());
    while let Some(event) = server.handle_input(NOW, &mut input, &mut entropy)? {
        events.push(event);
    }
    Ok(events)
}

/// The commands that the server has sent.
fn replies(server: &mut ServerSession, link: &mut Link) -> Vec<Command> {
    let bytes = server.poll_output();
    let (mut input, mut replies) = (&bytes[..], Vec::new());
    while let Some(incoming) = link.handle_input(NOW, &mut input).unwrap() {
        if let Incoming::Message(message) = incoming {
            replies.push(Command::parse(&message).unwrap());
        }
    }
    replies
}

fn connect() -> Command {
    let object = Object::new().with("app", "sip/bob@example.org");
    let arguments = ["bob".into(), "secret".into(), Value::Null, "narrowband".into()];
    let values: Vec<_> = std::iter::once(object.into()).chain(arguments).collect();
    command("connect", 1.0, &values)
}

/// A session whose owner has not answered connect.
fn asked() -> (ServerSession, Link) {
    let (mut server, mut link) = raw();
    let text = |text: &str| Some(text.to_owned());
    let request = ConnectRequest {
        app: "sip/bob@example.org".into(),
        arguments: vec![text("bob"), text("secret"), None, text("narrowband")],
        ..ConnectRequest::default()
    };
    let events = send(&mut server, &mut link, &[connect()]);
    assert_eq!(events, Ok(vec![ServerEvent::Connect(request)]));
    (server, link)
}

fn accepted() -> (ServerSession, Link) {
    let (mut server, mut link) = asked();
    server.accept_caller();
    assert_eq!(replies(&mut server, &mut link)[0].name, "_result");
    (server, link)
}

#[test]
fn connect_is_answered_as_late_as_its_owner_likes() {
    let (mut server, mut link) = asked();
    assert_eq!(server.poll_timeout(), None);
    assert_eq!(server.handle_timeout(Duration::from_secs(3600)), Ok(()));
    assert_eq!(replies(&mut server, &mut link), []);
    server.accept_caller();
    let replies = replies(&mut server, &mut link);
    let code = replies[0].argument(0).unwrap().as_object().unwrap().get_str("code");
    assert_eq!(code, Some("NetConnection.Connect.Success"));
}

#[test]
fn whoever_is_rejected_late_may_try_again_until_the_deadline_of_old() {
    let (mut server, mut link) = asked();
    server.reject_connect("403 Forbidden");
    let rejected = &replies(&mut server, &mut link)[0];
    let status = rejected.argument(0).unwrap().as_object().unwrap();
    assert_eq!((rejected.name.as_str(), rejected.transaction), ("_error", 1.0));
    assert_eq!(status.get_str("code"), Some("NetConnection.Connect.Rejected"));
    assert_eq!(status.get_str("description"), Some("403 Forbidden"));
    assert_eq!(server.poll_timeout(), Some(CONFIG.command));
    let events = send(&mut server, &mut link, &[connect()]).unwrap();
    assert!(matches!(events[..], [ServerEvent::Connect(_)]), "{events:?}");
}

#[test]
fn a_command_before_connect_is_answered_ends_the_session() {
    for name in ["createStream", "invite", "connect"] {
        let (mut server, mut link) = asked();
        let early = command(name, 2.0, &[Value::Null]);
        assert_eq!(send(&mut server, &mut link, &[early]), Err(SessionError::NotConnected));
    }
}

#[test]
fn commands_that_the_session_does_not_know_are_the_applications() {
    let (mut server, mut link) = accepted();
    let invite =
        command("invite", 4.0, &[Value::Null, "sip:alice@192.0.2.1".into(), "pcmu".into()]);
    let hold = command("hold", 0.0, &[Value::Null, true.into()]);
    let own = command("releaseStream", 5.0, &[Value::Null]);
    let events = send(&mut server, &mut link, &[invite, hold, own]).unwrap();
    let event = |name: &str, transaction, arguments: &[Value]| ServerEvent::Command {
        name: name.to_owned(),
        transaction,
        arguments: arguments.to_vec(),
    };
    let expected = [
        event("invite", 4.0, &["sip:alice@192.0.2.1".into(), "pcmu".into()]),
        event("hold", 0.0, &[true.into()]),
    ];
    assert_eq!(events, expected);
    let [released] = &replies(&mut server, &mut link)[..] else { panic!("one reply") };
    assert_eq!((released.name.as_str(), released.transaction), ("_result", 5.0));
}

#[test]
fn commands_are_answered_when_an_answer_was_asked_for() {
    let (mut server, mut link) = accepted();
    server.accept_command(0.0);
    server.refuse_command(0.0, "not now");
    assert_eq!(replies(&mut server, &mut link), []);
    server.accept_command(4.0);
    server.refuse_command(5.0, "not now");
    let replies = replies(&mut server, &mut link);
    assert_eq!(replies[0], command("_result", 4.0, &[Value::Null, Value::Undefined]));
    let status = replies[1].argument(0).unwrap().as_object().unwrap();
    assert_eq!((replies[1].name.as_str(), replies[1].transaction), ("_error", 5.0));
    assert_eq!(status.get_str("description"), Some("not now"));
}

#[test]
fn a_client_is_called_without_a_transaction() {
    let (mut server, mut link) = accepted();
    server.call_client("invited", vec!["sip:alice@192.0.2.1".into(), "sip:bob@example.org".into()]);
    let values = [Value::Null, "sip:alice@192.0.2.1".into(), "sip:bob@example.org".into()];
    assert_eq!(replies(&mut server, &mut link), [command("invited", 0.0, &values)]);
}

#[test]
fn a_caller_waits_for_calls_as_long_as_it_answers_pings() {
    let seconds = Duration::from_secs;
    let (mut server, mut link) = accepted();
    assert_eq!(server.poll_timeout(), Some(CONFIG.ping));
    let published = use_stream(&mut server, &mut link, "publish", "local");
    assert_eq!(server.poll_timeout(), Some(CONFIG.ping), "nobody has to speak all the time");
    server.end_stream(NOW, published);
    assert_eq!(codes(&replies(&mut server, &mut link)), ["NetStream.Unpublish.Success"]);
    for minute in 1..10 {
        let at = seconds(60 * minute);
        assert_eq!(server.poll_timeout(), Some(at));
        assert_eq!(server.handle_timeout(at), Ok(()));
        link.send_control(Control::User(UserControl::PingResponse(0)));
        let bytes = link.poll_output();
        server.handle_input(at, &mut &bytes[..], &mut entropy).unwrap();
    }
    assert_eq!(server.handle_timeout(seconds(600)), Ok(()));
    assert_eq!(server.handle_timeout(seconds(630)), Err(SessionError::Timeout(Awaited::Ping)));
}

#[test]
fn a_stream_that_was_ended_takes_no_media() {
    let (mut server, mut link) = accepted();
    let published = use_stream(&mut server, &mut link, "publish", "local");
    server.end_stream(NOW, published);
    link.send_message(6, &audio(published));
    assert_eq!(send(&mut server, &mut link, &[]), Ok(vec![]));
    let again = command("publish", 0.0, &[Value::Null, "local".into()]);
    let replies = call(&mut server, &mut link, published, again).unwrap();
    assert!(codes(&replies).contains(&"NetStream.Publish.Start"));
}
