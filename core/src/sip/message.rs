//! Requests and responses, and how they are written.

use std::fmt;

use bytes::Bytes;

use super::{
    fields::{CSeq, NameAddr, Via},
    headers::{HeaderName, Headers},
    lexer::trim,
    method::Method,
    uri::Uri,
};

/// A request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks.
    Request(Request),
    /// Answers.
    Response(Response),
}

/// What is asked, of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What is asked.
    pub method: Method,
    /// Whom it is for.
    pub uri: Uri,
    /// Everything else, but for `Content-Length`, which is written by what the body is.
    pub headers: Headers,
    /// What comes along.
    pub body: Bytes,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// 100 to 199 are provisional, 200 to 699 final.
    pub status: u16,
    /// The same for people.
    pub reason: String,
    /// As in a request.
    pub headers: Headers,
    /// What comes along.
    pub body: Bytes,
}

impl Request {
    /// A request without headers and body. What a URI says of requests that are made from it, its headers and its method, has no
    /// place in a Request-URI (RFC 3261, section 19.1.1) and is left out.
    pub fn new(method: Method, mut uri: Uri) -> Self {
        if let Uri::Sip(uri) = &mut uri {
            uri.headers = None;
            uri.params.remove("method");
        }
        Self { method, uri, headers: Headers::default(), body: Bytes::new() }
    }

    /// Sets the body and what it is.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.set(HeaderName::CONTENT_TYPE, content_type);
        self.body = body.into();
        self
    }

    /// A response to this with what every response takes over (RFC 3261, section 8.2.6.2): the way back, both ends, the call and
    /// the number. Where To has no tag it gets `to_tag`.
    pub fn response(&self, status: u16, to_tag: Option<&str>) -> Response {
        let mut headers = Headers::default();
        for (name, value) in self.headers.iter() {
            let is_kept =
                [HeaderName::VIA, HeaderName::FROM, HeaderName::CALL_ID, HeaderName::CSEQ];
            if is_kept.contains(name) || (*name == HeaderName::RECORD_ROUTE && status < 300) {
                headers.push(name.clone(), value);
            }
        }
        if let Some(to) = self.headers.get(&HeaderName::TO) {
            let tagged = match (to_tag, NameAddr::parse(to)) {
                (Some(tag), Some(address)) if address.tag().is_none() => {
                    address.with_tag(tag).to_string()
                }
                _ => to.to_owned(),
            };
            headers.push(HeaderName::TO, tagged);
        }
        Response { status, reason: reason_phrase(status).to_owned(), headers, body: Bytes::new() }
    }
}

impl Response {
    /// Whether it ends its transaction.
    pub fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// Sets the body and what it is.
    pub fn with_body(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.headers.set(HeaderName::CONTENT_TYPE, content_type);
        self.body = body.into();
        self
    }

    /// Adds a header.
    pub fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push(name, value);
        self
    }
}

/// What every message of either kind has.
pub trait Fields {
    /// Its headers.
    fn headers(&self) -> &Headers;

    /// The newest hop.
    fn top_via(&self) -> Option<Via> {
        Via::parse(self.headers().list(&HeaderName::VIA).first()?)
    }

    /// Who sends the request.
    fn from(&self) -> Option<NameAddr> {
        NameAddr::parse(self.headers().get(&HeaderName::FROM)?)
    }

    /// Whom the request is for.
    fn to(&self) -> Option<NameAddr> {
        NameAddr::parse(self.headers().get(&HeaderName::TO)?)
    }

    /// The call.
    fn call_id(&self) -> Option<&str> {
        self.headers().get(&HeaderName::CALL_ID)
    }

    /// The request's number.
    fn cseq(&self) -> Option<CSeq> {
        CSeq::parse(self.headers().get(&HeaderName::CSEQ)?)
    }

    /// The first contact.
    fn contact(&self) -> Option<NameAddr> {
        NameAddr::parse(self.headers().list(&HeaderName::CONTACT).first()?)
    }

    /// Whether the list `name` has `token`.
    fn has_token(&self, name: &HeaderName, token: &str) -> bool {
        self.headers().list(name).iter().any(|own| own.eq_ignore_ascii_case(token))
    }

    /// The body's type without its parameters, in lower case.
    fn content_type(&self) -> Option<String> {
        let value = self.headers().get(&HeaderName::CONTENT_TYPE)?;
        Some(trim(value.split(';').next()?).to_ascii_lowercase())
    }
}

impl Fields for Request {
    fn headers(&self) -> &Headers {
        &self.headers
    }
}

impl Fields for Response {
    fn headers(&self) -> &Headers {
        &self.headers
    }
}

impl Message {
    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

impl Request {
    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        write(&self.to_string(), &self.headers, &self.body)
    }
}

impl Response {
    /// As it goes over the wire.
    pub fn to_bytes(&self) -> Bytes {
        write(&self.to_string(), &self.headers, &self.body)
    }
}

/// What is given as one line is one, whatever is in it: the end of a line in it would begin a header that nobody meant.
fn write(start: &str, headers: &Headers, body: &Bytes) -> Bytes {
    let mut text = String::with_capacity(512 + body.len());
    let push_line = |text: &mut String, line: &str| {
        text.extend(line.chars().map(|own| if matches!(own, '\r' | '\n') { ' ' } else { own }));
    };
    push_line(&mut text, start);
    text.push_str("\r\n");
    for (name, value) in headers.iter().filter(|(name, _)| **name != HeaderName::CONTENT_LENGTH) {
        text.push_str(name.as_str());
        text.push_str(": ");
        push_line(&mut text, value);
        text.push_str("\r\n");
    }
    text.push_str(&format!("{}: {}\r\n\r\n", HeaderName::CONTENT_LENGTH, body.len()));
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body);
    bytes.into()
}

/// The first line.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} SIP/2.0", self.method, self.uri)
    }
}

/// The first line.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIP/2.0 {} {}", self.status, self.reason)
    }
}

/// What a status says (RFC 3261, section 21).
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        413 => "Request Entity Too Large",
        415 => "Unsupported Media Type",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        423 => "Interval Too Brief",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        513 => "Message Too Large",
        600 => "Busy Everywhere",
        603 => "Decline",
        604 => "Does Not Exist Anywhere",
        606 => "Not Acceptable",
        _ => match status / 100 {
            1 => "Progress",
            2 => "OK",
            3 => "Redirection",
            4 => "Request Failure",
            5 => "Server Failure",
            _ => "Global Failure",
        },
    }
}
