//! An HTTP-FLV viewer: checks and logs what it receives. HTTP itself is hyper's, so that the gateway's own
//! chunked coding is read by somebody else's code.

use std::{future::poll_fn, io, net::SocketAddr, pin::Pin, time::Duration};

use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::{Body, Bytes, Incoming},
    client::conn::http1,
    header,
};
use hyper_util::rt::TokioIo;
use rehearsal_core::{
    env::Env,
    media::flv::{BODY_BYTES_MAX, DemuxError, Demuxer, FileHeader, TagKind},
    rtmp::message::type_id,
};
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    publisher::Notes,
    rtmp_player::{PlayPlan, PlayReport, finish, note_first, sit_out},
    verify::{Breach, Kind, Promise, Verifier},
};

/// Why a viewer's response is over.
#[derive(Debug, Error)]
pub(super) enum ViewEnd {
    #[error("{}", .0.kind())]
    Io(#[from] io::Error),
    #[error("HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("status {0}")]
    Status(u16),
    #[error("FLV: {0}")]
    Flv(#[from] DemuxError),
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
    let mut header = None;
    let viewing = view(&env, gateway, &plan, origin, &notes, &mut verifier, &mut header);
    let end = match timeout_at(at(plan.leave_ms), viewing).await {
        Ok(Ok(())) => "end of the response".to_owned(),
        Ok(Err(end)) => end.to_string(),
        Err(_) => "left".to_owned(),
    };
    let untrue = header.and_then(|header| untrue_flags(header, &verifier));
    let mut report = finish(plan.stream, verifier, end, origin.elapsed(), &notes);
    report.violations.extend(untrue.map(|what| Breach { promise: Promise::Announced, what }));
    report
}

/// What is wrong with the flags of the FLV header, given everything that came after it.
fn untrue_flags(header: FileHeader, verifier: &Verifier) -> Option<String> {
    let came = |kinds: [Kind; 3]| verifier.received().iter().any(|seen| kinds.contains(&seen.kind));
    let audio = came([Kind::Audio, Kind::AudioHeader, Kind::Audio]);
    let video = came([Kind::Keyframe, Kind::Inter, Kind::VideoHeader]);
    let nothing_came = !audio && !video;
    (!nothing_came && (header.has_audio != audio || header.has_video != video)).then(|| {
        format!("the FLV header says {header:?}, but audio came: {audio}, video came: {video}")
    })
}

pub(super) async fn view<E: Env>(
    env: &E,
    gateway: SocketAddr,
    plan: &PlayPlan,
    origin: Instant,
    notes: &Notes,
    verifier: &mut Verifier,
    flv_header: &mut Option<FileHeader>,
) -> Result<(), ViewEnd> {
    let socket = env.connect_tcp(gateway).await?;
    let (mut sender, mut connection) = http1::handshake(TokioIo::new(socket)).await?;
    let request = Request::get(format!("/{}.flv", plan.stream))
        .header(header::HOST, gateway.to_string())
        .body(Empty::<Bytes>::new())
        .expect("a valid request");
    let mut response = std::pin::pin!(sender.send_request(request));
    let mut response: Response<Incoming> = poll_fn(|cx| {
        // The connection makes the response progress; its own end shows there too.
        let _ = Pin::new(&mut connection).poll(cx)?;
        response.as_mut().poll(cx)
    })
    .await?;
    if response.status() != 200 {
        notes(&format!("status {}", response.status().as_u16()));
        return Err(ViewEnd::Status(response.status().as_u16()));
    }
    notes("response starts");

    let mut demuxer = Demuxer::new(BODY_BYTES_MAX);
    let mut stall = plan.stall;
    let mut connected = true;
    loop {
        sit_out(&mut stall, origin, notes).await;
        let frame = poll_fn(|cx| {
            if connected && Pin::new(&mut connection).poll(cx)?.is_ready() {
                connected = false;
            }
            Pin::new(response.body_mut()).poll_frame(cx).map_err(ViewEnd::from)
        })
        .await;
        let Some(frame) = frame else { return Ok(()) };
        if let Ok(bytes) = frame?.into_data() {
            demuxer.feed(&bytes);
        }
        while let Some(tag) = demuxer.next_tag()? {
            let type_id = match tag.kind {
                TagKind::Audio => type_id::AUDIO,
                TagKind::Video => type_id::VIDEO,
                TagKind::Script => type_id::DATA_AMF0,
            };
            verifier.receive(type_id, tag.timestamp_ms, &tag.body, origin.elapsed());
            note_first(verifier, notes);
        }
        *flv_header = demuxer.header();
    }
}
