//! Digest access authentication (RFC 2617 and RFC 8760 for SIP, RFC 7616 for the algorithms): a challenge answered, and an
//! answer checked.

use md5::Md5;
use sha2::{Digest, Sha256};

use super::lexer::{quote, split, unquote};

/// How digests are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Algorithm {
    /// What everybody has.
    Md5,
    /// As MD5, with a key for each session.
    Md5Sess,
    /// What RFC 8760 asks for.
    Sha256,
    /// As SHA-256, with a key for each session.
    Sha256Sess,
}

impl Algorithm {
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Md5, "MD5"),
        (Self::Md5Sess, "MD5-sess"),
        (Self::Sha256, "SHA-256"),
        (Self::Sha256Sess, "SHA-256-sess"),
    ];

    fn parse(name: &str) -> Option<Self> {
        let mut all = Self::NAMES.into_iter();
        all.find(|(_, own)| own.eq_ignore_ascii_case(name)).map(|(algorithm, _)| algorithm)
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.into_iter().find(|(own, _)| *own == self).map_or("", |(_, name)| name)
    }

    fn is_session(self) -> bool {
        matches!(self, Self::Md5Sess | Self::Sha256Sess)
    }

    fn hash(self, parts: &[&str]) -> String {
        let text = parts.join(":");
        match self {
            Self::Md5 | Self::Md5Sess => hex(&Md5::digest(text)),
            Self::Sha256 | Self::Sha256Sess => hex(&Sha256::digest(text)),
        }
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether both are the same, in a time that does not tell how much of them is.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    let differs = one.bytes().zip(other.bytes()).fold(0, |seen, (a, b)| seen | (a ^ b));
    one.len() == other.len() && differs == 0
}

/// What a server asks a client to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Whose users.
    pub realm: String,
    /// What the proof has to be made with.
    pub nonce: String,
    /// To be given back.
    pub opaque: Option<String>,
    /// How.
    pub algorithm: Algorithm,
    /// Whether the proof covers the client's own nonce and a count.
    pub qop_auth: bool,
    /// The proof was right but for its nonce, which is too old.
    pub stale: bool,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Name.
    pub user: String,
    /// What proves it.
    pub password: String,
}

/// The fields of `Digest name=value, ...`; `None` for another scheme.
fn fields(value: &str) -> Option<Vec<(String, String)>> {
    let (scheme, rest) = value.trim().split_once([' ', '\t'])?;
    if !scheme.eq_ignore_ascii_case("Digest") {
        return None;
    }
    let parts = split(rest, b',')?.into_iter().filter(|part| !part.is_empty());
    let pairs = parts.map(|part| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_ascii_lowercase(), unquote(value.trim())))
    });
    pairs.collect()
}

fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
}

impl Challenge {
    /// Reads a `WWW-Authenticate` or `Proxy-Authenticate`; `None` for a scheme, an algorithm or a protection that is not known.
    pub fn parse(value: &str) -> Option<Self> {
        let fields = fields(value)?;
        let algorithm = match field(&fields, "algorithm") {
            Some(name) => Algorithm::parse(name)?,
            None => Algorithm::Md5,
        };
        let qop = field(&fields, "qop");
        let qop_auth = qop
            .is_some_and(|qop| qop.split(',').any(|own| own.trim().eq_ignore_ascii_case("auth")));
        if qop.is_some_and(|qop| !qop.trim().is_empty()) && !qop_auth {
            return None;
        }
        Some(Self {
            realm: field(&fields, "realm")?.to_owned(),
            nonce: field(&fields, "nonce")?.to_owned(),
            opaque: field(&fields, "opaque").map(str::to_owned),
            algorithm,
            qop_auth,
            stale: field(&fields, "stale").is_some_and(|stale| stale.eq_ignore_ascii_case("true")),
        })
    }

