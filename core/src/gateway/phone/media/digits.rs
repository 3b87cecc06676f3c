//! Digits that a phone dials: told once, though some phones say each both within their audio and by INFO.

use std::{collections::VecDeque, time::Duration};

use bytes::BytesMut;

use crate::{
    amf::{Value, amf0},
    rtmp::message::{Message, type_id},
    rtp::dtmf::Digit,
};

/// How far the two ways of saying a digit may be apart.
const APART_MAX: Duration = Duration::from_secs(1);
/// Digits that are remembered.
const REMEMBERED_MAX: usize = 16;

/// How a digit is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As telephone events.
    Rtp,
    /// By SIP.
    Info,
}

/// The digits of one phone.
#[derive(Debug, Default)]
pub(super) struct Digits {
    /// Those that were said in one way only so far.
    recent: VecDeque<(Digit, Way, Duration)>,
    told: u64,
}

impl Digits {
    /// Digits that were told.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// A digit was said. False if it was told when it was said in the other way.
    pub(super) fn handle(&mut self, now: Duration, digit: Digit, way: Way) -> bool {
        self.recent.retain(|(_, _, at)| now.saturating_sub(*at) < APART_MAX);
        let is_same = |seen: &(Digit, Way, Duration)| seen.0 == digit && seen.1 != way;
        if let Some(at) = self.recent.iter().position(is_same) {
            self.recent.remove(at);
            return false;
        }
        if self.recent.len() == REMEMBERED_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back((digit, way, now));
        self.told += 1;
        true
    }
}

/// What players of a phone's stream are told: `onDTMF`, the digit, and how many milliseconds it lasted if that is known.
pub(super) fn message(timestamp_ms: u32, digit: Digit, duration_ms: Option<u32>) -> Message {
    let mut payload = BytesMut::new();
    let digit = digit.to_char().to_string();
    let values = [Some(Value::from("onDTMF")), Some(Value::from(&*digit))];
    let duration = duration_ms.map(|ms| Value::from(f64::from(ms)));
    values.into_iter().chain([duration]).flatten().for_each(|it| amf0::encode(&it, &mut payload));
    Message { type_id: type_id::DATA_AMF0, stream_id: 0, timestamp_ms, payload: payload.freeze() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: &[(u64, char, Way)]) -> Vec<bool> {
        let mut digits = Digits::default();
        let digit = |character| Digit::from_char(character).unwrap();
        said.iter()
            .map(|(ms, character, way)| {
                digits.handle(Duration::from_millis(*ms), digit(*character), *way)
            })
            .collect()
    }

    #[test]
    fn what_is_said_in_both_ways_is_told_once() {
        let twice = [(0, '5', Way::Rtp), (90, '5', Way::Info), (200, '5', Way::Info)];
        assert_eq!(told(&twice), [true, false, true]);
        let crossed = [(0, '5', Way::Rtp), (9, '5', Way::Rtp), (80, '5', Way::Info)];
        assert_eq!(told(&crossed), [true, true, false]);
    }

    #[test]
    fn another_digit_and_a_later_one_are_told() {
        let others = [(0, '5', Way::Rtp), (9, '6', Way::Info), (1_000, '5', Way::Info)];
        assert_eq!(told(&others), [true; 3]);
    }

    #[test]
    fn players_get_the_digit_and_its_length_if_that_is_known() {
        let digit = Digit::from_char('#').unwrap();
        let values = |message: Message| amf0::decode_all(&message.payload).unwrap();
        let plain = values(message(7, digit, None));
        assert_eq!(plain, [Value::from("onDTMF"), Value::from("#")]);
        assert_eq!(values(message(7, digit, Some(160)))[2], Value::from(160.0));
    }
}
