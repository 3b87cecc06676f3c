//! How the heap grows with the number of cycles.

use rehearsal_sim::heap::{self, Scope};

/// Cycles before anything is measured: lazily made statics and buffers that grow once.
const WARM_UP_CYCLES: u32 = 2;
const SCOPES: [Scope; 4] = [Scope::Other, Scope::Sim, Scope::Gateway, Scope::Client];

/// Blocks and bytes on the heap, all scopes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heap {
    blocks: i64,
    bytes: i64,
}

impl Heap {
    fn now() -> Self {
        let mut heap = Self { blocks: 0, bytes: 0 };
        for scope in SCOPES {
            let usage = heap::usage(scope);
            heap.blocks += usage.live_blocks;
            heap.bytes += usage.live_bytes;
        }
        heap
    }

    fn since(self, before: Self) -> Self {
        Self { blocks: self.blocks - before.blocks, bytes: self.bytes - before.bytes }
    }
}

/// What N cycles and then 2N cycles have added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Growth {
    cycles: u32,
    first: Heap,
    second: Heap,
}

/// What the growth means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing was added.
    AtRest,
    /// Something was added, but not by the later cycles.
    AddedOnce,
    /// The later cycles added too: a leak.
    Growing,
}

impl Growth {
    /// Warms `cycle` up, then measures `cycles` of it and twice as many.
    pub(crate) fn measure(cycles: u32, mut cycle: impl FnMut()) -> Self {
        let mut repeat = |times: u32| {
            let before = Heap::now();
            (0..times).for_each(|_| cycle());
            Heap::now().since(before)
        };
        repeat(WARM_UP_CYCLES);
        Self { cycles, first: repeat(cycles), second: repeat(2 * cycles) }
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let none = Heap { blocks: 0, bytes: 0 };
        match (self.first, self.second) {
            (_, second) if second.blocks > 0 || second.bytes > 0 => Verdict::Growing,
            (first, _) if first != none => Verdict::AddedOnce,
            _ => Verdict::AtRest,
        }
    }

    pub(crate) fn blocks_per_cycle(&self) -> f64 {
        self.second.blocks as f64 / f64::from(2 * self.cycles)
    }

    pub(crate) fn bytes_per_cycle(&self) -> f64 {
        self.second.bytes as f64 / f64::from(2 * self.cycles)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_a_cycle_is_growing() {
        let mut kept = Vec::with_capacity(100);
        let growth = Growth::measure(3, || kept.push(Box::new(7_u64)));
        assert_eq!(growth.verdict(), Verdict::Growing);
        assert_eq!((growth.blocks_per_cycle(), growth.bytes_per_cycle()), (1.0, 8.0));
    }

    #[test]
    fn what_is_given_back_is_at_rest() {
        let growth = Growth::measure(3, || drop(vec![1, 2, 3]));
        assert_eq!(growth.verdict(), Verdict::AtRest);
    }

    #[test]
    fn what_the_third_cycle_adds_is_added_once() {
        let (mut cycle, mut kept) = (0, None);
        let growth = Growth::measure(3, || {
            cycle += 1;
            if cycle == WARM_UP_CYCLES + 2 {
                kept = Some(Box::new(7_u64));
            }
        });
        assert!(kept.is_some());
        assert_eq!(growth.verdict(), Verdict::AddedOnce);
    }
}
