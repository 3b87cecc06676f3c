//! An RTMP publisher: sends media in real time and logs it.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rehearsal_core::{
    env::{Env, read_file},
    rtmp::{
        client::{ClientEvent, Intent},
        handshake::{ClientForm, Scheme},
        message::type_id,
    },
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout};

use super::{
    media::{Generated, Item, MediaPlan, from_flv},
    rtmp_socket::{RtmpSocket, SocketEnd},
    verify::{self, Logged},
};

/// Chunk size of publishers, as OBS sets it.
const CHUNK_BYTES: u32 = 4096;
/// Largest FLV file a publisher reads.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// How long an answer to publish or to the end may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// Unsent bytes above which an encoder drops frames; here it gives up.
const UNSENT_BYTES_MAX: usize = 16 << 20;

/// Takes a client's notes of what happens to it.
pub type Notes = Arc<dyn Fn(&str) + Send + Sync>;

/// What to send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// Generated media.
    Generated(MediaPlan),
    /// A file of the publisher's host.
    FlvFile(PathBuf),
}

/// How a publisher ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Leave {
    /// With FCUnpublish, deleteStream and FIN.
    Orderly,
    /// The process is gone: the socket is closed and nothing is said.
    Killed,
    /// Nothing more is sent, and the connection stays.
    Silent,
}

/// What a publisher does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishPlan {
    /// Application and stream name.
    pub stream: String,
    /// Which publish of the stream it is, for the stamps.
    pub epoch: u32,
    /// When to connect, after the start of the run.
    pub start_ms: u64,
    /// What to send.
    pub source: Source,
    /// How much of it; a file may end before.
    pub duration_ms: u64,
    /// How to end.
    pub leave: Leave,
    /// Open with the digest handshake.
    pub digest: bool,
}

/// How publishing went.
#[derive(Debug)]
pub struct PublishReport {
    /// Application and stream name.
    pub stream: String,
    /// As in the plan.
    pub epoch: u32,
    /// Status code of a refusal.
    pub refused: Option<String>,
    /// When publish was accepted or refused, after the start of the run.
    pub answered_at: Option<Duration>,
    /// Everything that was handed to the socket.
    pub sent: Vec<Logged>,
    /// Bytes that were written and not acknowledged when the last message was due.
    pub unacknowledged_bytes: u32,
    /// How it ended.
    pub end: String,
    /// When it ended, after the start of the run; unknown after a crash of its host.
    pub ended_at: Option<Duration>,
}

impl PublishReport {
    /// The report of a publisher whose host has crashed: what it sent is not known.
    pub fn crashed(plan: &PublishPlan) -> Self {
        Self {
            stream: plan.stream.clone(),
            epoch: plan.epoch,
            refused: None,
            answered_at: None,
            sent: Vec::new(),
            unacknowledged_bytes: 0,
            end: "crashed".to_owned(),
            ended_at: None,
        }
    }
}

/// Carries out `plan`; times count from `origin`.
pub async fn run<E: Env>(
    env: E,
    gateway: SocketAddr,
    plan: PublishPlan,
    origin: Instant,
    notes: Notes,
) -> PublishReport {
    let mut report = PublishReport {
        stream: plan.stream.clone(),
        epoch: plan.epoch,
        refused: None,
        answered_at: None,
        sent: Vec::new(),
        unacknowledged_bytes: 0,
        end: String::new(),
        ended_at: None,
    };
    sleep_until(origin + Duration::from_millis(plan.start_ms)).await;
    let end = publish(&env, gateway, &plan, origin, &notes, &mut report).await;
    report.end = match end {
        Ok(end) => end.to_owned(),
        Err(end) => end.to_string(),
    };
    report.ended_at = Some(origin.elapsed());
    notes(&format!("publish ends after {} messages: {}", report.sent.len(), report.end));
    report
}

async fn items<E: Env>(
    env: &E,
    plan: &PublishPlan,
) -> Result<Box<dyn Iterator<Item = Item> + Send>, SocketEnd> {
    Ok(match &plan.source {
        Source::Generated(media) => {
            Box::new(Generated::new(media.clone(), &plan.stream, plan.epoch))
        }
        Source::FlvFile(path) => {
            let file = read_file(env, path, FILE_BYTES_MAX).await?;
            let items = from_flv(&file).map_err(std::io::Error::other)?;
            Box::new(items.into_iter())
        }
    })
}

async fn publish<E: Env>(
    env: &E,
    gateway: SocketAddr,
    plan: &PublishPlan,
    origin: Instant,
    notes: &Notes,
    report: &mut PublishReport,
) -> Result<&'static str, SocketEnd> {
    let items = items(env, plan).await?;
    let form = match plan.digest {
        true => ClientForm::Digest(Scheme::Zero),
        false => ClientForm::Simple,
    };
    let connect =
        RtmpSocket::connect(env, gateway, &plan.stream, Intent::Publish, form, CHUNK_BYTES);
    let mut socket = connect.await?;
    loop {
        let Ok(event) = timeout(PATIENCE, socket.event()).await else {
            return Ok("no answer to publish");
        };
        match event? {
            ClientEvent::Started => {
                report.answered_at = Some(origin.elapsed());
                break;
            }
            ClientEvent::Refused { code, .. } => {
                notes(&format!("refused {code}"));
                report.answered_at = Some(origin.elapsed());
                report.refused = Some(code);
                socket.close().await?;
                return Ok("refused");
            }
            _ => {}
        }
    }
    notes("publish starts");

    let start = Instant::now();
    let duration = Duration::from_millis(plan.duration_ms);
    for item in items.take_while(|item| item.due < duration) {
        let due = sleep_until(start + item.due);
        tokio::pin!(due);
        loop {
            tokio::select! {
                biased;
                event = socket.event() => status(event?, notes),
                () = &mut due => break,
            }
        }
        if socket.unsent_bytes() > UNSENT_BYTES_MAX {
            return Ok("the gateway takes nothing");
        }
        send(&mut socket, item, origin, report);
    }
    report.unacknowledged_bytes = socket.unacknowledged_bytes();
    match plan.leave {
        Leave::Orderly => {
            socket.session().send_close();
            match timeout(PATIENCE, socket.close()).await {
                Ok(closed) => closed.map(|()| "closed in order"),
                Err(_) => Ok("no answer to the end"),
            }
        }
        Leave::Killed => {
            socket.send_all().await?;
            Ok("killed")
        }
        Leave::Silent => loop {
            status(socket.event().await?, notes);
        },
    }
}

fn send<E: Env>(
    socket: &mut RtmpSocket<E>,
    item: Item,
    origin: Instant,
    report: &mut PublishReport,
) {
    // Logged as players see it: without the name that the server strips.
    let wrapper = b"\x02\0\x0d@setDataFrame";
    let stripped = match item.type_id == type_id::DATA_AMF0 && item.payload.starts_with(wrapper) {
        true => item.payload.slice(wrapper.len()..),
        false => item.payload.clone(),
    };
    let logged = verify::log(item.type_id, item.timestamp_ms, &stripped, origin.elapsed());
    report.sent.push(logged.expect("a publisher sends what it knows"));
    socket.session().send_media(item.type_id, item.timestamp_ms, item.payload);
}

fn status(event: ClientEvent, notes: &Notes) {
    if let ClientEvent::Status { code } = event {
        notes(&code);
    }
}
