//! Messages that come over a stream, cut in any way.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};
use rehearsal_core::sip::{
    framing::{FramingError, StreamReader},
    message::Message,
    parse,
};

use crate::{
    LIMITS,
    generated::{ANY_NAME, message},
};

/// What comes out of `stream` when it comes in pieces that end at `cuts`.
fn read(stream: &[u8], cuts: &[Index]) -> (Vec<Bytes>, usize, Result<(), FramingError>) {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut reader = StreamReader::new(LIMITS);
    let (mut messages, mut pongs, mut from, mut result) = (Vec::new(), 0, 0, Ok(()));
    for end in ends {
        reader.push(&stream[from..end]);
        from = end;
        loop {
            match reader.poll_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        while reader.poll_pong() {
            pongs += 1;
        }
    }
    (messages, pongs, result)
}

proptest! {
    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut(
        sent in vec((message(ANY_NAME), "(\r\n){0,5}"), 1..5),
        cuts in vec(any::<Index>(), 0..20),
    ) {
        let mut stream = Vec::new();
        for (message, line_ends) in &sent {
            stream.extend_from_slice(line_ends.as_bytes());
            stream.extend_from_slice(&message.to_bytes());
        }
        let (messages, pongs, result) = read(&stream, &cuts);
        let read: Vec<Message> =
            messages.iter().map(|bytes| parse(bytes, &LIMITS).unwrap()).collect();
        let expected: Vec<Message> = sent.iter().map(|(message, _)| message.clone()).collect();
        prop_assert_eq!(read, expected);
        let pings: usize = sent.iter().map(|(_, line_ends)| line_ends.len() / 4).sum();
        prop_assert_eq!((pongs, result), (pings, Ok(())));
    }

    #[test]
    fn any_bytes_give_the_same_however_they_are_cut(
        stream in "(A sip:a SIP/2.0|[XVl]: ?[0-9]{1,2}|Content-Length:|\r\n|\n|\r| |\t|[a-z0-9]|é|\u{0}){0,60}",
        cuts in vec(any::<Index>(), 0..20),
    ) {
        prop_assert_eq!(read(stream.as_bytes(), &cuts), read(stream.as_bytes(), &[]));
    }
}