    /// The strongest of several that can be answered.
    pub fn strongest<'a>(values: impl Iterator<Item = &'a str>) -> Option<Self> {
        values.filter_map(Self::parse).max_by_key(|challenge| challenge.algorithm)
    }

    /// As it is written.
    pub fn to_header(&self) -> String {
        let mut value = format!(
            "Digest realm={}, nonce={}, algorithm={}",
            quote(&self.realm),
            quote(&self.nonce),
            self.algorithm.as_str()
        );
        if self.qop_auth {
            value.push_str(", qop=\"auth\"");
        }
        if self.stale {
            value.push_str(", stale=true");
        }
        value
    }

    /// The answer to it, for the `count`th request with this nonce; `cnonce` is the client's own.
    pub fn answer(
        &self,
        credentials: &Credentials,
        method: &str,
        uri: &str,
        count: u32,
        cnonce: &str,
    ) -> String {
        let proof = Proof {
            algorithm: self.algorithm,
            user: &credentials.user,
            realm: &self.realm,
            password: &credentials.password,
            nonce: &self.nonce,
            method,
            uri,
        };
        let session = self.qop_auth || self.algorithm.is_session();
        let nc = format!("{count:08x}");
        let protection = self.qop_auth.then_some((nc.as_str(), "auth"));
        let response = proof.response(session.then_some(cnonce), protection);
        let mut value = format!(
            "Digest username={}, realm={}, nonce={}, uri={}, response=\"{response}\", algorithm={}",
            quote(&credentials.user),
            quote(&self.realm),
            quote(&self.nonce),
            quote(uri),
            self.algorithm.as_str()
        );
        if session {
            value.push_str(&format!(", cnonce={}", quote(cnonce)));
        }
        if self.qop_auth {
            value.push_str(&format!(", qop=auth, nc={nc}"));
        }
        if let Some(opaque) = &self.opaque {
            value.push_str(&format!(", opaque={}", quote(opaque)));
        }
        value
    }
}

/// An answer to a challenge, as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who it says it is.
    pub user: String,
    /// Realm of the challenge.
    pub realm: String,
    /// Nonce of the challenge.
    pub nonce: String,
    /// How often the nonce was used, where that is counted.
    pub count: Option<u32>,
    uri: String,
    algorithm: Algorithm,
    cnonce: Option<String>,
    qop: Option<(String, String)>,
    response: String,
}

impl Answer {
    /// Reads an `Authorization` or `Proxy-Authorization`.
    pub fn parse(value: &str) -> Option<Self> {
        let fields = fields(value)?;
        let owned = |name| field(&fields, name).map(str::to_owned);
        let algorithm = match field(&fields, "algorithm") {
            Some(name) => Algorithm::parse(name)?,
            None => Algorithm::Md5,
        };
        let nc = owned("nc");
        let count = nc.as_deref().and_then(|nc| u32::from_str_radix(nc, 16).ok());
        Some(Self {
            user: owned("username")?,
            realm: owned("realm")?,
            nonce: owned("nonce")?,
            count,
            uri: owned("uri")?,
            algorithm,
            cnonce: owned("cnonce"),
            qop: nc.zip(owned("qop")),
            response: owned("response")?.to_ascii_lowercase(),
        })
    }

    /// Whether it proves that its sender knows `password`, for a request of `method`.
    pub fn proves(&self, password: &str, method: &str) -> bool {
        let proof = Proof {
            algorithm: self.algorithm,
            user: &self.user,
            realm: &self.realm,
            password,
            nonce: &self.nonce,
            method,
            uri: &self.uri,
        };
        let qop = self.qop.as_ref().map(|(nc, qop)| (nc.as_str(), qop.as_str()));
        if qop.is_some_and(|(_, qop)| qop != "auth") {
            return false;
        }
        let expected = proof.response(self.cnonce.as_deref(), qop);
        is_same(&expected, &self.response)
    }
}

