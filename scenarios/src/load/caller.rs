//! One caller: it calls, says a packet of G.711 every 20 ms and counts what it hears, and hangs up when it is told to.
//!
//! It must cost less than what it measures: two sockets, one task, no allocation for a packet, and what is said is the same all
//! the time. Packets are due on a grid that begins at a time of the caller's own, so that callers together do not send in bursts;
//! one that is late sends what was due at once. It sends no reports.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use rehearsal_core::{
    env::{Env, Os, OsUdpSocket, UdpSocket},
    sip::message::Response,
};
use thiserror::Error;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::signalling::{Call, Heard, hear};

/// From one packet to the next.
pub(super) const PACKET: Duration = Duration::from_millis(20);
/// Bytes of audio in one.
const AUDIO_BYTES: usize = 160;
const HEAD_BYTES: usize = 12;
/// A packet that goes out later than this is one that a phone would not have sent so.
const LATE: Duration = Duration::from_millis(10);
/// T1, T2 and 64 times T1 of RFC 3261.
const FIRST_COPY: Duration = Duration::from_millis(500);
const COPIES_APART_MAX: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(32);

/// What all callers together have counted by now.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) sent: AtomicU64,
    pub(super) late: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) lost: AtomicU64,
}

fn count(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

/// Why a call was not as it should be.
#[derive(Debug, Error)]
pub(super) enum Problem {
    #[error("no socket: {0}")]
    Socket(#[from] std::io::Error),
    #[error("no answer")]
    NoAnswer,
    #[error("the answer does not say where audio goes")]
    NoAddress,
    #[error("refused with {0}")]
    Refused(u16),
    #[error("ended by the gateway")]
    HungUp,
    #[error("no answer to BYE")]
    NoFarewell,
}

/// What a caller has to tell.
#[derive(Debug)]
pub(super) enum Told {
    /// The call is up, and audio goes out.
    Up,
    /// It never came up.
    Failed(Problem),
    /// The call was up and is over.
    Over(Result<(), Problem>),
}

/// What a caller is to do.
pub(super) struct Caller {
    pub(super) gateway: SocketAddr,
    /// Whom it calls.
    pub(super) user: String,
    /// Name of its call.
    pub(super) id: String,
    /// When packets are due: then, and whole numbers of [`PACKET`] later.
    pub(super) grid: Instant,
    /// Where reports may go.
    pub(super) rtcp: SocketAddr,
    pub(super) totals: Arc<Totals>,
    pub(super) stop: CancellationToken,
    pub(super) told: mpsc::UnboundedSender<Told>,
}

impl Caller {
    /// Calls, talks until it is stopped, and hangs up.
    pub(super) async fn run(self) {
        // Who does not wait for it any more does not need it.
        let tell = |told| drop(self.told.send(told));
        match self.begin().await {
            Ok(talk) => {
                tell(Told::Up);
                tell(Told::Over(self.end(talk).await));
            }
            Err(problem) => tell(Told::Failed(problem)),
        }
    }

    async fn begin(&self) -> Result<Talk, Problem> {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (sip, rtp) = (Os.bind_udp(any).await?, Os.bind_udp(any).await?);
        let line = Line { sip, gateway: self.gateway };
        let mut call = Call::new(line.sip.local_addr(), self.gateway, &self.user, self.id.clone());
        let invite = call.invite(rtp.local_addr(), self.rtcp);
        let answer = line.ask(&invite, |heard| match heard {
            Heard::ToInvite(response) => Some(response),
            _ => None,
        });
        let answer = answer.await?.ok_or(Problem::NoAnswer)?;
        if answer.status >= 300 {
            return Err(Problem::Refused(answer.status));
        }
        let audio = call.take_answer(&answer).ok_or(Problem::NoAddress)?;
        line.send(&call.ack()).await?;
        Ok(Talk { line, call, rtp, audio })
    }

    async fn end(&self, talk: Talk) -> Result<(), Problem> {
        self.talk(&talk).await?;
        let bye = talk.call.bye();
        let farewell = talk.line.ask(&bye, |heard| match heard {
            Heard::ToBye(response) => Some(response),
            _ => None,
        });
        let answer = farewell.await?.ok_or(Problem::NoFarewell)?;
        if answer.status < 300 { Ok(()) } else { Err(Problem::Refused(answer.status)) }
    }

    async fn talk(&self, talk: &Talk) -> Result<(), Problem> {
        let Talk { line, call, rtp, audio } = talk;
        let (mut heard, mut said) = ([0; 2_048], [0; 2_048]);
        let mut packet = [0xff; HEAD_BYTES + AUDIO_BYTES];
        // Each call is a source of its own; a number that nobody else has is as good as a random one.
        packet[..HEAD_BYTES].copy_from_slice(&[0x80, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        packet[8..10].copy_from_slice(&rtp.local_addr().port().to_be_bytes());
        let mut due = next_on_grid(self.grid, Instant::now());
        let mut sequence = 0u32;
        let mut listener = Listener::default();
        let ended = loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => break Ok(()),
                received = rtp.recv_from(&mut heard) => {
                    if let Ok((length, _)) = received && listener.hear(&heard[..length]) {
                        count(&self.totals.received, 1);
                    }
                }
                received = line.sip.recv_from(&mut said) => {
                    let Ok((length, _)) = received else { continue };
                    match hear(&said[..length]) {
                        // A copy: the ACK was lost.
                        Heard::ToInvite(response) if response.is_final() => line.send(&call.ack()).await?,
                        Heard::HungUp(answer) => {
                            line.send(&answer).await?;
                            break Err(Problem::HungUp);
                        }
                        _ => {}
                    }
                }
                () = sleep_until(due) => {
                    let now = Instant::now();
                    while due <= now {
                        packet[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
                        let timestamp = sequence.wrapping_mul(AUDIO_BYTES as u32);
                        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
                        rtp.send_to(&packet, *audio).await?;
                        count(&self.totals.sent, 1);
                        count(&self.totals.late, u64::from(now > due + LATE));
                        // The first one begins a talkspurt.
                        packet[1] = 0;
                        sequence = sequence.wrapping_add(1);
                        due += PACKET;
                    }
                }
            }
        };
        count(&self.totals.lost, listener.lost());
        ended
    }
}

/// The first time of the grid that is not before `now`.
fn next_on_grid(grid: Instant, now: Instant) -> Instant {
    let since = now.saturating_duration_since(grid);
    grid + PACKET * since.as_nanos().div_ceil(PACKET.as_nanos()) as u32
}

/// A call that is up.
struct Talk {
    line: Line,
    call: Call,
    rtp: OsUdpSocket,
    /// Where audio goes.
    audio: SocketAddr,
}

/// The way to the gateway.
struct Line {
    sip: OsUdpSocket,
    gateway: SocketAddr,
}

impl Line {
    async fn send(&self, message: &[u8]) -> std::io::Result<()> {
        self.sip.send_to(message, self.gateway).await.map(drop)
    }

    /// Sends `request` until an answer comes, and gives the final one among those that are `wanted`; `None` if none comes.
    async fn ask(
        &self,
        request: &Bytes,
        wanted: impl Fn(Heard) -> Option<Response>,
    ) -> std::io::Result<Option<Response>> {
        let gives_up = Instant::now() + PATIENCE;
        let (mut apart, mut is_heard) = (FIRST_COPY, false);
        let mut datagram = [0; 4_096];
        while Instant::now() < gives_up {
            if !is_heard {
                self.send(request).await?;
            }
            let copy = (Instant::now() + apart).min(gives_up);
            apart = (apart * 2).min(COPIES_APART_MAX);
            while let Ok(received) = timeout_at(copy, self.sip.recv_from(&mut datagram)).await {
                let Some(response) =
                    received.ok().and_then(|(length, _)| wanted(hear(&datagram[..length])))
                else {
                    continue;
                };
                if response.is_final() {
                    return Ok(Some(response));
                }
                is_heard = true;
            }
        }
        Ok(None)
    }
}

/// What is missing in what is heard, by sequence numbers.
#[derive(Debug, Default)]
struct Listener {
    /// The first one, and how many came.
    first: Option<u16>,
    received: u64,
    /// How far the newest one is from the first.
    reach: u64,
}

impl Listener {
    /// Whether it is a packet of audio.
    fn hear(&mut self, packet: &[u8]) -> bool {
        if packet.len() != HEAD_BYTES + AUDIO_BYTES || packet[0] != 0x80 || packet[1] & 0x7f != 0 {
            return false;
        }
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let first = *self.first.get_or_insert(sequence);
        let ahead = sequence.wrapping_sub(first.wrapping_add(self.reach as u16));
        // Behind the newest one it was out of order.
        if ahead < 0x8000 {
            self.reach += u64::from(ahead);
        }
        self.received += 1;
        true
    }

    fn lost(&self) -> u64 {
        self.first.map_or(0, |_| (self.reach + 1).saturating_sub(self.received))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear_all(sequences: impl IntoIterator<Item = u16>) -> Listener {
        let mut listener = Listener::default();
        for sequence in sequences {
            let mut packet = [0; HEAD_BYTES + AUDIO_BYTES];
            packet[0] = 0x80;
            packet[2..4].copy_from_slice(&sequence.to_be_bytes());
            assert!(listener.hear(&packet));
        }
        listener
    }

    #[test]
    fn what_does_not_come_is_lost() {
        assert_eq!(Listener::default().lost(), 0);
        assert_eq!(hear_all([65_534, 65_535, 0, 1]).lost(), 0);
        assert_eq!(hear_all([65_534, 1]).lost(), 2);
        assert_eq!(hear_all([1, 3, 2, 4]).lost(), 0);
        assert_eq!(hear_all((0..200_000u32).map(|n| n as u16).filter(|n| *n != 7)).lost(), 4);
        assert!(!Listener::default().hear(&[0x80, 200, 0, 6]));
    }

    #[test]
    fn packets_are_due_on_the_grid() {
        let grid = Instant::now();
        let at = |ms| grid + Duration::from_millis(ms);
        for (now, due) in [(0, 0), (1, 20), (20, 20), (39, 40), (41, 60)] {
            assert_eq!(next_on_grid(grid, at(now)), at(due), "at {now} ms");
        }
        assert_eq!(next_on_grid(at(7), grid), at(7));
    }
}
