//! Digits in the body of an INFO request, as phones that send no telephone events have them: `application/dtmf-relay`, with the
//! lines `Signal=5` and `Duration=160` (milliseconds), and `application/dtmf`, which is the digit alone. No RFC defines either.

use crate::rtp::dtmf::Digit;

/// The media type of [`body`].
pub const CONTENT_TYPE: &str = "application/dtmf-relay";
const CONTENT_TYPE_ALONE: &str = "application/dtmf";

/// A digit that somebody has dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigitMessage {
    /// Which.
    pub digit: Digit,
    /// How long it lasted, if that is told.
    pub duration_ms: Option<u32>,
}

/// The body that says so of a digit of `duration_ms`.
pub fn body(digit: Digit, duration_ms: u32) -> String {
    format!("Signal={}\r\nDuration={duration_ms}\r\n", digit.to_char())
}

/// The digit of a body of media type `content_type`; `None` if it is another kind of body, or has no digit.
pub fn parse(content_type: &str, body: &[u8]) -> Option<DigitMessage> {
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let text = std::str::from_utf8(body).ok()?;
    if media_type.eq_ignore_ascii_case(CONTENT_TYPE_ALONE) {
        return Some(DigitMessage { digit: digit(text.trim())?, duration_ms: None });
    }
    if !media_type.eq_ignore_ascii_case(CONTENT_TYPE) {
        return None;
    }
    let value = |wanted: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once('='));
        let (_, value) = fields.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted))?;
        Some(value.trim())
    };
    let duration_ms = value("Duration").and_then(|value| value.parse().ok());
    Some(DigitMessage { digit: digit(value("Signal")?)?, duration_ms })
}

/// A digit as it is written, or as the code of its event.
fn digit(text: &str) -> Option<Digit> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Digit::from_char(character),
        _ => text.parse().ok().filter(|code| *code >= 10).and_then(Digit::from_code),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(content_type: &str, body: &str) -> Option<(char, Option<u32>)> {
        let message = parse(content_type, body.as_bytes())?;
        Some((message.digit.to_char(), message.duration_ms))
    }

    #[test]
    fn what_is_sent_is_understood() {
        let digit = Digit::from_char('#').unwrap();
        let message = DigitMessage { digit, duration_ms: Some(160) };
        assert_eq!(parse(CONTENT_TYPE, body(digit, 160).as_bytes()), Some(message));
    }

    #[test]
    fn forms_of_phones_are_understood() {
        let relay = "Application/DTMF-Relay; charset=utf-8";
        assert_eq!(parsed(relay, "signal = 5\nduration = 250"), Some(('5', Some(250))));
        assert_eq!(parsed(relay, "Signal=11\r\n"), Some(('#', None)));
        assert_eq!(parsed(relay, "Signal=d\r\nDuration=long"), Some(('D', None)));
        assert_eq!(parsed("application/dtmf", " * \r\n"), Some(('*', None)));
    }

    #[test]
    fn what_has_no_digit_is_none() {
        for body in ["", "Signal=", "Signal=16", "Signal=5 5", "Signal=05", "Duration=160"] {
            assert_eq!(parsed(CONTENT_TYPE, body), None, "{body}");
        }
        assert_eq!(parsed("application/sdp", "Signal=5"), None);
        assert_eq!(parse(CONTENT_TYPE, b"Signal=\xff"), None);
    }
}
