//! What tells transactions apart (RFC 3261, sections 17.1.3 and 17.2.3).

use crate::sip::{
    fields::NameAddr,
    headers::HeaderName,
    message::{Fields, Request, Response},
    method::Method,
};

/// Key of a client's transaction: its branch, and the method, for a CANCEL shares the branch of its INVITE.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClientKey {
    branch: String,
    method: Method,
}

impl ClientKey {
    pub(super) fn of_request(request: &Request) -> Option<Self> {
        let branch = request.top_via()?.params.get("branch")?;
        Some(Self { branch, method: request.method.clone() })
    }

    pub(super) fn of_response(response: &Response) -> Option<Self> {
        let branch = response.top_via()?.params.get("branch")?;
        Some(Self { branch, method: response.cseq()?.method })
    }
}

/// Key of a server's transaction.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ServerKey {
    branch: String,
    method: Method,
}

impl ServerKey {
    /// The transaction that `request` belongs to: an ACK to that of its INVITE, any other to its own.
    pub(super) fn of(request: &Request) -> Self {
        let method = match &request.method {
            Method::Ack => Method::Invite,
            method => method.clone(),
        };
        Self::with(request, method)
    }

    /// That of the request which a CANCEL is for. Only an INVITE takes long enough to be cancelled.
    pub(super) fn of_cancelled(cancel: &Request) -> Self {
        Self::with(cancel, Method::Invite)
    }

    fn with(request: &Request, method: Method) -> Self {
        let via = request.top_via();
        let branch = via.as_ref().and_then(|via| via.transaction_branch());
        let branch = match (branch, via) {
            (Some(branch), Some(via)) => {
                // An attacker or a broken client may use a branch that is another's.
                let port = via.port.map(|port| port.to_string()).unwrap_or_default();
                format!("{branch} {}:{port}", via.host.to_ascii_lowercase())
            }
            (_, via) => {
                // RFC 2543: a branch is not unique, what identifies a request together is. The tag of To is left out, since an
                // ACK has that of the answer.
                let header = |name| request.headers.get(&name).unwrap_or_default().to_owned();
                let from = NameAddr::parse(&header(HeaderName::FROM));
                let from_tag = from.and_then(|from| from.tag()).unwrap_or_default();
                let number = request.cseq().map(|cseq| cseq.number).unwrap_or_default();
                let via = via.map(|via| via.to_string()).unwrap_or_default();
                format!("{} {from_tag} {} {number} {via}", request.uri, header(HeaderName::CALL_ID))
            }
        };
        Self { branch, method }
    }
}

/// What copies of one request share that came by different ways (section 8.2.2.2).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MergeKey {
    call_id: String,
    from_tag: String,
    cseq: String,
}

impl MergeKey {
    /// `None` within a dialog.
    pub(super) fn of(request: &Request) -> Option<Self> {
        if request.to()?.tag().is_some() {
            return None;
        }
        Some(Self {
            call_id: request.call_id()?.to_owned(),
            from_tag: request.from()?.tag()?,
            cseq: request.cseq()?.to_string(),
        })
    }
}
