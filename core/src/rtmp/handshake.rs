//! The handshake that opens every RTMP connection (RTMP 1.0, section 5.2), simple and with digest.
//!
//! The server answers C0C1 with S0S1S2 at once, in the form the client chose. C2 is read and never
//! checked: ffmpeg, for one, sends one that would not pass. After the handshake, what follows in the
//! input is chunk data.

use thiserror::Error;

pub use super::digest::Scheme;
use super::digest::{self, BLOCK_BYTES, Block, Signer};

/// The only version of RTMP there is; higher ones are encrypted variants.
pub const VERSION: u8 = 3;

/// Why a handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HandshakeError {
    /// The first byte is not 3. The peer speaks another protocol or an encrypted variant; it gets no answer.
    #[error("first byte is {0:#04x}, expected version 3: not plain RTMP")]
    Version(u8),
}

/// Fills a buffer with entropy; the caller's source.
pub type Entropy<'a> = &'a mut dyn FnMut(&mut [u8]);

/// Collects the version byte and the blocks behind it.
#[derive(Debug, Default)]
struct Collector {
    bytes: Vec<u8>,
}

impl Collector {
    /// Takes from `input` until `wanted` bytes are there; true once they are. The version is looked at as soon as
    /// it comes.
    fn fill(&mut self, input: &mut &[u8], wanted: usize) -> Result<bool, HandshakeError> {
        let taken = input.len().min(wanted - self.bytes.len());
        self.bytes.extend_from_slice(&input[..taken]);
        *input = &input[taken..];
        match self.bytes.first() {
            Some(&version) if version != VERSION => Err(HandshakeError::Version(version)),
            _ => Ok(self.bytes.len() == wanted),
        }
    }

    fn block(&self, at: usize) -> Block {
        self.bytes[at..at + BLOCK_BYTES].try_into().expect("collected length was checked")
    }
}

fn random_block(time_ms: u32, version: [u8; 4], entropy: Entropy<'_>) -> Block {
    let mut block = [0; BLOCK_BYTES];
    entropy(&mut block[8..]);
    block[..4].copy_from_slice(&time_ms.to_be_bytes());
    block[4..8].copy_from_slice(&version);
    block
}

#[derive(Debug)]
enum ServerState {
    AwaitC0C1(Collector),
    AwaitC2 { left: usize },
    Done,
}

/// The server's side.
#[derive(Debug)]
pub struct ServerHandshake {
    state: ServerState,
}

impl Default for ServerHandshake {
    fn default() -> Self {
        Self { state: ServerState::AwaitC0C1(Collector::default()) }
    }
}

impl ServerHandshake {
    /// True once C2 has been read; the rest of the input is chunk data.
    pub fn is_done(&self) -> bool {
        matches!(self.state, ServerState::Done)
    }

    /// Consumes handshake bytes from the front of `input` and appends the answer to `output`.
    ///
    /// # Errors
    /// [`HandshakeError::Version`] on the first byte.
    pub fn handle_input(
        &mut self,
        input: &mut &[u8],
        entropy: Entropy<'_>,
        output: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        loop {
            match &mut self.state {
                ServerState::AwaitC0C1(collector) => {
                    if !collector.fill(input, 1 + BLOCK_BYTES)? {
                        return Ok(());
                    }
                    answer(&collector.block(1), entropy, output);
                    self.state = ServerState::AwaitC2 { left: BLOCK_BYTES };
                }
                ServerState::AwaitC2 { left } => {
                    let taken = input.len().min(*left);
                    *input = &input[taken..];
                    *left -= taken;
                    if *left > 0 {
                        return Ok(());
                    }
                    self.state = ServerState::Done;
                }
                ServerState::Done => return Ok(()),
            }
        }
    }
}

/// Appends S0S1S2 in the form that C1 asks for.
fn answer(c1: &Block, entropy: Entropy<'_>, output: &mut Vec<u8>) {
    let signed = if c1[4..8] == [0; 4] { None } else { digest::find(c1, Signer::Client) };
    output.push(VERSION);
    match signed {
        Some((scheme, client_digest)) => {
            let mut s1 = random_block(0, [4, 5, 0, 1], entropy);
            digest::sign(&mut s1, scheme, Signer::Server);
            let mut s2 = random_block(0, [0; 4], entropy);
            digest::sign_reply(&mut s2, &client_digest, Signer::Server);
            output.extend_from_slice(&s1);
            output.extend_from_slice(&s2);
        }
        None => {
            output.extend_from_slice(&random_block(0, [0; 4], entropy));
            output.extend_from_slice(c1);
        }
    }
}

/// Which form a client opens with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientForm {
    /// Version bytes zero, C2 echoes S1.
    Simple,
    /// C1 signed in the given scheme, C2 signed when the server signs too.
    Digest(Scheme),
}

#[derive(Debug)]
enum ClientState {
    AwaitS0S1S2(Collector),
    Done,
}

/// The client's side.
#[derive(Debug)]
pub struct ClientHandshake {
    state: ClientState,
}

