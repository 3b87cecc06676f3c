//! An RTMP player: checks and logs what it receives.

use std::{future::pending, net::SocketAddr, time::Duration};

use rehearsal_core::{
    env::Env,
    rtmp::{
        client::{ClientEvent, Intent},
        handshake::ClientForm,
        message::type_id,
    },
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    publisher::Notes,
    rtmp_socket::{RtmpSocket, SocketEnd},
    verify::{Breach, Logged, Verifier},
};

/// Chunk size of players, who send little.
const CHUNK_BYTES: u32 = 128;

/// A time in which a subscriber reads nothing, or has its stream paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stall {
    /// When it stops, after the start of the run.
    pub from_ms: u64,
    /// When it reads again.
    pub to_ms: u64,
}

/// Waits out the stall that is left in `stall`, once its time has come.
pub(super) async fn sit_out(stall: &mut Option<Stall>, origin: Instant, notes: &Notes) {
    let at = |ms| origin + Duration::from_millis(ms);
    if let Some(Stall { to_ms, .. }) = stall.take_if(|stall| Instant::now() >= at(stall.from_ms)) {
        notes("reads nothing for a while");
        sleep_until(at(to_ms)).await;
        notes("reads again");
    }
}

/// What a subscriber does, over RTMP or HTTP-FLV.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayPlan {
    /// Application and stream name.
    pub stream: String,
    /// When to connect, after the start of the run.
    pub start_ms: u64,
    /// When to go, after the start of the run.
    pub leave_ms: u64,
    /// When not to read.
    pub stall: Option<Stall>,
    /// When to have the stream paused, after it has begun; over RTMP only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Stall>,
}

/// How playing went.
#[derive(Debug)]
pub struct PlayReport {
    /// Application and stream name.
    pub stream: String,
    /// Everything received.
    pub received: Vec<Logged>,
    /// What was wrong with it.
    pub violations: Vec<Breach>,
    /// Gaps in the numbers of frames.
    pub gaps: u64,
    /// Statuses of the stream, and when they came.
    pub statuses: Vec<(Duration, String)>,
    /// Digits that a phone has dialled, and when they were told.
    pub digits: Vec<(Duration, char)>,
    /// How it ended.
    pub end: String,
    /// When it ended.
    pub ended_at: Duration,
}

impl PlayReport {
    /// The report of a subscriber whose host has crashed at `ended_at`: what it received is not known.
    pub fn crashed(plan: &PlayPlan, ended_at: Duration) -> Self {
        Self {
            stream: plan.stream.clone(),
            received: Vec::new(),
            violations: Vec::new(),
            gaps: 0,
            statuses: Vec::new(),
            digits: Vec::new(),
            end: "crashed".to_owned(),
            ended_at,
        }
    }
}

/// What a player is told besides media.
#[derive(Debug, Default)]
pub(super) struct Told {
    statuses: Vec<(Duration, String)>,
    digits: Vec<(Duration, char)>,
}

/// The digit that the data message `onDTMF` tells of: the first word of one letter in it.
fn digit_of(payload: &[u8]) -> Option<char> {
    let values = payload.strip_prefix(b"\x02\0\x06onDTMF")?;
    let at = values.windows(3).position(|head| head == [2, 0, 1])?;
    values.get(at + 3).map(|letter| char::from(*letter))
}

/// Carries out `plan`; times count from `origin`.
pub async fn run<E: Env>(
    env: E,
    gateway: SocketAddr,
    plan: PlayPlan,
    origin: Instant,
    notes: Notes,
) -> PlayReport {
    let at = |ms| origin + Duration::from_millis(ms);
    let mut verifier = Verifier::new(&plan.stream);
    sleep_until(at(plan.start_ms)).await;
    let mut told = Told::default();
    let playing = play(&env, gateway, &plan, origin, &notes, &mut verifier, &mut told);
    let end = match timeout_at(at(plan.leave_ms), playing).await {
        Ok(Ok(end)) => end.to_owned(),
        Ok(Err(end)) => end.to_string(),
        Err(_) => "left".to_owned(),
    };
    let Told { statuses, digits } = told;
    PlayReport { statuses, digits, ..finish(plan.stream, verifier, end, origin.elapsed(), &notes) }
}

/// The report of a subscriber that ended with `end`.
pub(super) fn finish(
    stream: String,
    verifier: Verifier,
    end: String,
    ended_at: Duration,
    notes: &Notes,
) -> PlayReport {
    let (received, violations, gaps) = verifier.finish();
    notes(&format!("play ends after {} messages, {gaps} gaps: {end}", received.len()));
    let (statuses, digits) = (Vec::new(), Vec::new());
    PlayReport { stream, received, violations, gaps, statuses, digits, end, ended_at }
}

/// Notes the first messages of a kind; the rest is in the log.
pub(super) fn note_first(verifier: &Verifier, notes: &Notes) {
    if verifier.is_lean() {
        return;
    }
    let Some((last, before)) = verifier.received().split_last() else { return };
    if before.iter().all(|earlier| earlier.kind != last.kind) {
        let index = last
            .stamp
            .map_or_else(String::new, |stamp| format!(" {} of epoch {}", stamp.index, stamp.epoch));
        notes(&format!("first {:?}{index} at {} ms", last.kind, last.timestamp_ms));
    }
}

pub(super) async fn play<E: Env>(
    env: &E,
    gateway: SocketAddr,
    plan: &PlayPlan,
    origin: Instant,
    notes: &Notes,
    verifier: &mut Verifier,
    told: &mut Told,
) -> Result<&'static str, SocketEnd> {
    let form = ClientForm::Simple;
    let connect = RtmpSocket::connect(env, gateway, &plan.stream, Intent::Play, form, CHUNK_BYTES);
    let mut socket = connect.await?;
    let mut stall = plan.stall;
    let pauses = plan.pause.map(|Stall { from_ms, to_ms }| [(from_ms, true), (to_ms, false)]);
    let mut pauses = pauses.into_iter().flatten().peekable();
    loop {
        sit_out(&mut stall, origin, notes).await;
        let pause = async {
            match pauses.peek() {
                Some((at_ms, _)) => sleep_until(origin + Duration::from_millis(*at_ms)).await,
                None => pending().await,
            }
        };
        let event = tokio::select! {
            biased;
            () = pause => None,
            event = socket.event() => Some(event?),
        };
        let Some(event) = event else {
            let (_, is_paused) = pauses.next().expect("its time has come");
            socket.session().send_pause(is_paused);
            continue;
        };
        match event {
            ClientEvent::Started => notes("play starts"),
            ClientEvent::Refused { code, .. } => {
                notes(&format!("refused {code}"));
                return Ok("refused");
            }
            ClientEvent::Status { code } => {
                notes(&code);
                told.statuses.push((origin.elapsed(), code));
            }
            ClientEvent::Media(message) => {
                let sample_access = message.payload.starts_with(b"\x02\0\x11|RtmpSampleAccess");
                if message.type_id == type_id::DATA_AMF0
                    && let Some(digit) = digit_of(&message.payload)
                {
                    told.digits.push((origin.elapsed(), digit));
                }
                if !sample_access {
                    verifier.receive(
                        message.type_id,
                        message.timestamp_ms,
                        &message.payload,
                        origin.elapsed(),
                    );
                    note_first(verifier, notes);
                }
            }
            ClientEvent::User(_) => {}
        }
    }
}
