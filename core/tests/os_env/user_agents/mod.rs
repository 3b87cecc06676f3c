//! The application `sip` from both ends: clients over RTMP, and a phone with its registrar, on real sockets.
//!
//! Each step waits for what the step before it leads to, so that nothing depends on how fast this machine is.

mod client;
mod phone;
mod pictures;

use std::net::SocketAddr;

use rehearsal_core::{
    amf::Value,
    config::{Config, Route},
    env::Os,
    gateway::{Ended, Gateway},
    sip::{headers::HeaderName, message::Fields, method::Method},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use self::{
    client::Client,
    phone::{Phone, rtp_of},
};
use crate::{any_port, in_time};

/// A gateway that serves.
struct Served {
    rtmp: SocketAddr,
    http: SocketAddr,
    sip: SocketAddr,
    shutdown: CancellationToken,
    run: JoinHandle<Ended>,
}

impl Served {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.rtmp.listen = any_port();
        config.http.listen = any_port();
        config.sip.listen = any_port();
        config.sip.client_domains = vec!["*".to_owned()];
        config.sip.max_clients = 2;
        config.live.max_streams = 16;
        change(&mut config);
        let shutdown = CancellationToken::new();
        let gateway = Gateway::bind(Os, config, shutdown.clone()).await.unwrap();
        let (rtmp, http) = (gateway.rtmp_addr(), gateway.http_addr());
        let sip = gateway.sip_addr().unwrap_or(any_port());
        let run = tokio::spawn(gateway.run());
        Self { rtmp, http, sip, shutdown, run }
    }
}

/// A client without a password, which is bob in the phone's domain.
async fn anonymous(gateway: &Served, phone: &Phone) -> Client {
    Client::connect(gateway.rtmp, &format!("sip/bob@{}", phone.address()), &[]).await
}

/// A client that has registered with the phone's domain; the user and address of its Contact.
async fn registered(gateway: &Served, phone: &mut Phone) -> (Client, String, SocketAddr) {
    let app = format!("sip/bob@{}", phone.address());
    let mut client = Client::ask(gateway.rtmp, &app, &["bob", "secret", "Bob"]).await;
    let (user, at) = phone.register().await;
    assert_eq!(client.answer_to_connect().await, "NetConnection.Connect.Success");
    (client, user, at)
}

/// A description of what the gateway does not carry.
const G722: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                    m=audio 9 RTP/AVP 9\r\n";

fn texts(texts: &[&str]) -> Vec<Value> {
    texts.iter().map(|&text| text.into()).collect()
}

#[tokio::test]
async fn a_user_agent_calls_is_heard_and_hears_holds_dials_and_is_hung_up() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let (mut client, user, _) = registered(&gateway, &mut phone).await;
    let local = client.stream("publish", "local").await;
    client.stream("play", "remote").await;

    let to = format!("alice@{}", phone.address());
    client.order("invite", texts(&[&to, "pcmu", "wideband", "dtmf"])).await;
    let invite = phone.request(Method::Invite).await;
    let from = invite.0.from().unwrap();
    assert_eq!(from.display.as_deref(), Some("Bob"));
    assert_eq!(from.uri.to_string(), format!("sip:bob@{}", phone.address()));
    assert_eq!(invite.0.contact().unwrap().uri.as_sip().unwrap().user_name(), Some(user));
    let media = rtp_of(&invite.0.body, invite.1.ip());
    phone.answer(&invite, 180).await;
    assert_eq!(client.called_back("ringing").await, texts(&["180 Ringing"]));
    phone.accept(&invite, "sendrecv").await;
    phone.request(Method::Ack).await;
    assert_eq!(client.called_back("accepted").await, ["pcmu".into(), Value::Null]);

    for sequence in 1..=5 {
        phone.say(media, sequence, 0, &[sequence as u8; 160]).await;
    }
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(client.hear().await.payload[..].to_vec());
    }
    let said = |number: u8| [&[0x82][..], &[number; 160]].concat();
    assert_eq!(heard, (1..=5).map(said).collect::<Vec<_>>());

    for number in 1..=5 {
        client.say(local, u32::from(number) * 20, said(number)).await;
    }
    for number in 1..=5 {
        assert_eq!(phone.hear(0).await, [number; 160]);
    }

    // The client holds, and goes on.
    client.order("hold", vec![true.into()]).await;
    let held = phone.request(Method::Invite).await;
    assert!(held.0.body.windows(10).any(|part| part == b"a=sendonly"), "{:?}", held.0.body);
    phone.accept(&held, "recvonly").await;
    phone.request(Method::Ack).await;
    client.order("hold", vec![false.into()]).await;
    let resumed = phone.request(Method::Invite).await;
    assert!(resumed.0.body.windows(10).any(|part| part == b"a=sendrecv"), "{:?}", resumed.0.body);
    phone.accept(&resumed, "sendrecv").await;
    phone.request(Method::Ack).await;

    // The phone does.
    let mut call = Phone::call_of(&invite);
    for (direction, is_held) in [("sendonly", true), ("sendrecv", false)] {
        let sdp = phone.sdp(direction);
        phone.ask(&mut call, "INVITE", &sdp).await;
        phone.response(200).await;
        phone.confirm(&call).await;
        assert_eq!(client.called_back("holded").await, [Value::from(is_held)]);
    }

    client.order("sendDTMF", texts(&["5"])).await;
    assert_eq!(phone.hear(101).await[0], 5);
    phone.say(media, 6, 101, &[7, 0x8a, 1, 64]).await;
    assert_eq!(client.called_back("dtmf").await, texts(&["7"]));

    phone.ask(&mut call, "BYE", "").await;
    phone.response(200).await;
    assert_eq!(client.called_back("byed").await, []);
    // And once more, and once more at once: a call begins when the streams of the one before are free.
    client.order("invite", texts(&[&to, "pcmu"])).await;
    phone.request(Method::Invite).await;
    client.order_both(("bye", vec![]), ("invite", texts(&[&to, "pcmu"]))).await;
    phone.request(Method::Invite).await;
}

