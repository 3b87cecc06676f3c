//! Who sends and who receives on a line, as one side sees it (RFC 3264 §5.1, RFC 8866 §6.7).

/// The direction of a stream as one side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Direction {
    /// This side may send.
    pub send: bool,
    /// This side wants to receive.
    pub receive: bool,
}

impl Direction {
    /// Both ways, which is meant where nothing is said.
    pub const BOTH: Direction = Direction { send: true, receive: true };

    /// The attribute that says it.
    pub fn attribute(self) -> &'static str {
        match (self.send, self.receive) {
            (true, true) => "sendrecv",
            (true, false) => "sendonly",
            (false, true) => "recvonly",
            (false, false) => "inactive",
        }
    }

    pub(super) fn from_attribute(name: &str) -> Option<Self> {
        [(true, true), (true, false), (false, true), (false, false)]
            .into_iter()
            .map(|(send, receive)| Direction { send, receive })
            .find(|direction| direction.attribute().eq_ignore_ascii_case(name))
    }

    /// The same as the other side sees it.
    pub fn mirrored(self) -> Self {
        Direction { send: self.receive, receive: self.send }
    }

    /// What both allow.
    pub fn and(self, other: Self) -> Self {
        Direction { send: self.send && other.send, receive: self.receive && other.receive }
    }
}

#[cfg(test)]
mod tests {
    use super::Direction;

    #[test]
    fn the_attribute_of_the_other_side_is_the_mirrored_one() {
        for (one, other) in
            [("sendonly", "recvonly"), ("inactive", "inactive"), ("sendrecv", "sendrecv")]
        {
            let direction = Direction::from_attribute(one).unwrap();
            assert_eq!(direction.mirrored().attribute(), other);
        }
        assert_eq!(Direction::from_attribute("rtcp-mux"), None);
    }
}
