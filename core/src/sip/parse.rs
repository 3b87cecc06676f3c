//! From bytes to a message that can be worked with (RFC 3261, sections 7 and 25).
//!
//! A message that cannot be understood at all is dropped. A request that can be answered, but not carried out, comes back as
//! [`ParseError::Refused`] with the status that its sender is due; what is wrong with a response concerns nobody but us.

use bytes::Bytes;
use thiserror::Error;

use super::{
    fields::{CSeq, NameAddr, Via, decimal},
    headers::{HeaderName, Headers},
    lexer::trim,
    message::{Fields, Message, Request, Response},
    method::Method,
    uri::Uri,
};

/// What a message may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseLimits {
    /// Bytes of all of it.
    pub message_bytes: usize,
    /// Header lines.
    pub headers: usize,
}

/// Why bytes are no message to work with.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ParseError {
    /// Nothing that could be answered.
    #[error("{0}")]
    Unreadable(&'static str),
    /// A request that is to be answered with `status`.
    #[error("{problem}: {status}")]
    Refused {
        /// As far as it could be read; it can be answered.
        request: Box<Request>,
        /// The answer's status.
        status: u16,
        /// What is wrong, for the answer's reason phrase.
        problem: &'static str,
    },
}

/// Why a message is refused that has more than [`ParseLimits::headers`].
const TOO_MANY_HEADERS: &str = "Too many headers";

/// Where the headers of a message end, behind the empty line; `None` when that has not come yet. Before `from` they are known not
/// to end.
pub(super) fn head_end(bytes: &[u8], from: usize) -> Option<usize> {
    let mut ends = (from..bytes.len()).filter(|&at| bytes[at] == b'\n');
    let end = ends.find(|&at| {
        let line = bytes[..at].strip_suffix(b"\r").unwrap_or(&bytes[..at]);
        line.last().is_none_or(|last| *last == b'\n')
    });
    end.map(|at| at + 1)
}

/// Reads a message that came as one datagram, or was cut out of a stream by its length: bytes behind its body are ignored.
///
/// # Errors
/// It is no message, or a request that is to be refused.
pub fn parse(datagram: &[u8], limits: &ParseLimits) -> Result<Message, ParseError> {
    if datagram.len() > limits.message_bytes {
        return Err(ParseError::Unreadable("the message is longer than sip.max_message_bytes"));
    }
    // What keeps a path through a NAT open may stand before a message.
    let blank = datagram.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let datagram = &datagram[blank..];
    let head_end = head_end(datagram, 0).ok_or(ParseError::Unreadable("the headers do not end"))?;
    let head = std::str::from_utf8(&datagram[..head_end])
        .map_err(|_| ParseError::Unreadable("the headers are not UTF-8"))?;
    let (start, lines) = head.split_once('\n').unwrap_or((head, ""));
    let start = start.strip_suffix('\r').unwrap_or(start);
    let mut problem = None;
    let mut headers = read_headers(lines, limits, &mut problem);
    let body = body(&headers, &datagram[head_end..], &mut problem);
    headers.remove(&HeaderName::CONTENT_LENGTH);
    if is_version(start) {
        let response = read_response(start, headers, body)?;
        return match problem.or_else(|| problem_of(&response)) {
            None => Ok(Message::Response(response)),
            Some((_, problem)) => Err(ParseError::Unreadable(problem)),
        };
    }
    let request = read_request(start, headers, body, &mut problem)?;
    match problem.or_else(|| problem_of(&request)).or_else(|| problem_of_request(&request)) {
        None => Ok(Message::Request(request)),
        // Nothing tells where an answer would go.
        Some((_, problem)) if request.top_via().is_none() => Err(ParseError::Unreadable(problem)),
        Some((_, problem)) if request.method == Method::Ack => Err(ParseError::Unreadable(problem)),
        // What an answer has to say may be among what was left out.
        Some((_, TOO_MANY_HEADERS)) if problem_of(&request).is_some() => {
            Err(ParseError::Unreadable(TOO_MANY_HEADERS))
        }
        Some((status, problem)) => {
            Err(ParseError::Refused { request: Box::new(request), status, problem })
        }
    }
}

