//! O9 resource conservation: a gateway that has served holds no more at rest than when it began to, and a run leaves nothing of
//! it behind.

use std::iter::once;

use crate::run::{Evidence, Held};

/// What a gateway may hold at rest beyond what it held when it began to serve: its tables give back what they do not need.
const KEPT_MAX: Held = Held { blocks: 0, bytes: 0 };
/// What it holds besides of an account, which is registered as long as it runs: who it is, and the newest request.
const OF_ACCOUNT: Held = Held { blocks: 40, bytes: 16 << 10 };
/// What a run may leave, which then nobody can give back any more.
const LEFT_MAX: Held = Held { blocks: 0, bytes: 0 };

/// Nothing to say where nobody counts.
pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let runs = once(evidence).chain(evidence.twin.as_deref());
    let found = runs.flat_map(|run| {
        let [left, kept] = run.kept();
        [
            is_beyond(left, LEFT_MAX).then(|| {
                format!(
                    "a run leaves {left} of the gateway's on the heap; `cargo leakcheck --new-worlds` with the name of \
                     the scenario tells who allocated them"
                )
            }),
            is_beyond(kept, kept_max(run)).then(|| {
                format!(
                    "at rest the gateway holds {kept} more than when it began to serve; `cargo leakcheck` with the name \
                     of the scenario tells who allocated them"
                )
            }),
        ]
    });
    found.flatten().collect()
}

fn kept_max(run: &Evidence) -> Held {
    let accounts = run.plan.config.sip.accounts.len() as i64;
    Held {
        blocks: KEPT_MAX.blocks + accounts * OF_ACCOUNT.blocks,
        bytes: KEPT_MAX.bytes + accounts * OF_ACCOUNT.bytes,
    }
}

fn is_beyond(held: Held, most: Held) -> bool {
    held.blocks > most.blocks || held.bytes > most.bytes
}
