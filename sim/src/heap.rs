//! Counts what is on the heap, and whose it is.
//!
//! A test binary that installs [`CountingAllocator`] as its global allocator can ask how many
//! blocks and bytes the gateway holds, apart from the simulation around it and from its clients. Each
//! block remembers the scope it was allocated in, so a free is credited to the scope that paid,
//! wherever it happens.
//!
//! Counters belong to a thread: tests that run side by side do not see each other. A block freed
//! on another thread than it was allocated on is credited to the freeing thread; a simulation
//! has one thread, so that this does not happen in a run. Call sites are not kept: that is
//! dhat's work.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    marker::PhantomData,
    sync::atomic::{AtomicBool, Ordering},
};

/// On whose account an allocation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Scope {
    /// Everything outside a simulation: the test itself.
    Other = 0,
    /// The simulation: sockets, links, events, the task table.
    Sim = 1,
    /// The gateway under test.
    Gateway = 2,
    /// The clients that use the gateway.
    Client = 3,
}

const SCOPES: usize = 4;

/// What a scope holds and has asked for, on the calling thread, since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Blocks allocated and not freed.
    pub live_blocks: i64,
    /// Bytes allocated and not freed, as asked for: without the header this allocator adds.
    pub live_bytes: i64,
    /// Most that `live_bytes` ever was, or has been since [`reset_peak`].
    pub peak_bytes: i64,
    /// Allocations ever made; a reallocation is one.
    pub allocations: u64,
}

impl Usage {
    const NOTHING: Self = Self { live_blocks: 0, live_bytes: 0, peak_bytes: 0, allocations: 0 };
}

thread_local! {
    static CURRENT: Cell<u8> = const { Cell::new(Scope::Other as u8) };
    static USAGE: [Cell<Usage>; SCOPES] = const {
        [const { Cell::new(Usage::NOTHING) }; SCOPES]
    };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// Restores the scope that was current before [`enter`] when dropped.
#[derive(Debug)]
#[must_use = "the scope ends when the guard is dropped"]
pub struct Guard {
    before: u8,
    // The scope belongs to the thread that entered it.
    _not_send: PhantomData<*const ()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        CURRENT.set(self.before);
    }
}

/// Makes `scope` the one that the calling thread allocates in, until the guard is dropped.
pub fn enter(scope: Scope) -> Guard {
    Guard { before: CURRENT.replace(scope as u8), _not_send: PhantomData }
}

/// The scope that the calling thread allocates in.
pub fn current() -> Scope {
    match CURRENT.get() {
        1 => Scope::Sim,
        2 => Scope::Gateway,
        3 => Scope::Client,
        _ => Scope::Other,
    }
}

/// What `scope` holds, on the calling thread. All zero unless [`is_counting`].
pub fn usage(scope: Scope) -> Usage {
    USAGE.with(|usage| usage[scope as usize].get())
}

/// Has the peak of `scope` start anew from what it holds, on the calling thread.
pub fn reset_peak(scope: Scope) {
    USAGE.with(|usage| {
        let cell = &usage[scope as usize];
        let now = cell.get();
        cell.set(Usage { peak_bytes: now.live_bytes, ..now });
    });
}

/// Whether [`CountingAllocator`] is this process's global allocator.
pub fn is_counting() -> bool {
    INSTALLED.load(Ordering::Relaxed)
}

/// The system's allocator, counting per [`Scope`].
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: rehearsal_sim::heap::CountingAllocator =
///     rehearsal_sim::heap::CountingAllocator;
/// # use rehearsal_sim::heap::{Scope, enter, usage};
/// let guard = enter(Scope::Gateway);
/// let block = vec![0_u8; 1000];
/// drop(guard);
/// assert_eq!(usage(Scope::Gateway).live_bytes, 1000);
/// drop(block);
/// assert_eq!(usage(Scope::Gateway).live_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// Smallest header: keeps the alignment that most types need.
const HEADER_BYTES: usize = 16;

/// The block as asked of the system, and where in it the caller's part starts. The header is as
/// long as the alignment demands, and its first byte is the scope.
fn with_header(layout: Layout) -> Option<(Layout, usize)> {
    let offset = layout.align().max(HEADER_BYTES);
    let size = layout.size().checked_add(offset)?;
    Layout::from_size_align(size, offset).ok().map(|whole| (whole, offset))
}

fn charge(scope: u8, blocks: i64, bytes: i64, allocations: u64) {
    USAGE.with(|usage| {
        let cell = &usage[usize::from(scope)];
        let mut now = cell.get();
        now.live_blocks += blocks;
        now.live_bytes += bytes;
        now.peak_bytes = now.peak_bytes.max(now.live_bytes);
        now.allocations += allocations;
        cell.set(now);
    });
}

/// Writes the header of a new block and gives the caller's part of it.
///
/// # Safety
/// `base` is null or starts a block whose header is `offset` bytes long.
unsafe fn admit(base: *mut u8, offset: usize, bytes: usize) -> *mut u8 {
    if base.is_null() {
        return base;
    }
    if !INSTALLED.load(Ordering::Relaxed) {
        INSTALLED.store(true, Ordering::Relaxed);
    }
    let scope = CURRENT.get();
    charge(scope, 1, bytes as i64, 1);
    // SAFETY: the block starts at `base` and is longer than its header (caller's promise).
    unsafe {
        base.write(scope);
        base.add(offset)
    }
}

// SAFETY: every block comes from `System`, for a layout that holds the asked one behind a header
// whose length is a multiple of the asked alignment; frees and reallocations undo the same
// computation from the same layout.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some((whole, offset)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: `whole` is not empty: it holds a header. `admit` gets the block made for it.
        unsafe { admit(System.alloc(whole), offset, layout.size()) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let Some((whole, offset)) = with_header(layout) else { return std::ptr::null_mut() };
        // SAFETY: as in `alloc`.
        unsafe { admit(System.alloc_zeroed(whole), offset, layout.size()) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let (whole, offset) = with_header(layout).expect("this layout was allocated before");
        // SAFETY: `block` came from `alloc` with this layout, so its header lies `offset` before.
        unsafe {
            let base = block.sub(offset);
            charge(base.read(), -1, -(layout.size() as i64), 0);
            System.dealloc(base, whole);
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        let (whole, offset) = with_header(layout).expect("this layout was allocated before");
        let Some(new_whole_size) = new_size.checked_add(offset) else {
            return std::ptr::null_mut();
        };
        // SAFETY: `block` came from `alloc` with this layout. The header is as long before as after,
        // because it depends on the alignment only, and `realloc` carries it over.
        unsafe {
            let base = System.realloc(block.sub(offset), whole, new_whole_size);
            if base.is_null() {
                return base;
            }
            // Growing a block does not change whose it is.
            charge(base.read(), 0, new_size as i64 - layout.size() as i64, 1);
            base.add(offset)
        }
    }
}
