//! A telephone: it calls the gateway over SIP, talks over RTP, and tells all that it saw.
//!
//! Of the core it uses how messages are read and written, and nothing else: when what is said again, acknowledged, answered and
//! ended is its own (`call`), so that the two check each other. Its audio is G.711 or Speex by name only, and its pictures are H.264
//! so (`screen`); each packet, and each NAL unit, says which one it is, and of which call.

mod acts;
mod answering;
mod asking;
mod call;
mod called;
mod callee;
mod carrier;
mod codec;
mod framer;
mod line;
mod over_tcp;
mod packets;
mod plan;
mod post;
mod proof;
mod registering;
mod registers;
mod report;
mod rtp;
mod screen;
mod sdp;
mod session;
mod show;
mod streams;
mod timers;
mod video;
mod voice;

use std::{collections::VecDeque, future::pending, io, iter, net::SocketAddr, time::Duration};

use bytes::Bytes;
use rehearsal_core::env::{Env, UdpSocket};
use tokio::time::{Instant, sleep_until};

pub(in crate::clients) use self::codec::PACKET_MS;
pub use self::{
    acts::{Act, DIGIT_PACKETS, Deed, Dialled, Numbering},
    call::{PICTURES, is_dialled},
    called::{Answer, Called, Proof, Registrar, Reply},
    codec::Codec,
    over_tcp::{Close, Connection, ConnectionEnd, OverTcp},
    plan::{Cancel, Change, Direction, Fault, MessageFault, PhonePlan, Voice, Way},
    registering::ALL,
    registers::Registers,
    report::{
        Binding, CallEnd, Heard, Keyed, PhoneReport, Pressed, ReceptionReport, Registration,
        Saying, SenderReport, Signal, Spoken, Told, Tone, Torn,
    },
    session::Session,
    video::{Asked, Broken, Pictures, Seen, Sets, Shown, Shows, Video},
};
use self::{
    call::{Call, Names, Place},
    carrier::Carrier,
    line::{ANY_IP, Buffers, Came, Line},
    post::Post,
    registering::Registering,
    screen::{Screen, Sight},
    streams::{Happened, Streams},
    timers::T1,
    voice::{Source, Speech},
};
use super::publisher::Notes;

/// Where who is called waits.
const SIP_PORT: u16 = 5060;

/// Carries out `plan`; times count from `origin`.
pub async fn run<E: Env>(
    env: E,
    gateway: SocketAddr,
    plan: PhonePlan,
    origin: Instant,
    notes: Notes,
) -> PhoneReport {
    sleep_until(origin + Duration::from_millis(plan.start_ms)).await;
    let mut report = PhoneReport::default();
    let sip_port = if plan.called.is_some() { SIP_PORT } else { 0 };
    match Sockets::open(&env, gateway, &plan, sip_port).await {
        Err(error) => notes(&format!("has no sockets: {}", error.kind())),
        Ok(sockets) => talk(&env, gateway, plan, origin, sockets, &notes, &mut report).await,
    }
    report.left_at = origin.elapsed();
    notes(&format!(
        "call ends, {} packets spoken, {} heard: {}",
        report.spoken.len(),
        report.heard.len(),
        report.end()
    ));
    report
}

/// What it speaks and hears by.
struct Sockets<E: Env> {
    line: Line<E::UdpSocket>,
    /// Its connections, if it speaks SIP over TCP.
    streams: Option<Streams<E>>,
    screen: Screen<E::UdpSocket>,
}

impl<E: Env> Sockets<E> {
    /// Opens them, and waits for connections if it speaks SIP over TCP.
    async fn open(
        env: &E,
        gateway: SocketAddr,
        plan: &PhonePlan,
        sip_port: u16,
    ) -> io::Result<Self> {
        let streams = match plan.tcp.clone() {
            None => None,
            Some(tcp) => Some(Streams::open(env, gateway, tcp, sip_port).await?),
        };
        let line = Line::open(env, streams.is_none().then_some(sip_port)).await?;
        let media = (plan.video.as_ref(), plan.voice.as_ref());
        let screen = Screen::open(env, media, || source(env, None)).await?;
        Ok(Self { line, streams, screen })
    }
}

/// What happened on the line.
enum Event {
    Came(Came),
    Saw(Sight),
    Happened(Happened),
    Time,
    Leave,
}

