//! Methods: what a request asks for.

use std::fmt;

use super::lexer::is_token;

/// A method; the case of its letters counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// Begins a call, or changes one.
    Invite,
    /// Confirms a final answer to an INVITE.
    Ack,
    /// Ends a call.
    Bye,
    /// Ends an INVITE that is not answered yet.
    Cancel,
    /// Asks what the peer can do, and whether it is there.
    Options,
    /// Says where somebody can be reached.
    Register,
    /// Carries something in a call (RFC 6086).
    Info,
    /// Changes a call without INVITE (RFC 3311).
    Update,
    /// Any other.
    Other(String),
}

impl Method {
    const KNOWN: [(Self, &'static str); 8] = [
        (Self::Invite, "INVITE"),
        (Self::Ack, "ACK"),
        (Self::Bye, "BYE"),
        (Self::Cancel, "CANCEL"),
        (Self::Options, "OPTIONS"),
        (Self::Register, "REGISTER"),
        (Self::Info, "INFO"),
        (Self::Update, "UPDATE"),
    ];

    /// Reads a method; `None` for what is no token.
    pub fn parse(text: &str) -> Option<Self> {
        let known = Self::KNOWN.into_iter().find(|(_, name)| *name == text);
        match known {
            Some((method, _)) => Some(method),
            None => is_token(text).then(|| Self::Other(text.to_owned())),
        }
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Other(name) => name,
            known => {
                Self::KNOWN.iter().find(|(method, _)| method == known).map_or("", |(_, name)| name)
            }
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_case_of_a_method_counts() {
        assert_eq!(Method::parse("INVITE"), Some(Method::Invite));
        assert_eq!(Method::parse("invite"), Some(Method::Other("invite".into())));
        assert_eq!(
            Method::parse("!interesting-Method0123456789_*+`.%indeed'~").unwrap().as_str().len(),
            43
        );
        assert_eq!(Method::parse("A B"), None);
        for (method, name) in Method::KNOWN {
            assert_eq!(method.as_str(), name);
        }
    }
}