type Problem = Option<(u16, &'static str)>;

/// Whether `text` begins as a version does, whichever it is; its case does not count.
fn is_version(text: &str) -> bool {
    text.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("SIP/"))
}

/// Lines of headers up to the empty one, each as one, wherever it was folded.
pub(super) fn header_lines(lines: &str) -> impl Iterator<Item = String> {
    let mut lines = lines.lines().take_while(|line| !line.is_empty()).peekable();
    std::iter::from_fn(move || {
        let mut unfolded = lines.next()?.to_owned();
        while let Some(next) = lines.next_if(|next| next.starts_with([' ', '\t'])) {
            unfolded.truncate(unfolded.trim_end_matches([' ', '\t']).len());
            unfolded.push(' ');
            unfolded.push_str(trim(next));
        }
        Some(unfolded)
    })
}

/// Name and value of a line of headers.
pub(super) fn header_of(line: &str) -> Option<(HeaderName, &str)> {
    // A carriage return alone ends no line here, but might elsewhere.
    let (name, value) = line.split_once(':').filter(|_| !line.contains('\r'))?;
    Some((HeaderName::parse(name.trim_end_matches([' ', '\t']))?, trim(value)))
}

/// As many headers as there may be; what is behind them is left out.
fn read_headers(lines: &str, limits: &ParseLimits, problem: &mut Problem) -> Headers {
    let mut headers = Headers::default();
    for line in header_lines(lines) {
        if headers.len() == limits.headers {
            *problem = Some((400, TOO_MANY_HEADERS));
            break;
        }
        match header_of(&line) {
            Some((name, value)) => headers.push(name, value),
            None => *problem = problem.or(Some((400, "Malformed header line"))),
        }
    }
    headers
}

/// What all `values` of `Content-Length` say; `Err` is what is wrong with them.
pub(super) fn content_length<'a>(
    values: impl Iterator<Item = &'a str>,
) -> Result<Option<usize>, &'static str> {
    let mut length = None;
    for value in values {
        let own = decimal(value).map(|own| own as usize);
        if own.is_none() || length.is_some_and(|length| Some(length) != own) {
            return Err("Malformed Content-Length");
        }
        length = own;
    }
    Ok(length)
}

fn body(headers: &Headers, rest: &[u8], problem: &mut Problem) -> Bytes {
    let what = match content_length(headers.all(&HeaderName::CONTENT_LENGTH)) {
        Ok(Some(length)) if length > rest.len() => "Content-Length is greater than the body",
        Ok(length) => return Bytes::copy_from_slice(&rest[..length.unwrap_or(rest.len())]),
        Err(what) => what,
    };
    *problem = problem.or(Some((400, what)));
    Bytes::new()
}

fn read_response(start: &str, headers: Headers, body: Bytes) -> Result<Response, ParseError> {
    let unreadable = ParseError::Unreadable("malformed status line");
    let (version, rest) = start.split_once(' ').ok_or(unreadable.clone())?;
    if !version.eq_ignore_ascii_case("SIP/2.0") || rest.contains('\r') {
        return Err(unreadable);
    }
    let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
    let status = Some(status)
        .filter(|status| status.len() == 3)
        .and_then(decimal)
        .filter(|status| (100..700).contains(status));
    let status = status.ok_or(unreadable)? as u16;
    Ok(Response { status, reason: reason.to_owned(), headers, body })
}

