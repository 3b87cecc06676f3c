//! Changes that know nothing of what they change.

use rehearsal_sim::Rng;

/// Values at the edges of fields of a byte.
const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/// One of `items`.
pub(super) fn pick<'a, T>(rng: &mut Rng, items: &'a [T]) -> &'a T {
    &items[rng.below(items.len() as u64) as usize]
}

/// So many random bytes.
pub(super) fn noise(rng: &mut Rng, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    rng.fill(&mut bytes);
    bytes
}

/// An offset into `bytes`, which are not empty.
fn offset(rng: &mut Rng, bytes: &[u8]) -> usize {
    rng.below(bytes.len() as u64) as usize
}

/// Changes something somewhere in `bytes`.
pub(super) fn bytes(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        *bytes = noise(rng, 3);
        return;
    }
    let at = offset(rng, bytes);
    let to = (at + 1 + rng.below(40) as usize).min(bytes.len());
    match rng.below(7) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes[at] = *pick(rng, &EDGES),
        2 => bytes[at] = bytes[at].wrapping_add(*pick(rng, &[1, 255])),
        3 => bytes.truncate(at),
        4 => {
            let count = 1 + rng.below(20) as usize;
            bytes.splice(at..at, noise(rng, count));
        }
        5 => drop(bytes.drain(at..to)),
        _ => {
            let again = bytes[at..to].to_vec();
            bytes.splice(at..at, again);
        }
    }
}

/// Changes the order or the number of `pieces`.
pub(super) fn order<T: Clone>(rng: &mut Rng, pieces: &mut Vec<T>) {
    if pieces.is_empty() {
        return;
    }
    let (at, other) = (rng.below(pieces.len() as u64) as usize, rng.below(pieces.len() as u64));
    match rng.below(4) {
        0 => drop(pieces.remove(at)),
        1 => pieces.insert(at, pieces[at].clone()),
        2 => pieces.swap(at, other as usize),
        _ => pieces.truncate(at + 1),
    }
}
