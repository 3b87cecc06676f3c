//! A telephone: it calls the gateway over SIP, talks over RTP, and tells all that it saw.
//!
//! Of the core it uses how messages are read and written, and nothing else: when what is said again, acknowledged, answered and
//! ended is its own (`call`), so that the two check each other. Its audio is G.711 by name only; each packet says which one it
//! is, and of which call.

mod answering;
mod asking;
mod call;
mod plan;
mod post;
mod report;
mod rtp;
mod sdp;
mod timers;
mod voice;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use rehearsal_core::env::{Env, UdpSocket};
use tokio::time::{Instant, sleep_until};

use self::{
    call::{Call, Names, Place},
    post::Post,
    voice::{Source, Speech},
};
pub use self::{
    plan::{Cancel, Change, Codec, Direction, Fault, MessageFault, PhonePlan, Voice, Way},
    report::{
        CallEnd, Heard, PhoneReport, ReceptionReport, Saying, SenderReport, Signal, Spoken, Torn,
    },
};
use super::publisher::Notes;

/// No datagram is longer.
const DATAGRAM_BYTES: usize = 65_535;
/// Where ports for media begin.
const MEDIA_PORTS_FROM: u16 = 40_000;

/// Sockets of one phone.
struct Line<S> {
    sip: S,
    rtp: S,
    rtcp: S,
}

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
    match open(&env).await {
        Err(error) => notes(&format!("has no sockets: {}", error.kind())),
        Ok(line) => talk(&env, gateway, plan, origin, line, &notes, &mut report).await,
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

/// One socket for SIP, and a pair for media, of which RTP has the even port.
async fn open<E: Env>(env: &E) -> io::Result<Line<E::UdpSocket>> {
    let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
    let sip = env.bind_udp(any(0)).await?;
    let mut port = MEDIA_PORTS_FROM;
    loop {
        let pair = match env.bind_udp(any(port)).await {
            Ok(rtp) => env.bind_udp(any(port + 1)).await.map(|rtcp| (rtp, rtcp)),
            Err(error) => Err(error),
        };
        match pair {
            Ok((rtp, rtcp)) => return Ok(Line { sip, rtp, rtcp }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && port < u16::MAX - 3 => {
                port += 2
            }
            Err(error) => return Err(error),
        }
    }
}

/// What happened on the line.
enum Event {
    Sip(usize),
    Rtp(usize),
    Rtcp(usize),
    Time,
    Leave,
}

async fn talk<E: Env>(
    env: &E,
    gateway: SocketAddr,
    plan: PhonePlan,
    origin: Instant,
    line: Line<E::UdpSocket>,
    notes: &Notes,
    report: &mut PhoneReport,
) {
    let leave = origin + Duration::from_millis(plan.leave_ms);
    let ip = if gateway.ip().is_loopback() { Some(gateway.ip()) } else { env.own_ip() };
    let ip = ip.unwrap_or(line.sip.local_addr().ip());
    let at = |socket: &E::UdpSocket| SocketAddr::new(ip, socket.local_addr().port());
    let place = Place { sip: at(&line.sip), rtp: at(&line.rtp), gateway };
    let mut post = Post::new(plan.message_faults.clone());
    let mut speech = Speech::new(source(env), plan.voice.clone());
    notes(&format!("calls {}", plan.dial));
    let mut call = Call::begin(plan, names(env), place, origin.elapsed());
    let mut bufs = [(); 3].map(|()| vec![0; DATAGRAM_BYTES]);
    loop {
        let now = origin.elapsed();
        speech.agree(call.audio(), now, report);
        while let Some(message) = call.next_message() {
            for message in post.pass(Way::Sent, message, now) {
                // A datagram that does not get away is a lost one.
                let _ = line.sip.send_to(&message, gateway).await;
            }
        }
        if let Some((packet, to)) = speech.take_packet(now, report) {
            let _ = line.rtp.send_to(&packet, to).await;
        }
        if let Some((packet, to)) = speech.take_report(now, env.wall_clock(), report) {
            let _ = line.rtcp.send_to(&packet, to).await;
        }
        if call.is_forgotten() {
            break;
        }
        let next = [call.next(), speech.next()].into_iter().flatten().min();
        let due = next.map_or(leave, |next| (origin + next).min(leave));
        let [sip, rtp, rtcp] = &mut bufs;
        let event = tokio::select! {
            biased;
            received = line.sip.recv_from(sip) => received.map(|(bytes, _)| Event::Sip(bytes)),
            received = line.rtp.recv_from(rtp) => received.map(|(bytes, _)| Event::Rtp(bytes)),
            received = line.rtcp.recv_from(rtcp) => received.map(|(bytes, _)| Event::Rtcp(bytes)),
            () = sleep_until(due) => Ok(if due == leave { Event::Leave } else { Event::Time }),
        };
        let now = origin.elapsed();
        let was = seen(&call);
        match event {
            Ok(Event::Sip(bytes)) => {
                let datagram = Bytes::copy_from_slice(&bufs[0][..bytes]);
                for message in post.pass(Way::Received, datagram, now) {
                    call.receive(&message, now);
                }
            }
            Ok(Event::Rtp(bytes)) => speech.hear(&bufs[1][..bytes], now, report),
            Ok(Event::Rtcp(bytes)) => speech.is_told(&bufs[2][..bytes], now, report),
            Ok(Event::Time) => call.on_time(now),
            Ok(Event::Leave) => break,
            // What an ICMP message tells of an earlier datagram, which is lost.
            Err(_) => {}
        }
        tell(was, &call, notes);
    }
    report.rang_at = call.told.rang_at;
    report.answered_at = call.told.answered_at;
    report.ended = call.told.ended;
    report.signals = post.into_log();
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

fn source<E: Env>(env: &E) -> Source {
    Source {
        ssrc: u32::from_be_bytes(random(env)),
        sequence: u16::from_be_bytes(random(env)),
        timestamp: u32::from_be_bytes(random(env)),
    }
}