struct Proof<'a> {
    algorithm: Algorithm,
    user: &'a str,
    realm: &'a str,
    password: &'a str,
    nonce: &'a str,
    method: &'a str,
    uri: &'a str,
}

impl Proof<'_> {
    /// RFC 7616, section 3.4.1; without `qop`, as RFC 2069 had it.
    fn response(&self, cnonce: Option<&str>, qop: Option<(&str, &str)>) -> String {
        let mut a1 = self.algorithm.hash(&[self.user, self.realm, self.password]);
        let cnonce = cnonce.unwrap_or_default();
        if self.algorithm.is_session() {
            a1 = self.algorithm.hash(&[&a1, self.nonce, cnonce]);
        }
        let a2 = self.algorithm.hash(&[self.method, self.uri]);
        match qop {
            Some((nc, qop)) => self.algorithm.hash(&[&a1, self.nonce, nc, cnonce, qop, &a2]),
            None => self.algorithm.hash(&[&a1, self.nonce, &a2]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mufasa() -> Credentials {
        Credentials { user: "Mufasa".into(), password: "Circle of Life".into() }
    }

    #[test]
    fn the_examples_of_rfc_7616_come_out() {
        let nonce = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
        let cases = [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ];
        for (algorithm, expected) in cases {
            let challenge = format!(
                "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm={algorithm}, \
                 nonce=\"{nonce}\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
            );
            let challenge = Challenge::parse(&challenge).unwrap();
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            let answer = challenge.answer(&mufasa(), "GET", "/dir/index.html", 1, cnonce);
            assert!(answer.contains(&format!("response=\"{expected}\"")), "{answer}");
        }
    }

    #[test]
    fn the_example_of_rfc_2617_comes_out() {
        let value = "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
            nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", qop=auth, nc=00000001, \
            cnonce=\"0a4f113b\", response=\"6629fae49393a05397450978507c4ef1\"";
        let answer = Answer::parse(value).unwrap();
        assert!(answer.proves("Circle Of Life", "GET"));
        assert!(!answer.proves("Circle of Life", "GET") && !answer.proves("Circle Of Life", "PUT"));
        assert_eq!(answer.count, Some(1));
    }

    #[test]
    fn every_algorithm_is_answered_so_that_it_proves_itself() {
        for (algorithm, _) in Algorithm::NAMES {
            for qop_auth in [false, true] {
                let challenge = Challenge {
                    realm: "a \"realm\", quoted".into(),
                    nonce: "n".into(),
                    opaque: Some("o".into()),
                    algorithm,
                    qop_auth,
                    stale: false,
                };
                assert_eq!(Challenge::parse(&challenge.to_header()), {
                    Some(Challenge { opaque: None, ..challenge.clone() })
                });
                let value = challenge.answer(&mufasa(), "REGISTER", "sip:a", 17, "c");
                let answer = Answer::parse(&value).unwrap();
                assert!(answer.proves("Circle of Life", "REGISTER"), "{value}");
                assert!(!answer.proves("circle of life", "REGISTER"), "{value}");
                assert_eq!(answer.count, qop_auth.then_some(17));
            }
        }
    }

    #[test]
    fn the_strongest_known_challenge_is_taken() {
        let values = [
            "NoOneKnowsThisScheme opaque=\"x\"",
            "Digest realm=\"r\", nonce=\"1\"",
            "Digest realm=\"r\", nonce=\"2\", algorithm=SHA-256, qop=\"auth\"",
            "Digest realm=\"r\", nonce=\"3\", algorithm=SHA-512-256",
            "Digest realm=\"r\", nonce=\"4\", algorithm=SHA-256, qop=\"auth-int\"",
        ];
        let strongest = Challenge::strongest(values.into_iter()).unwrap();
        assert_eq!((strongest.nonce.as_str(), strongest.qop_auth), ("2", true));
        assert_eq!(Challenge::strongest(values[..1].iter().copied()), None);
    }
}
