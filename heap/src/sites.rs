//! Which chain of calls allocated what is on the heap now.
//!
//! A site is a stack of return addresses, met first by some allocation and numbered from then on; a block's header
//! has the number. What sites hold is counted when blocks come and go, so that a look at it costs nothing but the
//! look, and no block is ever searched for.
//!
//! What this keeps for itself is allocated in no scope's name and at no site.

use std::{
    cell::Cell,
    collections::BTreeMap,
    ops::{AddAssign, Sub},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
};

use serde::{Deserialize, Serialize};

use crate::scope::{self, Scope};

/// The number of a site; 0 for a block whose site was not recorded.
pub(crate) type SiteId = u32;

/// Innermost calls that a site has; the rest of a longer chain tells nothing apart.
const FRAMES_MAX: usize = 64;

/// Scopes whose allocations are recorded, a bit each.
static RECORDED: AtomicU8 = AtomicU8::new(0);

static SITES: Mutex<Sites> = Mutex::new(Sites { numbers: BTreeMap::new(), held: Vec::new() });

thread_local! {
    /// The thread is in here already: what it allocates is of no site.
    static IS_INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Blocks and bytes; the difference of two may be below zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Amount {
    /// Blocks.
    pub blocks: i64,
    /// Bytes, as asked for.
    pub bytes: i64,
}

impl Amount {
    /// Nothing.
    pub const NONE: Self = Self { blocks: 0, bytes: 0 };
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.blocks += other.blocks;
        self.bytes += other.bytes;
    }
}

impl Sub for Amount {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { blocks: self.blocks - other.blocks, bytes: self.bytes - other.bytes }
    }
}

/// A photograph of what every call site holds.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// By the number of the site, from 1.
    amounts: Vec<Amount>,
}

impl Held {
    /// What the site of this number held; one that was met later held nothing.
    pub(crate) fn of(&self, site: SiteId) -> Amount {
        self.amounts.get(site as usize - 1).copied().unwrap_or(Amount::NONE)
    }

    /// What each call site holds more than it did in `before`, or less.
    pub fn since(&self, before: &Self) -> Self {
        let sites = 1..=self.amounts.len().max(before.amounts.len()) as SiteId;
        Self { amounts: sites.map(|site| self.of(site) - before.of(site)).collect() }
    }

    /// What all of them held together.
    pub fn total(&self) -> Amount {
        let mut total = Amount::NONE;
        self.amounts.iter().for_each(|amount| total += *amount);
        total
    }
}

struct Sites {
    numbers: BTreeMap<Box<[usize]>, SiteId>,
    /// By number, from 1.
    held: Vec<Amount>,
}

impl Sites {
    fn number(&mut self, frames: &[usize]) -> SiteId {
        if let Some(site) = self.numbers.get(frames) {
            return *site;
        }
        self.held.push(Amount::NONE);
        let site = SiteId::try_from(self.held.len()).expect("fewer than 2^32 call sites");
        self.numbers.insert(frames.into(), site);
        site
    }

    fn held(&mut self, site: SiteId) -> &mut Amount {
        &mut self.held[site as usize - 1]
    }
}

/// The sites, for the calling thread alone; `None` when it has them already.
fn enter() -> Option<Inside> {
    if IS_INSIDE.replace(true) {
        return None;
    }
    // Every change is whole before anything can panic.
    let sites = SITES.lock().unwrap_or_else(PoisonError::into_inner);
    Some(Inside { sites, _scope: scope::enter(Scope::Other) })
}

struct Inside {
    sites: MutexGuard<'static, Sites>,
    _scope: scope::Guard,
}

impl Drop for Inside {
    fn drop(&mut self) {
        IS_INSIDE.set(false);
    }
}

/// Has the call site of every block recorded that is allocated in one of `scopes` from now on, and no others. What is
/// recorded already stays so until it is freed.
pub fn record(scopes: &[Scope]) {
    let bits = scopes.iter().fold(0, |bits, scope| bits | 1 << *scope as u8);
    RECORDED.store(bits, Ordering::Relaxed);
}

/// What every recorded call site holds now.
pub fn held() -> Held {
    let inside = enter().expect("nobody asks for this while allocating");
    Held { amounts: inside.sites.held.clone() }
}

/// The call sites that hold something in one of `photographs`, each with its return addresses, the innermost first, by
/// number.
pub(crate) fn met_in(photographs: &[&Held]) -> Vec<(SiteId, Vec<usize>)> {
    let inside = enter().expect("nobody asks for this while allocating");
    let numbers = inside.sites.numbers.iter();
    let met = numbers.filter(|(_, site)| {
        photographs.iter().any(|photograph| photograph.of(**site) != Amount::NONE)
    });
    let mut met: Vec<_> = met.map(|(frames, site)| (*site, frames.to_vec())).collect();
    met.sort_unstable();
    met
}

/// A block was allocated in the scope of this number: gives its site.
pub(crate) fn allocated(scope: u8, bytes: usize) -> SiteId {
    if RECORDED.load(Ordering::Relaxed) & 1 << scope == 0 {
        return 0;
    }
    record_block(bytes)
}

#[cold]
fn record_block(bytes: usize) -> SiteId {
    let Some(mut inside) = enter() else { return 0 };
    let (mut frames, mut count) = ([0; FRAMES_MAX], 0);
    // The lock of `backtrace::trace` is that of its symbols, too: while those are read, which takes long, nobody else could
    // allocate.
    // SAFETY: nothing else in this crate unwinds with it, and `inside` is had by one thread at a time.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            frames[count] = frame.ip().addr();
            count += 1;
            count < FRAMES_MAX
        });
    }
    let site = inside.sites.number(&frames[..count]);
    *inside.sites.held(site) += Amount { blocks: 1, bytes: bytes as i64 };
    site
}

/// A block of this site was freed.
pub(crate) fn freed(site: SiteId, bytes: usize) {
    if site != 0
        && let Some(mut inside) = enter()
    {
        *inside.sites.held(site) += Amount { blocks: -1, bytes: -(bytes as i64) };
    }
}