#[tokio::test]
async fn digits_go_by_info_to_who_takes_no_others_and_to_nobody_who_takes_none() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let (mut client, ..) = registered(&gateway, &mut phone).await;
    let to = format!("alice@{}", phone.address());
    let without_events = phone.sdp("sendrecv").replace(" 101", "").replace("a=rtpmap:101", "a=x");
    client.order("invite", texts(&[&to, "pcmu", "dtmf"])).await;
    let invite = phone.request(Method::Invite).await;
    phone.accept_info(&invite, without_events.clone()).await;
    phone.request(Method::Ack).await;
    client.called_back("accepted").await;
    client.order("sendDTMF", texts(&["5"])).await;
    let told = phone.request(Method::Info).await;
    assert_eq!(told.0.content_type().as_deref(), Some("application/dtmf-relay"));
    assert!(told.0.body.starts_with(b"Signal=5"), "{:?}", told.0.body);
    phone.answer(&told, 200).await;
    client.order("bye", vec![]).await;
    let bye = phone.request(Method::Bye).await;
    phone.answer(&bye, 200).await;

    client.order("invite", texts(&[&to, "pcmu", "dtmf"])).await;
    let invite = phone.request(Method::Invite).await;
    phone.accept_as(&invite, without_events).await;
    phone.request(Method::Ack).await;
    client.called_back("accepted").await;
    let refused = client.try_order("sendDTMF", texts(&["5"])).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn where_no_codecs_are_named_the_client_speaks_speex_and_is_told_of_none() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let (mut client, user, at) = registered(&gateway, &mut phone).await;
    client.stream("play", "remote").await;
    let to = format!("alice@{}", phone.address());
    client.order("invite", texts(&[&to])).await;
    let invite = phone.request(Method::Invite).await;
    let offer = String::from_utf8_lossy(&invite.0.body).into_owned();
    let [first, ..] = offer.split("m=audio ").collect::<Vec<_>>()[1..] else {
        panic!("no audio is offered: {offer}")
    };
    let number: u8 = first.split(' ').nth(2).and_then(|it| it.trim().parse().ok()).unwrap();
    let named = format!("a=rtpmap:{number} speex/16000");
    assert!(offer.contains(&named), "{offer}");
    let speex = phone.sdp("sendrecv").replace("AVP 0 101", &format!("AVP {number}"));
    let speex = speex.replace("a=rtpmap:101 telephone-event/8000", &named);

    let media = rtp_of(&invite.0.body, invite.1.ip());
    phone.accept_as(&invite, speex.clone()).await;
    phone.request(Method::Ack).await;
    assert_eq!(client.called_back("accepted").await, []);
    for sequence in 1..=5 {
        // A frame of mode 1, and padding.
        phone.say(media, sequence, number, &[0b0000_1000, 0, 0, 0, 0, 0b0000_1111]).await;
    }
    assert_eq!(client.hear().await.payload[0], 0xb2);
    client.order("bye", vec![]).await;
    let bye = phone.request(Method::Bye).await;
    phone.answer(&bye, 200).await;

    let mut call = phone.invite_with(&user, at, 1, &speex).await;
    phone.response(180).await;
    client.called_back("invited").await;
    client.order("accept", vec![]).await;
    let taken = phone.response(200).await;
    assert!(String::from_utf8_lossy(&taken.body).contains(&named), "{taken:?}");
    Phone::learn(&mut call, &taken);
    phone.confirm(&call).await;
    assert_eq!(client.called_back("accepted").await, []);
}

