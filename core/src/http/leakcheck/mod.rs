//! `GET /api/v1/leakcheck?check=calibrate|added|full`: what the running gateway holds on the heap, by call site.
//!
//! `calibrate` remembers what is held now, `added` tells what call sites hold more than they did then, `full` tells
//! what all of them hold. `format=json` or `format=text` tells the form, otherwise the header `Accept`, otherwise it is JSON.
//! Every answer with status 200 has, in JSON:
//!
//! ```json
//! {
//!   "check": "added",
//!   "summary": {
//!     "blocks":      {"now": 1204, "added": 1},
//!     "bytes":       {"now": 331776, "added": 64},
//!     "connections": {"now": 1, "added": 0},
//!     "streams":     {"now": 0, "added": 0},
//!     "open_files":  {"now": 14, "added": 0}
//!   },
//!   "listed":   {"sites": 1, "blocks": 1, "bytes": 64},
//!   "cut":      {"sites": 0, "blocks": 0, "bytes": 0},
//!   "nameless": {"sites": 0, "blocks": 0, "bytes": 0},
//!   "sites": [{
//!     "blocks": 1,
//!     "bytes": 64,
//!     "own":   [{"function": "rehearsal_core::live::registry::Registry::publish", "place": "core/src/live/registry.rs:203"}],
//!     "stack": [{"function": "...", "place": "..."}]
//!   }]
//! }
//! ```
//!
//! - `summary`: of blocks on the heap, of their bytes as asked for, of connections of all kinds (the one that asks is one of
//!   them), of streams that somebody publishes or plays, and of open files and sockets of the process (`null` where the
//!   system does not tell): how many there are `now`, and how many were `added` to what there was at the calibration, below
//!   zero if they have become fewer, `null` without a calibration.
//! - `sites`: at most 100 call sites, those with most bytes first; none for `calibrate`. `blocks` and `bytes` are what the site
//!   holds (`full`) or holds more than at the calibration (`added`; a site that holds as much in other blocks has
//!   added nothing). `own` are the calls of the gateway's code, innermost first, `stack` all calls; `place` is file and
//!   line, empty where nobody knows. Call sites that read alike are one.
//! - `listed`, `cut`, `nameless`: what the call sites come to that are in `sites`, that are beyond the 100, and
//!   whose symbols could not be found in 20 s.
//!
//! Told are the blocks that the gateway has allocated: in opening its listeners, in accepting, and in the tasks of its
//! connections. Not the program's around it, and not the log's: each of the runtime's threads keeps a buffer for lines. Nor
//! what the answer itself needs: it leaves hyper before anything is looked at, what looks is in no scope of the gateway's, and
//! what remains of the connection that asks (its task and its socket) is the same each time.
//!
//! A calibration and a look are photographs of a gateway that goes on: a connection that is being closed holds something
//! until it is gone.

mod ask;
mod report;

use std::{
    fmt, io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use http_body_util::{Either, Full};
use hyper::{
    Method, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{self, HeaderValue},
};
use rehearsal_heap::{self as heap, Scope};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};
use tracing::{info, warn};

use self::{
    ask::{Ask, Check, Format},
    report::{Look, Report},
};
use super::{
    handover::{Handover, LiveBody, Sequel},
    routes::{Answer, RETRY_AFTER, text},
};
use crate::{
    env::Env,
    gateway::{Peer, Shared, close_in_stages},
};

/// Where it is served.
pub(super) const PATH: &str = "/api/v1/leakcheck";
/// Longest search for symbols.
const SYMBOLS: Duration = Duration::from_secs(20);
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD");

/// What the leak check knows from one request to the next.
pub(crate) struct Leakcheck {
    connections: Box<dyn Fn() -> usize + Send + Sync>,
    calibration: Mutex<Option<Arc<Look>>>,
    is_busy: Arc<AtomicBool>,
}

impl Leakcheck {
    /// Not calibrated; `connections` tells how many there are.
    pub(crate) fn new(connections: impl Fn() -> usize + Send + Sync + 'static) -> Self {
        // It is no part of what it looks at.
        let _scope = heap::enter(Scope::Other);
        Self {
            connections: Box::new(connections),
            calibration: Mutex::new(None),
            is_busy: Arc::default(),
        }
    }

    fn calibration(&self) -> Option<Arc<Look>> {
        self.calibration.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn calibrate(&self, look: Arc<Look>) {
        *self.calibration.lock().unwrap_or_else(PoisonError::into_inner) = Some(look);
    }

    /// The right to look; `None` while somebody else has it.
    fn begin(&self) -> Option<Turn> {
        let is_busy = self.is_busy.swap(true, Ordering::AcqRel);
        (!is_busy).then(|| Turn(Arc::clone(&self.is_busy)))
    }
}

impl fmt::Debug for Leakcheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leakcheck").field("is_busy", &self.is_busy).finish_non_exhaustive()
    }
}