async fn talk<E: Env>(
    env: &E,
    gateway: SocketAddr,
    plan: PhonePlan,
    origin: Instant,
    Sockets { mut line, mut streams, mut screen }: Sockets<E>,
    notes: &Notes,
    report: &mut PhoneReport,
) {
    let leave = origin + Duration::from_millis(plan.leave_ms);
    let ip = if gateway.ip().is_loopback() { Some(gateway.ip()) } else { env.own_ip() };
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let own = line.sip.as_ref().map_or(any, UdpSocket::local_addr);
    let ip = plan.says_ip.or(ip).unwrap_or(own.ip());
    let rtp_ip = plan.hears_at.unwrap_or(ip);
    let place = Place {
        sip: SocketAddr::new(ip, streams.as_ref().map_or(own.port(), Streams::port)),
        rtp: SocketAddr::new(rtp_ip, line.rtp().local_addr().port()),
        video: screen.port(),
        gateway,
        carrier: Carrier {
            is_tcp: streams.is_some(),
            t1: plan.t1_ms.map_or(T1, Duration::from_millis),
        },
    };
    let mut post = Post::new(plan.message_faults.clone());
    let mut speech = Speech::new(source(env, plan.numbering), plan.voice.clone());
    let mut digits = plan.digits.clone();
    digits.retain(|_| !plan.dials_by_info);
    let planned = plan.acts.clone();
    let mut acts = VecDeque::new();
    let asks_ms = plan.video.as_ref().map_or_else(Vec::new, |video| video.asks_ms.clone());
    let mut asks = VecDeque::new();
    match &plan.called {
        None => notes(&format!("calls {}", plan.dial)),
        Some(_) => notes(&format!("waits for calls as {}", plan.dial)),
    }
    let registers = plan.registers.clone();
    let mut call = Call::begin(plan, names(env), place, origin.elapsed());
    let mut registering =
        registers.map(|plan| Registering::begin(plan, names(env), place, origin.elapsed()));
    let mut buffers = Buffers::new();
    loop {
        let now = origin.elapsed();
        if line.move_to(call.rtp().port()) {
            report.moved.push(now);
        }
        speech.agree(call.audio(), now, report);
        screen.agree(call.video(), now);
        let next_message = |call: &mut Call, registering: &mut Option<Registering>| {
            call.next_message().or_else(|| registering.as_mut()?.next_message())
        };
        let sent = iter::from_fn(|| next_message(&mut call, &mut registering));
        let sent: Vec<Bytes> = sent.collect();
        match &mut streams {
            Some(streams) => {
                for (message, over) in sent.iter().zip(streams.send(&sent, now)) {
                    post.note(Way::Sent, message, now, over);
                }
            }
            None => {
                for message in sent.into_iter().flat_map(|it| post.pass(Way::Sent, it, now)) {
                    line.say(&message, gateway).await;
                }
            }
        }
        if let Some((packet, to)) = speech.take_packet(now, report) {
            let _ = line.rtp().send_to(&packet, to).await;
        }
        if let Some((packet, to)) = speech.take_report(now, env.wall_clock(), report) {
            let _ = line.rtcp().send_to(&packet, to).await;
        }
        screen.send(now, env.wall_clock()).await;
        let is_flushed = streams.as_ref().is_none_or(Streams::is_flushed);
        let is_over = call.is_forgotten() && registering.as_ref().is_none_or(Registering::is_over);
        if is_over && is_flushed {
            break;
        }
        let act = acts.front().map(|(at, _)| *at).filter(|_| call.is_up());
        let registration = registering.as_ref().and_then(Registering::next);
        let ask = asks.front().copied().filter(|_| call.is_up());
        let written = streams.as_ref().and_then(|streams| streams.next(now));
        let media = [speech.next(), screen.next(), ask, written];
        let next = [call.next(), registration, act].into_iter().chain(media).flatten().min();
        let due = next.map_or(leave, |next| (origin + next).min(leave));
        let event = tokio::select! {
            biased;
            came = line.receive(&mut buffers) => came.map(Event::Came),
            came = screen.receive() => came.map(Event::Saw),
            happened = happen(&mut streams, now, origin) => Ok(Event::Happened(happened)),
            () = sleep_until(due) => Ok(if due == leave { Event::Leave } else { Event::Time }),
        };
        let now = origin.elapsed();
        let (was, keyframes_asked) = (seen(&call), call.told.keyframes_asked);
        let registrations = registering.as_ref().map_or(0, |it| it.told.len());
        match event {
            Ok(Event::Came(came)) => {
                let bytes = buffers.of(&came);
                match came {
                    Came::Sip(_) => {
                        let datagram = Bytes::copy_from_slice(bytes);
                        for message in post.pass(Way::Received, datagram, now) {
                            call.receive(&message, now);
                            if let Some(registering) = &mut registering {
                                registering.receive(&message, now);
                            }
                        }
                    }
                    // A NAT may have given one port the number that another has here.
                    Came::Rtcp(_) | Came::FormerRtcp(_) => speech.is_told(bytes, now, report),
                    _ if rtp::is_report(bytes) => speech.is_told(bytes, now, report),
                    Came::Rtp(_) | Came::FormerRtp(_) => speech.hear(bytes, now, report),
                }
            }
            Ok(Event::Saw(sight)) => screen.see(sight, now),
            Ok(Event::Happened(Happened::Message(message, over))) => {
                post.note(Way::Received, &message, now, over);
                call.receive(&message, now);
                if let Some(registering) = &mut registering {
                    registering.receive(&message, now);
                }
            }
            Ok(Event::Happened(Happened::Lost(asked))) => {
                call.on_lost(&asked);
                if let Some(registering) = &mut registering {
                    registering.on_lost(&asked, now);
                }
            }
            Ok(Event::Time) => {
                if let Some(streams) = &mut streams {
                    streams.on_time(now);
                }
                if asks.pop_front_if(|at| *at <= now && call.is_up()).is_some()
                    && !screen.ask(now, env.wall_clock()).await
                {
                    call.want_keyframe(now);
                }
                call.on_time(now);
                if let Some(registering) = &mut registering {
                    registering.on_time(now);
                }
                while call.is_up()
                    && let Some((_, deed)) = acts.pop_front_if(|(at, _)| *at <= now)
                {
                    act_by(env, deed, (&mut line, &mut call, &mut speech), now, report).await;
                }
            }
            Ok(Event::Leave) => break,
            // What an ICMP message tells of an earlier datagram, which is lost.
            Err(_) => {}
        }
        if call.told.keyframes_asked > keyframes_asked {
            screen.is_asked(now, false);
        }
        if let (None, Some(answered)) = (report.answered_at, call.told.answered_at) {
            report.answered_at = Some(answered);
            let from = |ms| answered + Duration::from_millis(ms);
            acts.extend(planned.iter().map(|act| (from(act.at_ms), act.deed)));
            asks.extend(asks_ms.iter().map(|ms| from(*ms)));
            speech.dial(digits.iter().map(|dialled| (from(dialled.at_ms), *dialled)));
        }
        tell(was, &call, notes);
        for told in registering.iter().flat_map(|it| &it.told[registrations..]) {
            notes(&told.words());
        }
    }
    report.rang_at = call.told.rang_at;
    report.expired_at = call.told.expired_at;
    report.ended = call.told.ended;
    report.keyed = call.told.keyed;
    report.bindings = call.waiting.map_or_else(Vec::new, |waiting| waiting.bindings);
    if let Some(registering) = registering {
        let unanswered = registering.unanswered(origin.elapsed());
        report.registrations = registering.told;
        report.registrations.extend(unanswered);
    }
    report.signals = post.into_log();
    report.pictures = screen.finish();
    report.connections = streams.map_or_else(Vec::new, Streams::into_log);
}

