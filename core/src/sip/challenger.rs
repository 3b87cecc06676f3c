//! The server's side of digest authentication: who asks for something has to prove who it is (RFC 3261, section 22.4; RFC 8760).
//!
//! A nonce says when it was made, and proves that it was made here, so that there is no table of them. A proof counts once: of each
//! user the last is remembered, and the next has to be of a later nonce, or of a later use of the same. Two phones of one user
//! may so find a nonce too old that is not; they get another.

use std::{collections::BTreeMap, time::Duration};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{
    digest::{Algorithm, Answer, Challenge, hex, is_same},
    headers::HeaderName,
    message::Request,
    registrar::{RegistrarConfig, User},
    tokens::Tokens,
};

/// For how long a nonce can be used.
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// Bytes of what proves that a nonce was made here.
const MAC_BYTES: usize = 16;

/// Knows who may ask.
#[derive(Debug)]
pub(super) struct Challenger {
    realm: String,
    sha256: bool,
    key: [u8; 32],
    users: BTreeMap<String, Known>,
}

/// A user.
#[derive(Debug)]
struct Known {
    password: String,
    /// When the nonce of the last proof was made, in microseconds, and how often it had been used.
    last: (u64, u32),
}

/// Nothing is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unproven {
    /// But for a nonce that is too old.
    pub(super) stale: bool,
}

impl Challenger {
    pub(super) fn new(config: &RegistrarConfig, tokens: &mut Tokens) -> Self {
        let known = |user: &User| {
            (user.name.clone(), Known { password: user.password.clone(), last: (0, 0) })
        };
        let users = config.users.iter().map(known).collect();
        Self { realm: config.realm.clone(), sha256: config.sha256, key: tokens.key(), users }
    }

    /// What asks for a proof: all that can be checked, the strongest first.
    pub(super) fn challenges(&self, now: Duration, unproven: Unproven) -> Vec<Challenge> {
        let strong = self.sha256.then_some(Algorithm::Sha256);
        let algorithms = strong.into_iter().chain([Algorithm::Md5]);
        let challenge = |algorithm| Challenge {
            realm: self.realm.clone(),
            nonce: self.nonce(now.as_micros() as u64),
            opaque: None,
            algorithm,
            qop_auth: true,
            stale: unproven.stale,
        };
        algorithms.map(challenge).collect()
    }

    /// The user that `request` proves to come from.
    pub(super) fn check(&mut self, now: Duration, request: &Request) -> Result<String, Unproven> {
        let mut stale = false;
        for value in request.headers.all(&HeaderName::AUTHORIZATION) {
            let answer = Answer::parse(value).filter(|answer| answer.realm == self.realm);
            let Some(answer) = answer else { continue };
            let made_at_us = self.made_at_us(&answer.nonce);
            let Some(user) = self.users.get_mut(&answer.user) else { continue };
            if !answer.proves(&user.password, request.method.as_str()) {
                continue;
            }
            // A client that does not count can use a nonce once.
            let count = answer.count.unwrap_or(u32::MAX);
            let is_young = |made_at_us: u64| {
                now.saturating_sub(Duration::from_micros(made_at_us)) <= NONCE_LIFETIME
            };
            match made_at_us {
                Some(at_us) if is_young(at_us) && (at_us, count) > user.last => {
                    user.last = (at_us, count);
                    return Ok(answer.user);
                }
                _ => stale = true,
            }
        }
        Err(Unproven { stale })
    }