impl ClientHandshake {
    /// Appends C0C1 to `output`.
    pub fn start(form: ClientForm, entropy: Entropy<'_>, output: &mut Vec<u8>) -> Self {
        let c1 = match form {
            ClientForm::Simple => random_block(0, [0; 4], entropy),
            ClientForm::Digest(scheme) => {
                let mut block = random_block(0, [128, 0, 7, 2], entropy);
                digest::sign(&mut block, scheme, Signer::Client);
                block
            }
        };
        output.push(VERSION);
        output.extend_from_slice(&c1);
        Self { state: ClientState::AwaitS0S1S2(Collector::default()) }
    }

    /// True once S2 has been read and C2 written; the rest of the input is chunk data.
    pub fn is_done(&self) -> bool {
        matches!(self.state, ClientState::Done)
    }

    /// Consumes handshake bytes from the front of `input` and appends C2 to `output`.
    ///
    /// # Errors
    /// [`HandshakeError::Version`] on the first byte.
    pub fn handle_input(
        &mut self,
        input: &mut &[u8],
        entropy: Entropy<'_>,
        output: &mut Vec<u8>,
    ) -> Result<(), HandshakeError> {
        let ClientState::AwaitS0S1S2(collector) = &mut self.state else { return Ok(()) };
        if !collector.fill(input, 1 + 2 * BLOCK_BYTES)? {
            return Ok(());
        }
        let s1 = collector.block(1);
        match digest::find(&s1, Signer::Server) {
            Some((_, server_digest)) => {
                let mut c2 = random_block(0, [0; 4], entropy);
                digest::sign_reply(&mut c2, &server_digest, Signer::Client);
                output.extend_from_slice(&c2);
            }
            None => output.extend_from_slice(&s1),
        }
        self.state = ClientState::Done;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting() -> impl FnMut(&mut [u8]) {
        let mut next = 1u8;
        move |buf: &mut [u8]| {
            for byte in buf {
                *byte = next;
                next = next.wrapping_mul(31).wrapping_add(7);
            }
        }
    }

    /// Both sides, the server fed `step` bytes at a time.
    fn meet(form: ClientForm, step: usize) -> (Vec<u8>, Vec<u8>) {
        let mut entropy = counting();
        let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
        let mut client = ClientHandshake::start(form, &mut entropy, &mut to_server);
        let mut server = ServerHandshake::default();
        for mut piece in to_server.clone().chunks(step) {
            server.handle_input(&mut piece, &mut entropy, &mut to_client).expect("valid C0C1");
        }
        let mut c2 = Vec::new();
        for mut piece in to_client.clone().chunks(step) {
            client.handle_input(&mut piece, &mut entropy, &mut c2).expect("valid S0S1S2");
        }
        assert!(client.is_done() && !server.is_done());
        let mut rest = [c2.as_slice(), b"chunk"].concat();
        let mut rest = rest.as_mut_slice() as &[u8];
        server.handle_input(&mut rest, &mut entropy, &mut to_client).expect("C2 is never refused");
        assert!(server.is_done());
        assert_eq!(rest, b"chunk", "what follows C2 is left in the input");
        (to_server, to_client)
    }

    #[test]
    fn simple_reply_echoes_c1() {
        let (to_server, to_client) = meet(ClientForm::Simple, usize::MAX);
        assert_eq!(to_client.len(), 1 + 2 * BLOCK_BYTES);
        assert_eq!(to_client[1 + BLOCK_BYTES..], to_server[1..]);
    }

    #[test]
    fn digest_reply_is_signed_in_the_clients_scheme() {
        for scheme in [Scheme::Zero, Scheme::One] {
            let (_, to_client) = meet(ClientForm::Digest(scheme), 1);
            let s1: Block = to_client[1..1 + BLOCK_BYTES].try_into().unwrap();
            assert_eq!(digest::find(&s1, Signer::Server).map(|found| found.0), Some(scheme));
        }
    }

    #[test]
    fn versioned_c1_without_valid_digest_gets_the_simple_reply() {
        let mut entropy = counting();
        let mut c0c1 = vec![VERSION];
        c0c1.extend_from_slice(&random_block(0, [9, 0, 124, 2], &mut entropy));
        let mut output = Vec::new();
        ServerHandshake::default()
            .handle_input(&mut c0c1.as_slice(), &mut entropy, &mut output)
            .unwrap();
        assert_eq!(output[1 + BLOCK_BYTES..], c0c1[1..]);
    }

    #[test]
    fn other_versions_are_refused_at_the_first_byte_without_an_answer() {
        for version in [0, 2, 6, 8, b'<', b'G', 255] {
            let mut output = Vec::new();
            let refused = ServerHandshake::default().handle_input(
                &mut [version].as_slice(),
                &mut counting(),
                &mut output,
            );
            assert_eq!(refused, Err(HandshakeError::Version(version)));
            assert!(output.is_empty());
        }
    }
}