/// What happens to its connections, if it has any; something that is due at `now` is written first.
async fn happen<E: Env>(
    streams: &mut Option<Streams<E>>,
    now: Duration,
    origin: Instant,
) -> Happened {
    match streams {
        Some(streams) => streams.happen(now, || origin.elapsed()).await,
        None => pending().await,
    }
}

/// Does what is to be done in mid-call; what the system does not allow is left out.
async fn act_by<E: Env>(
    env: &E,
    deed: Deed,
    (line, call, speech): (&mut Line<E::UdpSocket>, &mut Call, &mut Speech),
    now: Duration,
    report: &mut PhoneReport,
) {
    match deed {
        Deed::NewSource => speech.begin_anew(source(env, None), now),
        Deed::Move => {
            if let Ok(port) = line.prepare(env, ANY_IP).await {
                call.move_to(None, port, now);
            }
        }
        Deed::MoveTo(ip) => {
            if let Ok(port) = line.prepare(env, ip).await {
                call.move_to(Some(ip), port, now);
            }
        }
        Deed::Rebind => {
            if line.rebind(env).await.is_ok() {
                report.moved.push(now);
            }
        }
    }
}

/// Whether it rang, was answered, and is over.
fn seen(call: &Call) -> [bool; 3] {
    let told = &call.told;
    [told.rang_at.is_some(), told.answered_at.is_some(), told.ended.is_some()]
}

fn tell(was: [bool; 3], call: &Call, notes: &Notes) {
    let words = ["it rings", "is answered", "call is over"];
    for ((was, is), what) in was.into_iter().zip(seen(call)).zip(words) {
        if is && !was {
            notes(what);
        }
    }
}

fn random<E: Env, const N: usize>(env: &E) -> [u8; N] {
    let mut bytes = [0; N];
    env.fill_random(&mut bytes);
    bytes
}

fn names<E: Env>(env: &E) -> Names {
    let word = || u32::from_be_bytes(random(env));
    Names {
        call_id: format!("{:08x}{:08x}", word(), word()),
        tag: format!("{:08x}", word()),
        branch: format!("{:08x}", word()),
        session: word() >> 1,
        // 2.1 s to 4 s, in units of 10 ms.
        patience_ms: u64::from(word() % 191) * 10,
    }
}

fn source<E: Env>(env: &E, numbering: Option<Numbering>) -> Source {
    let (ssrc, sequence) = (u32::from_be_bytes(random(env)), u16::from_be_bytes(random(env)));
    let timestamp = u32::from_be_bytes(random(env));
    Source {
        ssrc,
        sequence: numbering.map_or(sequence, |numbering| numbering.sequence),
        timestamp: numbering.map_or(timestamp, |numbering| numbering.timestamp),
    }
}