    fn nonce(&self, made_at_us: u64) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of any length");
        mac.update(&made_at_us.to_be_bytes());
        mac.update(self.realm.as_bytes());
        let mac = mac.finalize().into_bytes();
        format!("{made_at_us:016x}{}", hex(&mac[..MAC_BYTES]))
    }

    /// When `nonce` was made, if it was made here.
    fn made_at_us(&self, nonce: &str) -> Option<u64> {
        let made_at_us = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        is_same(&self.nonce(made_at_us), nonce).then_some(made_at_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::{digest::Credentials, method::Method, uri::Uri};

    const S: Duration = Duration::from_secs(1);

    fn challenger(seed: u8) -> Challenger {
        let user = |name: &str| User { name: name.into(), password: format!("{name}'s") };
        let config = RegistrarConfig {
            realm: "r".to_owned(),
            users: vec![user("a"), user("b")],
            sha256: true,
            bindings: 1,
            bindings_per_user: 1,
            expires_min: S,
            expires_max: S,
        };
        Challenger::new(&config, &mut Tokens::new([seed; 32]))
    }

    fn asks(challenge: &Challenge, user: &str, password: &str, count: u32) -> Request {
        let mut request = Request::new(Method::Register, Uri::parse("sip:r").unwrap());
        let credentials = Credentials { user: user.into(), password: password.into() };
        let answer = challenge.answer(&credentials, "REGISTER", "sip:r", count, "c");
        request.headers.push(HeaderName::AUTHORIZATION, answer);
        request
    }

    const UNPROVEN: Result<String, Unproven> = Err(Unproven { stale: false });
    const STALE: Result<String, Unproven> = Err(Unproven { stale: true });

    #[test]
    fn whoever_knows_the_password_is_known_by_either_algorithm() {
        for at in [0, 1] {
            let mut own = challenger(1);
            let challenges = own.challenges(S, Unproven { stale: false });
            assert_eq!(challenges[0].algorithm, Algorithm::Sha256);
            let challenge = &challenges[at];
            assert_eq!(own.check(S, &asks(challenge, "a", "b's", 1)), UNPROVEN);
            assert_eq!(own.check(S, &asks(challenge, "x", "a's", 1)), UNPROVEN);
            assert_eq!(own.check(S, &asks(challenge, "a", "a's", 1)), Ok("a".into()));
            let other = Challenge { realm: "other".into(), ..challenge.clone() };
            assert_eq!(own.check(S, &asks(&other, "a", "a's", 2)), UNPROVEN);
        }
        let none = Request::new(Method::Register, Uri::parse("sip:r").unwrap());
        assert_eq!(challenger(1).check(S, &none), UNPROVEN);
    }

    #[test]
    fn a_proof_counts_once() {
        let mut own = challenger(1);
        let unproven = Unproven { stale: false };
        let first = own.challenges(S, unproven).remove(0);
        for (count, expected) in [(1, true), (1, false), (3, true), (2, false), (4, true)] {
            let proven = own.check(S, &asks(&first, "a", "a's", count));
            assert_eq!(proven, if expected { Ok("a".into()) } else { STALE }, "{count}");
        }
        // Of another user, too, it is another.
        assert_eq!(own.check(S, &asks(&first, "b", "b's", 1)), Ok("b".into()));
        let second = own.challenges(2 * S, unproven).remove(0);
        assert_eq!(own.check(2 * S, &asks(&second, "a", "a's", 1)), Ok("a".into()));
        assert_eq!(own.check(2 * S, &asks(&first, "a", "a's", 9)), STALE);
        let uncounted = Challenge { qop_auth: false, ..second };
        assert_eq!(own.check(2 * S, &asks(&uncounted, "a", "a's", 0)), Ok("a".into()));
        assert_eq!(own.check(2 * S, &asks(&uncounted, "a", "a's", 0)), STALE);
    }

    #[test]
    fn whoever_is_told_that_a_nonce_is_too_old_gets_another() {
        let mut own = challenger(1);
        let made = own.challenges(S, Unproven { stale: false }).remove(0);
        assert_eq!(own.check(S, &asks(&made, "a", "a's", 1)), Ok("a".into()));
        // The other phone of this user, at the same time; and once more a little later.
        assert_eq!(own.check(S, &asks(&made, "a", "a's", 1)), STALE);
        let soon = S + Duration::from_micros(300);
        let again = own.challenges(soon, Unproven { stale: true }).remove(0);
        assert_eq!(own.check(soon, &asks(&again, "a", "a's", 1)), Ok("a".into()));
    }

    #[test]
    fn a_nonce_grows_old_and_cannot_be_made_by_others() {
        let mut own = challenger(1);
        let made = own.challenges(S, Unproven { stale: false }).remove(0);
        assert_eq!(own.check(302 * S, &asks(&made, "a", "a's", 1)), STALE);
        assert_eq!(own.check(301 * S, &asks(&made, "a", "a's", 1)), Ok("a".into()));
        let theirs = challenger(2).challenges(302 * S, Unproven { stale: false }).remove(0);
        let later = format!("{:016x}{}", 300_000_000, &made.nonce[16..]);
        for nonce in [theirs.nonce.as_str(), &later, "", "ffff", "é"] {
            let forged = Challenge { nonce: nonce.into(), ..made.clone() };
            assert_eq!(own.check(302 * S, &asks(&forged, "a", "a's", 1)), STALE, "{nonce}");
        }
    }
}
