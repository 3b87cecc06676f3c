//! The HMAC-SHA256 digest that signs handshake blocks.
//!
//! A block of 1536 bytes carries a 32-byte digest over its other 1504 bytes. Where it stands depends on
//! a scheme and on four bytes of the block itself. Flash Player enables H.264 and AAC only after it.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Length in bytes of C1, S1, C2 and S2.
pub(super) const BLOCK_BYTES: usize = 1536;
/// Length in bytes of a digest.
pub(super) const DIGEST_BYTES: usize = 32;

/// A block of the handshake.
pub(super) type Block = [u8; BLOCK_BYTES];
/// An HMAC-SHA256 value.
pub(super) type Digest = [u8; DIGEST_BYTES];

const SHARED_SECRET: [u8; 32] = [
    0xf0, 0xee, 0xc2, 0x4a, 0x80, 0x68, 0xbe, 0xe8, 0x2e, 0x00, 0xd0, 0xd1, 0x02, 0x9e, 0x7e, 0x57,
    0x6e, 0xec, 0x5d, 0x2d, 0x29, 0x80, 0x6f, 0xab, 0x93, 0xb8, 0xe6, 0x36, 0xcf, 0xeb, 0x31, 0xae,
];
const CLIENT_NAME: &[u8] = b"Genuine Adobe Flash Player 001";
const SERVER_NAME: &[u8] = b"Genuine Adobe Flash Media Server 001";

/// Whose key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signer {
    Client,
    Server,
}

impl Signer {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Client => CLIENT_NAME,
            Self::Server => SERVER_NAME,
        }
    }
}

/// Where in a block the digest stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Position taken from bytes 8 to 11; the digest lies in the first half.
    Zero,
    /// Position taken from bytes 772 to 775; the digest lies in the second half.
    One,
}

impl Scheme {
    fn digest_at(self, block: &Block) -> usize {
        let (source, base) = match self {
            Self::Zero => (8, 12),
            Self::One => (772, 776),
        };
        let sum: usize = block[source..source + 4].iter().map(|&byte| usize::from(byte)).sum();
        sum % 728 + base
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Digest {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

fn block_digest(block: &Block, at: usize, signer: Signer) -> Digest {
    hmac(signer.name(), &[&block[..at], &block[at + DIGEST_BYTES..]])
}

/// The digest of `block` and its scheme, if `signer` signed it in either.
pub(super) fn find(block: &Block, signer: Signer) -> Option<(Scheme, Digest)> {
    [Scheme::Zero, Scheme::One].into_iter().find_map(|scheme| {
        let at = scheme.digest_at(block);
        let digest = block_digest(block, at, signer);
        (block[at..at + DIGEST_BYTES] == digest).then_some((scheme, digest))
    })
}

/// Signs C1 or S1 in place and gives the digest.
pub(super) fn sign(block: &mut Block, scheme: Scheme, signer: Signer) -> Digest {
    let at = scheme.digest_at(block);
    let digest = block_digest(block, at, signer);
    block[at..at + DIGEST_BYTES].copy_from_slice(&digest);
    digest
}

/// Signs C2 or S2 in place: its last 32 bytes prove that `signer` has seen the peer's digest.
pub(super) fn sign_reply(block: &mut Block, peer_digest: &Digest, signer: Signer) {
    let key = hmac(&[signer.name(), &SHARED_SECRET].concat(), &[peer_digest]);
    let (random, proof) = block.split_at_mut(BLOCK_BYTES - DIGEST_BYTES);
    proof.copy_from_slice(&hmac(&key, &[random]));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patterned() -> Block {
        std::array::from_fn(|index| (index * 7 % 251) as u8)
    }

    #[test]
    fn a_signed_block_is_found_in_its_scheme() {
        for scheme in [Scheme::Zero, Scheme::One] {
            let mut block = patterned();
            let digest = sign(&mut block, scheme, Signer::Client);
            assert_eq!(find(&block, Signer::Client), Some((scheme, digest)));
            assert_eq!(find(&block, Signer::Server), None, "another signer's key must not match");
        }
    }

    #[test]
    fn an_altered_block_is_not_found() {
        let mut block = patterned();
        sign(&mut block, Scheme::Zero, Signer::Client);
        block[1535] ^= 1;
        assert_eq!(find(&block, Signer::Client), None);
    }

    #[test]
    fn the_digest_never_leaves_the_block() {
        for fill in [0, 255] {
            let block = [fill; BLOCK_BYTES];
            for scheme in [Scheme::Zero, Scheme::One] {
                assert!(scheme.digest_at(&block) + DIGEST_BYTES <= BLOCK_BYTES);
            }
        }
    }
}
