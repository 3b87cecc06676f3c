//! Which request gets which answer.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Version,
    body::{Body, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use percent_encoding::percent_decode_str;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};

use super::handover::{Handover, LiveBody, LiveResponse, Sequel};
#[cfg(feature = "leakcheck")]
use super::leakcheck;
use crate::{
    env::Env,
    gateway::{Peer, Shared},
    live::{Subscriber, Tracks},
};

const SERVER: HeaderValue =
    HeaderValue::from_static(concat!("rehearsal/", env!("CARGO_PKG_VERSION")));
/// Seconds after which a client should ask again.
pub(super) const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

pub(super) type Answer = Response<Either<Full<Bytes>, LiveBody>>;

/// Answers the requests of one connection.
pub(super) struct Service<E: Env> {
    shared: Arc<Shared<E>>,
    handover: Arc<Handover>,
    peer: Peer,
}

impl<E: Env> Service<E> {
    pub(super) fn new(shared: Arc<Shared<E>>, handover: Arc<Handover>, peer: Peer) -> Self {
        Self { shared, handover, peer }
    }
}

impl<E: Env> hyper::service::Service<Request<Incoming>> for Service<E> {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (shared, handover) = (Arc::clone(&self.shared), Arc::clone(&self.handover));
        let peer = self.peer;
        handover.begin_request();
        Box::pin(async move {
            if head_bytes(&request) > shared.config.http.max_head_bytes {
                handover.end_request();
                debug!(peer = %peer.address, status = 431, "HTTP request");
                return Ok(head_too_long());
            }
            let lacks_host = request.version() == Version::HTTP_11
                && !request.headers().contains_key(header::HOST);
            let mut answer = match request.uri().path() {
                _ if lacks_host => {
                    text(StatusCode::BAD_REQUEST, "HTTP/1.1 needs a Host header (RFC 9112, 3.2)")
                }
                #[cfg(feature = "leakcheck")]
                leakcheck::PATH => {
                    leakcheck::answer(&shared, Arc::clone(&handover), peer, &request)
                }
                _ => route(&shared, Arc::clone(&handover), &request).await,
            };
            handover.end_request();
            debug!(
                peer = %peer.address,
                method = %request.method(),
                path = request.uri().path(),
                status = answer.status().as_u16(),
                "HTTP request"
            );
            add_common_headers(answer.headers_mut(), &shared.env);
            #[cfg(feature = "leakcheck")]
            if request.uri().path() == leakcheck::PATH {
                // It is for this machine, and so not for the pages that its browsers show.
                answer.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
            }
            // Nobody reads a request's body, and what of it has come by now is a matter of chance: the next request could not
            // be told from it.
            if !request.body().is_end_stream() {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        })
    }
}

/// Length of the head of `request` as it is mostly written (RFC 9112, 3 and 5): CR and LF after each line, one space after each colon.
///
/// hyper refuses a head that is incomplete in a full buffer. One whose end comes with the bytes that fill it passes, although it is too
/// long, and so how it was cut into segments would make a difference.
fn head_bytes(request: &Request<Incoming>) -> usize {
    let uri = request.uri();
    let path_bytes = uri.path_and_query().map_or(0, |target| target.as_str().len());
    let scheme_bytes = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len());
    let authority_bytes = uri.authority().map_or(0, |authority| authority.as_str().len());
    let target_bytes = scheme_bytes + authority_bytes + path_bytes;
    let request_line_bytes =
        request.method().as_str().len() + target_bytes + "  HTTP/1.1\r\n".len();
    let fields = request.headers().iter();
    let field_bytes = |(name, value): (&HeaderName, &HeaderValue)| {
        name.as_str().len() + value.len() + ": \r\n".len()
    };
    request_line_bytes + fields.map(field_bytes).sum::<usize>() + "\r\n".len()
}

/// What hyper says of those that it refuses itself.
fn head_too_long() -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// Headers of every answer. Players in browsers come from other origins.
fn add_common_headers<E: Env>(headers: &mut HeaderMap, env: &E) {
    headers.insert(header::SERVER, SERVER);
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(env.wall_clock())) {
        headers.insert(header::DATE, date);
    }
}

async fn route<E: Env>(
    shared: &Arc<Shared<E>>,
    handover: Arc<Handover>,
    request: &Request<Incoming>,
) -> Answer {
    let stream = match live_stream(request.uri().path(), shared.config.live.max_name_bytes) {
        Ok(stream) => stream,
        Err(reason) => return text(StatusCode::NOT_FOUND, reason),
    };
    match *request.method() {
        Method::GET => live(shared, handover, &stream, request.version()).await,
        // Without waiting: whoever asks for the head alone wants to know how things are now.
        Method::HEAD if shared.live.is_published(&stream) => {
            flv_head(Either::Left(Full::default()))
        }
        Method::HEAD => text(StatusCode::NOT_FOUND, "nobody publishes the stream"),
        Method::OPTIONS => options(),
        _ => {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "use GET, HEAD or OPTIONS");
            answer.headers_mut().insert(header::ALLOW, ALLOWED);
            answer
        }
    }
}

