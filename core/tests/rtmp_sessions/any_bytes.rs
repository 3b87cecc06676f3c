//! A server session against mutated, truncated and arbitrary bytes, in every segmentation.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use rehearsal_core::rtmp::{
    client::Intent,
    command::Encoding,
    handshake::ClientForm,
    server::{ServerEvent, ServerSession, SessionError},
};

use super::{CONFIG, Pair, client, entropy};

/// What a publisher sends from the handshake on, up to and including some media.
fn publisher_bytes() -> Vec<u8> {
    let mut pair =
        Pair::new(client(Intent::Publish, "cam", ClientForm::Simple, Encoding::Amf0), 4096);
    let mut sent = Vec::new();
    for round in 0..8 {
        let up = pair.client.poll_output();
        sent.extend_from_slice(&up);
        let mut input = &up[..];
        while let Some(event) =
            pair.server.handle_input(Duration::ZERO, &mut input, &mut entropy).unwrap()
        {
            pair.decide(&event);
        }
        let down = pair.server.poll_output();
        let mut input = &down[..];
        while pair.client.handle_input(Duration::ZERO, &mut input, &mut entropy).unwrap().is_some()
        {
        }
        if round > 4 {
            pair.client.send_media(9, round * 40, Bytes::from(vec![0x17; 3000]));
        }
    }
    sent
}

/// Feeds `bytes` in pieces as an owner would; gives every event, then how it ended.
fn outcome(bytes: &[u8], cuts: &[usize]) -> (Vec<ServerEvent>, Result<(), SessionError>) {
    let mut server = ServerSession::new(CONFIG, Duration::ZERO);
    let (mut at, mut cuts, mut events) = (0, cuts.iter().cycle(), Vec::new());
    while at < bytes.len() {
        let end = (at + cuts.next().unwrap()).min(bytes.len());
        let mut piece = &bytes[at..end];
        loop {
            match server.handle_input(Duration::ZERO, &mut piece, &mut entropy) {
                Ok(None) => break,
                Err(error) => return (events, Err(error)),
                Ok(Some(event)) => {
                    match &event {
                        ServerEvent::Connect(_) => server.accept_connect(),
                        ServerEvent::Publish { stream_id, name } => {
                            server.accept_publish(Duration::ZERO, *stream_id, name);
                        }
                        ServerEvent::Play { stream_id, name } => {
                            server.accept_play(Duration::ZERO, *stream_id, name);
                        }
                        _ => {}
                    }
                    events.push(event);
                }
            }
        }
        assert!(piece.is_empty());
        at = end;
    }
    (events, Ok(()))
}

proptest! {
    #[test]
    fn a_valid_publisher_is_read_alike_in_every_segmentation(
        cuts in prop::collection::vec(1..3000usize, 1..30),
    ) {
        let bytes = publisher_bytes();
        let whole = outcome(&bytes, &[bytes.len()]);
        prop_assert!(whole.1.is_ok() && whole.0.len() >= 4);
        prop_assert_eq!(outcome(&bytes, &cuts), whole);
    }

    #[test]
    fn a_mutated_or_truncated_publisher_is_read_alike_in_every_segmentation(
        mutations in prop::collection::vec((3073..6000usize, any::<u8>()), 0..8),
        length in 3073..9000usize,
        cuts in prop::collection::vec(1..3000usize, 1..30),
    ) {
        let mut bytes = publisher_bytes();
        for (at, value) in mutations {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = value;
            }
        }
        bytes.truncate(length);
        prop_assert_eq!(outcome(&bytes, &cuts), outcome(&bytes, &[bytes.len()]));
    }

    #[test]
    fn any_bytes_after_the_handshake_are_survived(
        tail in prop::collection::vec(any::<u8>(), 0..2000),
        cuts in prop::collection::vec(1..3000usize, 1..30),
    ) {
        let mut bytes = vec![3];
        bytes.resize(3073, 0);
        bytes.extend(tail);
        prop_assert_eq!(outcome(&bytes, &cuts), outcome(&bytes, &[bytes.len()]));
    }
}