#[tokio::test]
async fn a_user_agent_is_called_once_at_a_time_and_all_is_over_when_it_leaves() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let (mut client, user, at) = registered(&gateway, &mut phone).await;
    let mut call = phone.invite(&user, at, 1).await;
    phone.response(180).await;
    let alice = format!("\"Alice\" <sip:alice@{}>", phone.address());
    let bob = format!("sip:bob@{}", phone.address());
    assert_eq!(client.called_back("invited").await, texts(&[&alice, &bob]));

    let second = phone.invite(&user, at, 2).await;
    phone.response(486).await;
    phone.resign(&second).await;

    client.order("accept", texts(&["wideband", "pcmu"])).await;
    Phone::learn(&mut call, &phone.response(200).await);
    phone.confirm(&call).await;
    assert_eq!(client.called_back("accepted").await, ["pcmu".into(), Value::Null]);
    let busy = client.try_order("invite", texts(&["alice@192.0.2.1"])).await;
    let pending = "Already in an active or pending call";
    assert_eq!(busy, Err(pending.to_owned()));
    assert_eq!(client.called_back("rejected").await, texts(&[pending]));

    drop(client);
    let bye = phone.request(Method::Bye).await;
    phone.answer(&bye, 200).await;
    let (last, _) = phone.request(Method::Register).await;
    assert!(
        last.contact().unwrap().params.get("expires").is_some_and(|own| own == "0")
            || last.headers.get(&HeaderName::EXPIRES) == Some("0"),
        "{last:?}"
    );
}

#[tokio::test]
async fn calls_that_come_to_nothing_are_told_of() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let (mut client, user, at) = registered(&gateway, &mut phone).await;
    let to = format!("\"Alice\" <sip:alice@{}>", phone.address());

    client.order("invite", texts(&[&to])).await;
    let invite = phone.request(Method::Invite).await;
    assert!(invite.0.body.windows(11).any(|part| part == b"speex/16000"), "{:?}", invite.0.body);
    phone.answer(&invite, 486).await;
    phone.request(Method::Ack).await;
    assert_eq!(client.called_back("rejected").await, texts(&["486 Busy Here"]));

    // A pending call is cancelled without a word.
    client.order("invite", texts(&[&to, "pcma"])).await;
    let invite = phone.request(Method::Invite).await;
    phone.answer(&invite, 183).await;
    assert_eq!(client.called_back("ringing").await, texts(&["183 Session Progress"]));
    client.order("bye", vec![]).await;
    let cancel = phone.request(Method::Cancel).await;
    phone.answer(&cancel, 200).await;
    phone.answer(&invite, 487).await;
    phone.request(Method::Ack).await;

    // Who calls gives up.
    let call = phone.invite(&user, at, 1).await;
    phone.response(180).await;
    let both = client.called_back("invited").await;
    phone.cancel(&call).await;
    phone.response(200).await;
    phone.response(487).await;
    phone.resign(&call).await;
    assert_eq!(client.called_back("cancelled").await, both);

    // The client does not take it.
    let call = phone.invite(&user, at, 2).await;
    phone.response(180).await;
    client.called_back("invited").await;
    client.order("reject", vec![]).await;
    phone.response(603).await;
    phone.resign(&call).await;

    // Nothing in common: the client is not even asked.
    let call = phone.invite_with(&user, at, 3, G722).await;
    phone.response(488).await;
    phone.resign(&call).await;
    // Nothing of what the client wants: it has been.
    let call = phone.invite(&user, at, 4).await;
    phone.response(180).await;
    client.called_back("invited").await;
    assert_eq!(
        client.try_order("accept", texts(&["wideband"])).await,
        Err("488 Not Acceptable Here".to_owned())
    );
    phone.response(488).await;
    phone.resign(&call).await;
    assert_eq!(client.called_back("byed").await, []);
}

