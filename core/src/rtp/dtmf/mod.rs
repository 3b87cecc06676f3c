//! Digits as telephone events (RFC 4733): what a packet says, who sends them and who makes one digit of
//! the many packets it takes.

mod receiver;
mod sender;

pub use receiver::{DtmfCounters, DtmfEvent, DtmfReceiver, DtmfReceiverConfig};
pub use sender::{DtmfPacket, DtmfSender, DtmfSenderConfig, DtmfStatus, QueueFull};

/// What is dialled, in the order of their event codes (RFC 4733 §3.2).
const DIGITS: [char; 16] =
    ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', '*', '#', 'A', 'B', 'C', 'D'];

/// The E bit of the second byte.
const END: u8 = 0x80;
/// The volume in the second byte; the R bit between them is reserved.
const VOLUME: u8 = 0x3f;

/// One of the sixteen digits. Other events, such as a flash of the hook, are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digit(u8);

impl Digit {
    /// A digit from `0-9`, `*`, `#`, `A-D` or `a-d`.
    pub fn from_char(character: char) -> Option<Self> {
        let upper = character.to_ascii_uppercase();
        DIGITS.iter().position(|digit| *digit == upper).map(|code| Self(code as u8))
    }

    /// A digit from its event code, 0 to 15.
    pub fn from_code(code: u8) -> Option<Self> {
        (usize::from(code) < DIGITS.len()).then_some(Self(code))
    }

    /// How the digit is written.
    pub fn to_char(self) -> char {
        DIGITS[usize::from(self.0)]
    }

    /// Event code.
    pub fn code(self) -> u8 {
        self.0
    }
}

/// Payload of a telephone event (RFC 4733 §2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EventPayload {
    code: u8,
    is_end: bool,
    /// Power of the tone in dBm0 without its sign.
    volume: u8,
    /// Time since the packet's timestamp, in units of the RTP clock.
    duration: u16,
}

impl EventPayload {
    fn encode(self) -> [u8; 4] {
        let end = if self.is_end { END } else { 0 };
        let [high, low] = self.duration.to_be_bytes();
        [self.code, end | self.volume & VOLUME, high, low]
    }

    /// The first event of a payload; `None` if it is too short for one. RFC 2833 had several in a row.
    fn parse(payload: &[u8]) -> Option<Self> {
        let &[code, flags, high, low] = payload.first_chunk()?;
        Some(Self {
            code,
            is_end: flags & END != 0,
            volume: flags & VOLUME,
            duration: u16::from_be_bytes([high, low]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_have_the_codes_of_the_rfc() {
        for (character, code) in [('0', 0), ('9', 9), ('*', 10), ('#', 11), ('A', 12), ('d', 15)] {
            let digit = Digit::from_char(character).unwrap();
            assert_eq!(digit.code(), code);
            assert_eq!(Digit::from_code(code), Some(digit));
            assert_eq!(digit.to_char(), character.to_ascii_uppercase());
        }
        assert_eq!(Digit::from_code(16), None, "flash");
        assert_eq!(Digit::from_char('E'), None);
    }

    #[test]
    fn a_payload_is_four_bytes() {
        let payload = EventPayload { code: 11, is_end: true, volume: 10, duration: 0x0320 };
        assert_eq!(payload.encode(), [11, 0x8a, 3, 0x20]);
        assert_eq!(EventPayload::parse(&[11, 0xca, 3, 0x20, 99]), Some(payload));
        assert_eq!(EventPayload::parse(&[11, 0x8a, 3]), None);
    }
}
