//! What a client has to prove to servers and proxies on its way, and how often it tries.

use crate::sip::{
    digest::{Challenge, Credentials},
    headers::HeaderName,
    message::{Request, Response},
    tokens::Tokens,
};

/// Challenges that one request may come upon: a server and some proxies, and one nonce that is too old for each.
const CHALLENGES_MAX: u32 = 6;

/// What has been asked so far.
#[derive(Clone, Debug, Default)]
pub(super) struct ClientAuth {
    /// Whether a proxy asked, what, and how often its nonce was used.
    challenges: Vec<(bool, Challenge, u32)>,
    asked: u32,
}

impl ClientAuth {
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
        let mut before = self.challenges.iter_mut();
        match before.find(|(proxy, own, _)| *proxy == is_proxy && own.realm == challenge.realm) {
            Some(_) if !challenge.stale => false,
            Some((_, own, count)) => {
                (*own, *count) = (challenge, 0);
                true
            }
            None => {
                self.challenges.push((is_proxy, challenge, 0));
                true
            }
        }
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
        for (is_proxy, challenge, count) in &mut self.challenges {
            *count += 1;
            let answer = challenge.answer(credentials, &method, &uri, *count, &tokens.hex());
            let name = match is_proxy {
                true => HeaderName::PROXY_AUTHORIZATION,
                false => HeaderName::AUTHORIZATION,
            };
            request.headers.push(name, answer);
        }
    }
}
