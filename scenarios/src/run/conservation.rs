//! What a run leaves of the gateway's on the heap: seen on its account before the world is made and once it is gone.

use rehearsal_sim::heap::{self, Scope};
use tracing::{Dispatch, dispatcher};

use super::{Ran, evidence::Held};

impl Held {
    /// What is on the gateway's account on this thread; nothing unless the process counts.
    pub(super) fn now() -> Self {
        let usage = heap::usage(Scope::Gateway);
        Self { blocks: usage.live_blocks, bytes: usage.live_bytes }
    }

    /// How much more that is than `before`.
    pub(super) fn since(before: Self) -> Self {
        let now = Self::now();
        Self { blocks: now.blocks - before.blocks, bytes: now.bytes - before.bytes }
    }
}

/// Carries out a plan and notes what that leaves. If it leaves anything, or the gateway kept anything while it rested, it is carried
/// out once more, and what that leaves counts: whatever is made once and for all, such as a static, was made the first time.
pub(super) fn measured(carry_out: impl Fn() -> Ran) -> Ran {
    let mut ran = once(&carry_out);
    let Ok(evidence) = &mut ran.evidence else { return ran };
    if evidence.kept() == [Held::default(); 2] {
        return ran;
    }
    // Nobody wants to read the log twice, and what printing keeps is not the gateway's.
    if let Ok(again) = dispatcher::with_default(&Dispatch::none(), || once(&carry_out)).evidence {
        evidence.left_on_heap = again.left_on_heap;
        let hosts = evidence.host.as_mut().zip(again.host);
        if let Some((host, again)) = hosts {
            host.kept_at_rest = again.kept_at_rest;
        }
    }
    ran
}

fn once(carry_out: &impl Fn() -> Ran) -> Ran {
    let before = Held::now();
    let mut ran = carry_out();
    if let Ok(evidence) = &mut ran.evidence {
        evidence.left_on_heap = Held::since(before);
    }
    ran
}
