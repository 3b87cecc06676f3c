//! One caller: it calls, has a speaker talk once the call is up, and hangs up when it is told to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
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
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    signalling::{Call, Heard, hear},
    speakers::{Joining, Speaker},
};

/// T1, T2 and 64 times T1 of RFC 3261.
const FIRST_COPY: Duration = Duration::from_millis(500);
const COPIES_APART_MAX: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(32);

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
    /// When its first packet is due, or whole packets later.
    pub(super) grid: std::time::Instant,
    /// Where reports may go.
    pub(super) rtcp: SocketAddr,
    /// Who talks for it.
    pub(super) speakers: Joining,
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
        let line = Line { sip: Os.bind_udp(any).await?, gateway: self.gateway };
        // Not the runtime's: it would be woken for each packet, and the gateway that sends it would pay for that.
        let rtp = std::net::UdpSocket::bind(any)?;
        let mut call = Call::new(line.sip.local_addr(), self.gateway, &self.user, self.id.clone());
        let invite = call.invite(rtp.local_addr()?, self.rtcp);
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
        let is_over = Arc::new(AtomicBool::new(false));
        self.speakers.join(Speaker::new(rtp, audio, self.grid, Arc::clone(&is_over))?);
        Ok(Talk { line, call, is_over })
    }

    async fn end(&self, talk: Talk) -> Result<(), Problem> {
        let ended = self.wait(&talk).await;
        talk.is_over.store(true, Ordering::Relaxed);
        ended?;
        let bye = talk.call.bye();
        let farewell = talk.line.ask(&bye, |heard| match heard {
            Heard::ToBye(response) => Some(response),
            _ => None,
        });
        let answer = farewell.await?.ok_or(Problem::NoFarewell)?;
        if answer.status < 300 { Ok(()) } else { Err(Problem::Refused(answer.status)) }
    }

    /// Waits until it is time to hang up, or until the gateway does.
    async fn wait(&self, talk: &Talk) -> Result<(), Problem> {
        let Talk { line, call, .. } = talk;
        let mut said = [0; 2_048];
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                received = line.sip.recv_from(&mut said) => received,
            };
            let Ok((length, _)) = received else { continue };
            match hear(&said[..length]) {
                // A copy: the ACK was lost.
                Heard::ToInvite(response) if response.is_final() => line.send(&call.ack()).await?,
                Heard::HungUp(answer) => {
                    line.send(&answer).await?;
                    return Err(Problem::HungUp);
                }
                _ => {}
            }
        }
    }
}

/// A call that is up.
struct Talk {
    line: Line,
    call: Call,
    /// Its speaker is to be silent.
    is_over: Arc<AtomicBool>,
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