const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// The stream that `path` names: `/APP/NAME.flv`.
fn live_stream(path: &str, max_name_bytes: usize) -> Result<String, &'static str> {
    let not_here = "nothing is here; live streams are at /APP/NAME.flv";
    let name = path.strip_prefix('/').and_then(|path| path.strip_suffix(".flv")).ok_or(not_here)?;
    let name = percent_decode_str(name).decode_utf8().map_err(|_| "the name is not UTF-8")?;
    let (app, stream) = name.rsplit_once('/').ok_or(not_here)?;
    // RTMP may put the slashes of a name on either side, so that only the whole has a length.
    let usable = !app.is_empty()
        && !stream.is_empty()
        && name.len() <= 2 * max_name_bytes + 1
        && !name.chars().any(char::is_control);
    match usable {
        true => Ok(name.into_owned()),
        false => Err("the name is empty, too long or has control characters"),
    }
}

pub(super) fn text(status: StatusCode, reason: &str) -> Answer {
    let mut answer = Response::new(Either::Left(Full::from(format!("{reason}\n"))));
    *answer.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, plain);
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::NOT_FOUND {
        answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    answer
}

fn options() -> Answer {
    let mut answer = Response::new(Either::Left(Full::default()));
    *answer.status_mut() = StatusCode::NO_CONTENT;
    let headers = answer.headers_mut();
    headers.insert(header::ALLOW, ALLOWED);
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOWED);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
    answer
}

fn flv_head(body: Either<Full<Bytes>, LiveBody>) -> Answer {
    let mut answer = Response::new(body);
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("video/x-flv"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // The end of the stream ends the connection.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn live<E: Env>(
    shared: &Arc<Shared<E>>,
    handover: Arc<Handover>,
    stream: &str,
    version: Version,
) -> Answer {
    let now = Instant::now();
    let mut subscriber = match shared.live.subscribe(stream, now) {
        Ok(subscriber) => subscriber,
        Err(error) => {
            info!(stream, %error, "HTTP-FLV refused");
            let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, &error.to_string());
            answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            return answer;
        }
    };
    let patience = Duration::from_millis(shared.config.http.wait_publisher_ms);
    let settled =
        timeout_at(now + patience, settled_tracks(&mut subscriber, shared.live.limits().probe));
    let tracks = tokio::select! {
        biased;
        () = shared.shutdown.cancelled() => {
            return text(StatusCode::SERVICE_UNAVAILABLE, "the server is shutting down");
        }
        settled = settled => settled,
    };
    match tracks {
        Ok(tracks) => {
            let chunked = version >= Version::HTTP_11;
            let response = LiveResponse { subscriber, tracks, chunked };
            handover.answer(Sequel::Live(response));
            flv_head(Either::Right(LiveBody(handover)))
        }
        Err(_) => {
            let reason = format!(
                "nobody sends media as {stream}; waited {} ms (http.wait_publisher_ms)",
                patience.as_millis()
            );
            let mut answer = text(StatusCode::NOT_FOUND, &reason);
            answer.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
            answer
        }
    }
}

/// Waits until the tracks of the stream can be told.
async fn settled_tracks(subscriber: &mut Subscriber, probe: Duration) -> Tracks {
    loop {
        let changed = subscriber.changed();
        if let Some(tracks) = subscriber.join_settled(Instant::now()) {
            return tracks;
        }
        // Time alone settles a stream with one track, too.
        let _ = timeout(probe, changed).await;
    }
}

#[cfg(test)]
mod tests {
    use super::live_stream;

    #[test]
    fn paths_name_streams() {
        assert_eq!(live_stream("/live/cam.flv", 10), Ok("live/cam".into()));
        assert_eq!(live_stream("/a/b/c.flv", 10), Ok("a/b/c".into()));
        assert_eq!(live_stream("/live/a%20b.flv", 10), Ok("live/a b".into()));
        for refused in ["/", "/cam.flv", "/live/.flv", "//cam.flv", "/live/cam", "live/cam.flv"] {
            assert!(live_stream(refused, 10).is_err(), "{refused}");
        }
        assert!(live_stream("/live/%ff.flv", 10).is_err());
        assert!(live_stream("/live/a%0ab.flv", 10).is_err());
        assert!(live_stream("/live/01234567890123456.flv", 10).is_err());
    }
}
