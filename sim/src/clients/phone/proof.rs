//! Proofs by digest (RFC 2617, RFC 7616): given by who registers, and checked by somebody who has made the challenge himself.

use std::collections::BTreeMap;

use md5::{Digest, Md5};
use rehearsal_core::sip::{
    headers::HeaderName,
    message::{Fields, Request},
};
use sha2::Sha256;

use super::called::Proof;

const REALM: &str = "exchange";

/// What a proof is made by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Md5,
    Sha256,
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, words: &[&str]) -> String {
        let text = words.join(":");
        let hex = |digest: &[u8]| digest.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Md5 => hex(&Md5::digest(text)),
            Self::Sha256 => hex(&Sha256::digest(text)),
        }
    }
}

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
        let hash = |words: &[&str]| Algorithm::Md5.hash(words);
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
    algorithm: Algorithm,
    realm: String,
    nonce: String,
    opaque: Option<String>,
    counts: bool,
    pub(super) is_stale: bool,
    count: u32,
}

impl Challenge {
    /// Reads a challenge; `None` if it wants anything but MD5, and what else is known.
    pub(super) fn read(value: &str, knows_sha256: bool) -> Option<Self> {
        let mut words = words(value)?;
        let sha256 = knows_sha256.then_some(Algorithm::Sha256);
        let mut known = [Algorithm::Md5].into_iter().chain(sha256);
        let algorithm = match words.get("algorithm") {
            None => Algorithm::Md5,
            Some(name) => known.find(|known| known.name().eq_ignore_ascii_case(name))?,
        };
        let is_stale = words.get("stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true"));
        let counts =
            words.get("qop").is_some_and(|qop| qop.split(',').any(|it| it.trim() == "auth"));
        let (realm, nonce) = (words.remove("realm")?, words.remove("nonce")?);
        let opaque = words.remove("opaque");
        Some(Self { algorithm, realm, nonce, opaque, counts, is_stale, count: 0 })
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
        let Challenge { algorithm, realm, nonce, opaque, counts, count, .. } = challenge;
        let hash = |words: &[&str]| algorithm.hash(words);
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
             response=\"{response}\", algorithm={}{counted}{opaque}",
            algorithm.name()
        )
    }
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
        let hash = |words: &[&str]| Algorithm::Md5.hash(words);
        let who = hash(&["Mufasa", "testrealm@host.com", "Circle Of Life"]);
        let what = hash(&["GET", "/dir/index.html"]);
        let nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c093";
        let response = hash(&[&who, nonce, "00000001", "0a4f113b", "auth", &what]);
        assert_eq!(response, words["response"]);
    }

    #[test]
    fn the_examples_of_both_algorithms_are_right() {
        // RFC 7616, section 3.9.1.
        let cases = [
            (Algorithm::Md5, "8ca523f5e9506fed4657c9700eebdbec"),
            (Algorithm::Sha256, "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (algorithm, response) in cases {
            let who = algorithm.hash(&["Mufasa", "http-auth@example.org", "Circle of Life"]);
            let what = algorithm.hash(&["GET", "/dir/index.html"]);
            let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
            let own = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            assert_eq!(algorithm.hash(&[&who, nonce, "00000001", own, "auth", &what]), response);
        }
        let strong = "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256, qop=\"auth\"";
        let mut challenge = Challenge::read(strong, true).unwrap();
        let prover = Prover { user: "a".to_owned(), password: "b".to_owned() };
        let proof = prover.prove(&mut challenge, "REGISTER", "sip:x");
        assert!(proof.contains("algorithm=SHA-256, qop=auth, nc=00000001"), "{proof}");
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
        let mut challenge = Challenge::read(&value, false).unwrap();
        let prover = Prover { user: "a".to_owned(), password: "b".to_owned() };
        for count in ["00000001", "00000002"] {
            let words = words(&prover.prove(&mut challenge, "REGISTER", "sip:x")).unwrap();
            assert_eq!(words["nc"], count);
            assert!(guard.is_right("REGISTER", &words) && !guard.is_right("INVITE", &words));
            assert!(!Guard::new(proof("a", "c")).is_right("REGISTER", &words));
        }
        let strong = "Digest realm=\"r\", nonce=\"n\", algorithm=SHA-256";
        assert!(Challenge::read(strong, false).is_none());
    }
}