#[tokio::test]
async fn a_user_agent_is_one_when_its_registrar_says_so() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let app = format!("sip/bob@{}", phone.address());
    let mut refused = Client::ask(gateway.rtmp, &app, &["bob", "wrong"]).await;
    let asking = phone.request(Method::Register).await;
    phone.answer(&asking, 403).await;
    assert_eq!(refused.answer_to_connect().await, "403 Forbidden");

    let mut refused = Client::ask(gateway.rtmp, "sip", &[]).await;
    assert!(refused.answer_to_connect().await.contains("sip/user@domain"));
    let mut first = anonymous(&gateway, &phone).await;
    let _second = Client::connect(gateway.rtmp, "sip/eve@192.0.2.1", &[]).await;
    let mut third = Client::ask(gateway.rtmp, "sip/joe@192.0.2.1", &[]).await;
    assert!(third.answer_to_connect().await.contains("sip.max_clients"));
    for (name, arguments) in [
        ("invite", vec![]),
        ("invite", vec![7.0.into()]),
        ("invite", texts(&["alice@192.0.2.1", "opus"])),
        ("invite", texts(&["alice@192.0.2.1", "flv"])),
        ("invite", texts(&[&"x".repeat(10_000)])),
        ("accept", vec![]),
        ("reject", vec![]),
        ("bye", vec![]),
        ("sendDTMF", texts(&["5"])),
        ("sendDTMF", texts(&["55"])),
        ("hold", vec![true.into()]),
        ("hold", vec![]),
    ] {
        let answer = first.try_order(name, arguments.clone()).await;
        assert!(answer.is_err(), "{name} {arguments:?}");
        if name == "invite" {
            first.called_back("rejected").await;
        }
    }
    first.order("whatever", texts(&["x"])).await;
}

#[tokio::test]
async fn no_user_agents_connect_where_no_calls_are_served() {
    let gateway = Served::with(|config| config.sip.enabled = false).await;
    let mut refused = Client::ask(gateway.rtmp, "sip/bob@192.0.2.1", &[]).await;
    assert!(refused.answer_to_connect().await.contains("sip.enabled"));
    let gateway = Served::with(|config| config.sip.client_domains.clear()).await;
    let mut refused = Client::ask(gateway.rtmp, "sip/bob@192.0.2.1", &[]).await;
    assert!(refused.answer_to_connect().await.contains("sip.client_domains is empty"));
}

#[tokio::test]
async fn user_agents_are_of_the_domains_that_are_served_and_call_there() {
    let own = || vec!["192.0.2.1".to_owned(), "Example.org".to_owned()];
    let gateway = Served::with(|config| config.sip.client_domains = own()).await;
    for app in ["sip/bob@192.0.2.2", "sip/bob@org", "sip/bob@x.example.org"] {
        let mut refused = Client::ask(gateway.rtmp, app, &[]).await;
        assert!(refused.answer_to_connect().await.contains("sip.client_domains"), "{app}");
    }
    let mut client = Client::connect(gateway.rtmp, "sip/bob@example.ORG", &[]).await;
    for to in ["alice@192.0.2.2", "sip:alice@elsewhere.org", "<sip:192.0.2.1@192.0.2.3>"] {
        let forbidden = "403 Forbidden";
        assert_eq!(client.try_order("invite", texts(&[to])).await, Err(forbidden.to_owned()));
        assert_eq!(client.called_back("rejected").await, texts(&[forbidden]));
    }
    client.order("invite", texts(&["alice@192.0.2.1"])).await;
}

#[tokio::test]
async fn user_agents_at_one_address_are_so_many_and_call_so_often() {
    let gateway = Served::with(|config| {
        config.sip.max_clients = 9;
        config.sip.max_clients_per_address = 2;
        config.sip.max_client_calls_per_minute = 3;
    });
    let (gateway, mut phone) = (gateway.await, Phone::new().await);
    let (mut client, ..) = registered(&gateway, &mut phone).await;
    let mut other = Client::connect(gateway.rtmp, "sip/eve@192.0.2.1", &[]).await;
    let mut third = Client::ask(gateway.rtmp, "sip/joe@192.0.2.1", &[]).await;
    assert!(third.answer_to_connect().await.contains("sip.max_clients_per_address"));
    // A registration and two calls.
    for client in [&mut client, &mut other] {
        client.order("invite", texts(&["alice@192.0.2.1"])).await;
        client.order("bye", vec![]).await;
    }
    let busy = "503 Service Unavailable";
    assert_eq!(other.try_order("invite", texts(&["alice@192.0.2.1"])).await, Err(busy.to_owned()));
    assert_eq!(other.called_back("rejected").await, texts(&[busy]));
}

