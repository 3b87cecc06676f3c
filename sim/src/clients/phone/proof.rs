//! Proofs by digest (RFC 2617): given by who registers, and checked by somebody who has made the challenge himself.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use rehearsal_core::sip::{
    headers::HeaderName,
    message::{Fields, Request},
};

use super::called::Proof;

const REALM: &str = "exchange";

/// Who asks for proofs.
#[derive(Debug)]
pub(super) struct Guard {
    proof: Proof,
    /// Number of the newest nonce, and how many requests it was good for.
    nonces: u32,
    used: u32,
}

/// What is said of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proven,
    /// A header of a challenge, and its value.
    Challenged(u16, HeaderName, String),
    /// The proof is wrong.
    Forbidden,
}

impl Guard {
    pub(super) fn new(proof: Proof) -> Self {
        Self { proof, nonces: 1, used: 0 }
    }

    /// Looks at the proof of `request`.
    pub(super) fn judge(&mut self, request: &Request) -> Verdict {
        let is_proxy = self.proof.status == 407;
        let name =
            if is_proxy { HeaderName::PROXY_AUTHORIZATION } else { HeaderName::AUTHORIZATION };
        let Some(words) = request.headers().get(&name).and_then(words) else {
            return self.challenge(false);
        };
        if words.get("nonce") != Some(&self.nonce()) {
            return self.challenge(true);
        }
        if !self.is_right(&request.method.to_string(), &words) {
            return Verdict::Forbidden;
        }
        self.used += 1;
        if self.used >= self.proof.requests_per_nonce {
            (self.nonces, self.used) = (self.nonces + 1, 0);
        }
        Verdict::Proven
    }

    fn nonce(&self) -> String {
        format!("nonce{}", self.nonces)
    }

    fn challenge(&self, is_stale: bool) -> Verdict {
        let is_proxy = self.proof.status == 407;
        let name = if is_proxy { "Proxy-Authenticate" } else { "WWW-Authenticate" };
        let stale = if is_stale { ", stale=true" } else { "" };
        let nonce = self.nonce();
        Verdict::Challenged(
            self.proof.status,
            HeaderName::parse(name).expect("a token"),
            format!(
                "Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"{stale}"
            ),
        )
    }

    fn is_right(&self, method: &str, words: &BTreeMap<String, String>) -> bool {
        let word = |name: &str| words.get(name).map_or("", String::as_str);
        let Proof { user, password, .. } = &self.proof;
        let who = hash(&[user, REALM, password]);
        let what = hash(&[method, word("uri")]);
        let response = match word("qop") {
            "" => hash(&[&who, word("nonce"), &what]),
            qop => hash(&[&who, word("nonce"), word("nc"), word("cnonce"), qop, &what]),
        };
        word("username") == user && word("realm") == REALM && word("response") == response
    }
}

/// What asks for a proof, and how often it was given.
#[derive(Debug)]
pub(super) struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    counts: bool,
    pub(super) is_stale: bool,
    count: u32,
}

impl Challenge {
    /// Reads a challenge; `None` if it wants anything but MD5.
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut words = words(value)?;
        let is_known =
            words.get("algorithm").is_none_or(|algorithm| algorithm.eq_ignore_ascii_case("MD5"));
        let is_stale = words.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let counts =
            words.get("qop").is_some_and(|qop| qop.split(',').any(|it| it.trim() == "auth"));
        let (realm, nonce) = (words.remove("realm")?, words.remove("nonce")?);
        let opaque = words.remove("opaque");
        is_known.then_some(Self { realm, nonce, opaque, counts, is_stale, count: 0 })
    }
}

/// Who can prove who he is.
#[derive(Debug)]
pub(super) struct Prover {
    pub(super) user: String,
    pub(super) password: String,
}

impl Prover {
    /// The next proof that `challenge` asks for.
    pub(super) fn prove(&self, challenge: &mut Challenge, method: &str, uri: &str) -> String {
        challenge.count += 1;
        let Challenge { realm, nonce, opaque, counts, count, .. } = challenge;
        let Self { user, password } = self;
        let (who, what) = (hash(&[user, realm, password]), hash(&[method, uri]));
        let (count, own) = (format!("{count:08x}"), hash(&[nonce, user]));
        let (response, counted) = match counts {
            true => (
                hash(&[&who, nonce, &count, &own, "auth", &what]),
                format!(", qop=auth, nc={count}, cnonce=\"{own}\""),
            ),
            false => (hash(&[&who, nonce, &what]), String::new()),
        };
        let opaque = opaque.as_ref().map_or_else(String::new, |it| format!(", opaque=\"{it}\""));
        format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", \
             response=\"{response}\", algorithm=MD5{counted}{opaque}"
        )
    }
}

fn hash(words: &[&str]) -> String {
    let digest = Md5::digest(words.join(":"));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The words of `Digest name="value", ...`.
fn words(value: &str) -> Option<BTreeMap<String, String>> {
    let mut rest = value.strip_prefix("Digest ")?;
    let mut words = BTreeMap::new();
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, behind) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_at(behind.find(',').unwrap_or(behind.len())),
        };
        words.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        rest = behind.trim_start_matches([',', ' ']);
    }
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_rfc_is_right() {
        let text = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", uri=\"/dir/index.html\", qop=auth,\
                    nc=00000001, cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";
        let words = words(text).unwrap();
        assert_eq!(words["uri"], "/dir/index.html");
        assert_eq!((words["nc"].as_str(), words["cnonce"].as_str()), ("00000001", "0a4f113b"));
        // RFC 2617, section 3.5.
        let who = hash(&["Mufasa", "testrealm@host.com", "Circle Of Life"]);
        let what = hash(&["GET", "/dir/index.html"]);
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = hash(&[&who, nonce, "00000001", "0a4f113b", "auth", &what]);
        assert_eq!(response, words["response"]);
    }

    #[test]
    fn what_is_proven_is_believed_by_who_asked_and_by_nobody_else() {
        let proof = |user: &str, password: &str| Proof {
            status: 401,
            user: user.to_owned(),
            password: password.to_owned(),
            requests_per_nonce: 9,
        };
        let guard = Guard::new(proof("a", "b"));
        let Verdict::Challenged(_, _, value) = guard.challenge(false) else { panic!() };
        let mut challenge = Challenge::read(&value).unwrap();
        let prover = Prover { user: "a".to_owned(), password: "b".to_owned() };
        for count in ["00000001", "00000002"] {
            let words = words(&prover.prove(&mut challenge, "REGISTER", "sip:x")).unwrap();
            assert_eq!(words["nc"], count);
            assert!(guard.is_right("REGISTER", &words) && !guard.is_right("INVITE", &words));
            assert!(!Guard::new(proof("a", "c")).is_right("REGISTER", &words));
        }
        assert!(Challenge::read("Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256").is_none());
    }
}