/// The right to look, which one request has at a time.
#[derive(Debug)]
struct Turn(Arc<AtomicBool>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// What is to be done once the head of the response is out.
#[derive(Debug)]
pub(super) struct Job {
    ask: Ask,
    turn: Turn,
    /// HTTP/1.1 chunked coding; without it the end of the connection ends the response.
    chunked: bool,
}

/// Answers a request, or has [`serve`] do it.
pub(super) fn answer<E: Env>(
    shared: &Shared<E>,
    handover: Arc<Handover>,
    peer: Peer,
    request: &Request<Incoming>,
) -> Answer {
    let leakcheck = &shared.leakcheck;
    if !ask::is_allowed(peer.address, shared.config.http.leakcheck_from_anywhere) {
        let reason = "only this machine may ask (http.leakcheck_from_anywhere)";
        return text(StatusCode::FORBIDDEN, reason);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "use GET or HEAD");
        answer.headers_mut().insert(header::ALLOW, ALLOWED);
        return answer;
    }
    let ask = match Ask::parse(request.uri().query(), request.headers()) {
        Ok(ask) => ask,
        Err(reason) => return text(StatusCode::BAD_REQUEST, &reason),
    };
    if !heap::is_counting() {
        let reason = "the allocator of this program does not count";
        return text(StatusCode::NOT_IMPLEMENTED, reason);
    }
    if ask.check == Check::Added && leakcheck.calibration().is_none() {
        let reason = "added to what? Ask for ?check=calibrate first, and again for this later";
        return text(StatusCode::CONFLICT, reason);
    }
    if request.method() == Method::HEAD {
        return head(ask.format, Either::Left(Full::default()));
    }
    let Some(turn) = leakcheck.begin() else {
        let reason = "another check is going on; ask again when it is over";
        let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, reason);
        answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
        return answer;
    };
    let chunked = request.version() >= Version::HTTP_11;
    handover.answer(Sequel::Leakcheck(Job { ask, turn, chunked }));
    head(ask.format, Either::Right(LiveBody(handover)))
}

fn head(format: Format, body: Either<Full<bytes::Bytes>, LiveBody>) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The socket is taken from hyper, and is not given back.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Looks, and writes what follows the head.
pub(super) async fn serve<E: Env>(
    shared: Arc<Shared<E>>,
    mut socket: E::TcpStream,
    job: Job,
    peer: Peer,
) {
    let Job { ask, turn, chunked } = job;
    let looked_at = Arc::clone(&shared);
    let looking = shared.env.run_aside(move || {
        let body = look(&looked_at, ask);
        drop(turn);
        body
    });
    let body = tokio::select! {
        biased;
        () = shared.shutdown.cancelled() => return,
        body = looking => body,
    };
    let body = match body {
        Ok(body) => body,
        Err(error) => {
            warn!(peer = %peer.address, connection = peer.id, %error, "leakcheck failed");
            return;
        }
    };
    let within = Duration::from_millis(shared.config.http.idle_ms);
    let is_written =
        matches!(timeout(within, write(&mut socket, &body, chunked)).await, Ok(Ok(())));
    if is_written {
        let within = Duration::from_millis(shared.config.limits.farewell_ms);
        // A peer that stays, or that resets it, has had its time.
        let _ = timeout(within, close_in_stages(&mut socket)).await;
    }
    info!(
        peer = %peer.address,
        connection = peer.id,
        check = ?ask.check,
        is_written,
        "leakcheck ended"
    );
}

async fn write<S: AsyncWrite + Unpin>(socket: &mut S, body: &str, chunked: bool) -> io::Result<()> {
    if chunked {
        socket.write_all(format!("{:x}\r\n", body.len()).as_bytes()).await?;
    }
    socket.write_all(body.as_bytes()).await?;
    if chunked {
        socket.write_all(b"\r\n0\r\n\r\n").await?;
    }
    socket.flush().await
}

/// Takes a photograph and says what is on it.
fn look<E: Env>(shared: &Shared<E>, Ask { check, format }: Ask) -> String {
    let leakcheck = &shared.leakcheck;
    let now = Arc::new(Look {
        held: heap::held(),
        connections: (leakcheck.connections)(),
        streams: shared.live.len(),
        open_files: shared.env.open_files(),
    });
    if check == Check::Calibrate {
        leakcheck.calibrate(Arc::clone(&now));
    }
    let calibration = leakcheck.calibration();
    let until = Instant::now() + SYMBOLS;
    let has_time = || Instant::now() < until && !shared.shutdown.is_cancelled();
    let report = Report::new(check, &now, calibration.as_deref(), has_time);
    match format {
        Format::Json => report.to_json(),
        Format::Text => report.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_looks_at_a_time_and_the_next_when_that_is_over() {
        let leakcheck = Leakcheck::new(|| 0);
        let turn = leakcheck.begin().expect("nobody looks");
        assert!(leakcheck.begin().is_none());
        assert!(leakcheck.begin().is_none(), "who was refused has not ended the other's turn");
        drop(turn);
        assert!(leakcheck.begin().is_some());
    }
}
