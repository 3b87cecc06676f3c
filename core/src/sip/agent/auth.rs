//! What a client has to prove to servers and proxies on its way, and how often it tries.

use crate::sip::{
    digest::{Challenge, Credentials},
    headers::HeaderName,
    message::{Request, Response},
    tokens::Tokens,
};

/// Challenges that one request may come upon: a server and some proxies, and one nonce that is too old for each. As many are
/// remembered for the next request.
const CHALLENGES_MAX: usize = 6;

/// What has been asked so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientAuth {
    known: Vec<Known>,
    /// Since the present request was begun.
    asked: usize,
}

/// A challenge and what became of it.
#[derive(Clone, Debug)]
struct Known {
    is_proxy: bool,
    challenge: Challenge,
    /// How often its nonce was used.
    count: u32,
    /// Whether it came in answer to the present request. One that is older may have become so without being called stale.
    is_fresh: bool,
}

impl ClientAuth {
    /// What follows is for another request than before. What is known is used again, without being asked for.
    pub(super) fn begin(&mut self) {
        self.asked = 0;
        for known in &mut self.known {
            known.is_fresh = false;
        }
    }

    /// Takes the challenges of a 401 or 407. False when they cannot be answered, or the answer was wrong before: then trying
    /// again would go on for ever (RFC 3261, section 22.1).
    pub(super) fn take(&mut self, response: &Response) -> bool {
        let (is_proxy, name) = match response.status {
            401 => (false, HeaderName::WWW_AUTHENTICATE),
            407 => (true, HeaderName::PROXY_AUTHENTICATE),
            _ => return false,
        };
        self.asked += 1;
        let Some(challenge) = Challenge::strongest(response.headers.all(&name)) else {
            return false;
        };
        if self.asked > CHALLENGES_MAX {
            return false;
        }
        let is_same =
            |own: &Known| own.is_proxy == is_proxy && own.challenge.realm == challenge.realm;
        let before = self.known.iter().position(is_same);
        if before.is_some_and(|at| self.known[at].is_fresh && !challenge.stale) {
            return false;
        }
        if let Some(at) = before {
            self.known.remove(at);
        } else if self.known.len() == CHALLENGES_MAX {
            self.known.remove(0);
        }
        self.known.push(Known { is_proxy, challenge, count: 0, is_fresh: true });
        true
    }

    /// Gives `request` the answers to what was asked.
    pub(super) fn authorize(
        &mut self,
        request: &mut Request,
        credentials: Option<&Credentials>,
        tokens: &mut Tokens,
    ) {
        request.headers.remove(&HeaderName::AUTHORIZATION);
        request.headers.remove(&HeaderName::PROXY_AUTHORIZATION);
        let Some(credentials) = credentials else { return };
        let (method, uri) = (request.method.to_string(), request.uri.to_string());
        for known in &mut self.known {
            known.count += 1;
            let cnonce = tokens.hex();
            let answer = known.challenge.answer(credentials, &method, &uri, known.count, &cnonce);
            let name = match known.is_proxy {
                true => HeaderName::PROXY_AUTHORIZATION,
                false => HeaderName::AUTHORIZATION,
            };
            request.headers.push(name, answer);
        }
    }
}