fn read_request(
    start: &str,
    headers: Headers,
    body: Bytes,
    problem: &mut Problem,
) -> Result<Request, ParseError> {
    let unreadable = || ParseError::Unreadable("malformed request line");
    let (method, rest) = start.split_once(' ').ok_or_else(unreadable)?;
    let (uri, version) = rest.rsplit_once(' ').ok_or_else(unreadable)?;
    // White space behind the version is one more place where an address may end too early.
    let is_version = is_version(version);
    let method = Method::parse(method).ok_or_else(unreadable)?;
    if !is_version && !version.is_empty() {
        return Err(unreadable());
    }
    if is_version && !version.eq_ignore_ascii_case("SIP/2.0") {
        *problem = Some((505, "Version Not Supported"));
    }
    let parsed = Uri::parse(uri).filter(|_| is_version);
    if parsed.is_none() {
        *problem = problem.or(Some((400, "Malformed Request-URI")));
    }
    // Headers in a Request-URI are not allowed (section 19.1.1, table 1).
    if parsed.as_ref().and_then(Uri::as_sip).is_some_and(|uri| uri.headers.is_some()) {
        *problem = problem.or(Some((400, "Headers in the Request-URI")));
    }
    let uri = parsed.unwrap_or_else(|| Uri::Other(uri.to_owned()));
    Ok(Request { method, uri, headers, body })
}

/// What is wrong with what every message must have.
fn problem_of(message: &impl Fields) -> Problem {
    let headers = message.headers();
    let once = [
        (HeaderName::FROM, "From must be there once"),
        (HeaderName::TO, "To must be there once"),
        (HeaderName::CALL_ID, "Call-ID must be there once"),
        (HeaderName::CSEQ, "CSeq must be there once"),
    ];
    let missing = once.iter().find(|(name, _)| headers.all(name).count() != 1);
    if let Some((_, problem)) = missing {
        return Some((400, problem));
    }
    let at_most_once = [
        (HeaderName::MAX_FORWARDS, "Max-Forwards may be there once"),
        (HeaderName::CONTENT_TYPE, "Content-Type may be there once"),
        (HeaderName::EXPIRES, "Expires may be there once"),
    ];
    if let Some((_, problem)) = at_most_once.iter().find(|(name, _)| headers.all(name).count() > 1)
    {
        return Some((400, problem));
    }
    // Two tags or branches would let each reader see another one.
    let is_end = |end: Option<NameAddr>| end.is_some_and(|end| !end.params.is_doubled("tag"));
    if !is_end(message.from()) {
        return Some((400, "Malformed From"));
    }
    if !is_end(message.to()) {
        return Some((400, "Malformed To"));
    }
    let is_word = |id: &str| !id.is_empty() && !id.contains(char::is_whitespace);
    if !message.call_id().is_some_and(is_word) {
        return Some((400, "Malformed Call-ID"));
    }
    if message.cseq().is_none() {
        return Some((400, "Malformed CSeq"));
    }
    let vias = headers.list(&HeaderName::VIA);
    let is_via = |via| Via::parse(via).is_some_and(|via| !via.params.is_doubled("branch"));
    if vias.is_empty() || !vias.into_iter().all(is_via) {
        return Some((400, "Malformed Via"));
    }
    // One asterisk stands for all contacts of a registration.
    let contacts = headers.list(&HeaderName::CONTACT);
    if contacts != ["*"] && contacts.iter().any(|contact| NameAddr::parse(contact).is_none()) {
        return Some((400, "Malformed Contact"));
    }
    let routes = headers.list(&HeaderName::ROUTE);
    let record_routes = headers.list(&HeaderName::RECORD_ROUTE);
    if routes.iter().chain(&record_routes).any(|route| NameAddr::parse(route).is_none()) {
        return Some((400, "Malformed Route"));
    }
    None
}

fn problem_of_request(request: &Request) -> Problem {
    let cseq = request.headers.get(&HeaderName::CSEQ).and_then(CSeq::parse);
    if cseq.is_some_and(|cseq| cseq.method != request.method) {
        return Some((400, "CSeq has another method"));
    }
    let hops = request.headers.get(&HeaderName::MAX_FORWARDS);
    if hops.is_some_and(|hops| decimal(hops).is_none_or(|hops| hops > 255)) {
        return Some((400, "Malformed Max-Forwards"));
    }
    let expires = request.headers.get(&HeaderName::EXPIRES);
    // More than 32 bits could as well mean for ever (RFC 4475, section 3.1.2.4).
    if expires.is_some_and(|expires| decimal(expires).is_none()) {
        return Some((400, "Malformed Expires"));
    }
    None
}