#[tokio::test]
async fn whoever_proves_to_be_somebody_takes_over_from_the_former() {
    let gateway = Served::with(|config| config.sip.max_clients = 3).await;
    let mut phone = Phone::new().await;
    let (mut former, user, at) = registered(&gateway, &mut phone).await;
    // Who proves nothing takes nothing away.
    let mut unproven = anonymous(&gateway, &phone).await;
    let mut call = phone.invite(&user, at, 1).await;
    phone.response(180).await;
    former.called_back("invited").await;
    former.order("accept", texts(&["pcmu"])).await;
    Phone::learn(&mut call, &phone.response(200).await);
    phone.confirm(&call).await;
    former.called_back("accepted").await;
    let app = format!("sip/bob@{}", phone.address());
    let mut latter = Client::ask(gateway.rtmp, &app, &["bob", "secret"]).await;
    let (latter_user, _) = phone.register().await;
    assert_ne!(latter_user, user);
    assert_eq!(latter.answer_to_connect().await, "NetConnection.Connect.Success");
    let bye = phone.request(Method::Bye).await;
    phone.answer(&bye, 200).await;
    let last = phone.request(Method::Register).await;
    let contact = last.0.contact().unwrap();
    assert_eq!(contact.uri.as_sip().unwrap().user_name(), Some(user));
    phone.grant(&last).await;
    for replaced in [&mut former, &mut unproven] {
        let last = format!("{:?}", replaced.end().await);
        assert!(last.contains("NetConnection.Connect.Closed"), "{last}");
    }
}

#[tokio::test]
async fn the_latest_stream_is_the_user_agents_and_nobody_elses() {
    let route = |dial: &str| Route {
        dial: dial.to_owned(),
        publish: Some("*".to_owned()),
        play: Some("*".to_owned()),
    };
    let gateway = Served::with(|config| config.sip.routes = vec![route("*")]).await;
    let mut phone = Phone::new().await;
    let mut client = anonymous(&gateway, &phone).await;
    let first = client.stream("publish", "local").await;
    let second = client.stream("publish", "another").await;
    assert_ne!(first, second);
    client.status("NetStream.Unpublish.Success").await;
    client.stream("play", "remote").await;
    client.stream("play", "whatever").await;
    client.status("NetStream.Play.Stop").await;

    for app in ["\0sip/1", "/\0sip/1/", "\0sip"] {
        let mut stranger = Client::ask(gateway.rtmp, app, &[]).await;
        assert!(stranger.answer_to_connect().await.contains("control characters"), "{app:?}");
    }
    for path in ["/%00sip/1/local.flv", "//%00sip/1/local.flv"] {
        let mut http = TcpStream::connect(gateway.http).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        http.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        in_time(http.read_to_string(&mut answer)).await.unwrap();
        assert!(answer.contains("control characters"), "{answer}");
    }
    let call = phone.invite("%00sip%2F1%2Flocal", gateway.sip, 1).await;
    phone.response(404).await;
    phone.resign(&call).await;
}

#[tokio::test]
async fn a_shutdown_ends_calls_and_tells_both_ends() {
    let (gateway, mut phone) = (Served::new().await, Phone::new().await);
    let mut client = anonymous(&gateway, &phone).await;
    client.order("invite", texts(&[&format!("sip:alice@{}", phone.address()), "pcmu"])).await;
    let invite = phone.request(Method::Invite).await;
    phone.accept(&invite, "sendrecv").await;
    phone.request(Method::Ack).await;
    assert_eq!(client.called_back("accepted").await, ["pcmu".into(), Value::Null]);
    gateway.shutdown.cancel();
    assert_eq!(client.called_back("byed").await, []);
    let bye = phone.request(Method::Bye).await;
    phone.answer(&bye, 200).await;
    client.end().await;
    drop(client);
    assert_eq!(in_time(gateway.run).await.unwrap(), Ended { cut_connections: 0 });
}
