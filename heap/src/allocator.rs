//! The allocator: the system's, with a header before each block that says whose it is.

use std::alloc::{GlobalAlloc, Layout, System};

use crate::{
    scope::{charge, current_number, is_installed},
    sites::{self, SiteId},
};

/// The system's allocator, counting for each [`Scope`](crate::Scope), and for each call site after
/// [`record`](crate::record).
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: rehearsal_heap::CountingAllocator = rehearsal_heap::CountingAllocator;
///
/// use rehearsal_heap::{Scope, enter, usage};
/// let guard = enter(Scope::Gateway);
/// let block = vec![0_u8; 1000];
/// drop(guard);
/// assert_eq!(usage(Scope::Gateway).live_bytes, 1000);
/// drop(block);
/// assert_eq!(usage(Scope::Gateway).live_bytes, 0);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// What stands before each block.
#[derive(Clone, Copy)]
#[repr(C)]
struct Header {
    scope: u8,
    site: SiteId,
}

/// Smallest header: keeps the alignment that most types need.
const HEADER_BYTES: usize = 16;

const _: () = assert!(size_of::<Header>() <= HEADER_BYTES && align_of::<Header>() <= HEADER_BYTES);

/// The block as asked of the system, and where in it the caller's part starts. What stands before that is as
/// long as the alignment demands, and begins with the [`Header`].
fn with_header(layout: Layout) -> Option<(Layout, usize)> {
    let offset = layout.align().max(HEADER_BYTES);
    let size = layout.size().checked_add(offset)?;
    Layout::from_size_align(size, offset).ok().map(|whole| (whole, offset))
}

/// Writes the header of a new block and gives the caller's part of it.
///
/// # Safety
/// `base` is null or starts a block of [`with_header`]'s layout, whose offset is `offset`.
unsafe fn admit(base: *mut u8, offset: usize, bytes: usize) -> *mut u8 {
    if base.is_null() {
        return base;
    }
    is_installed();
    let scope = current_number();
    charge(scope, 1, bytes as i64, 1);
    let site = sites::allocated(scope, bytes);
    // SAFETY: the block starts at `base`, is aligned for a header and longer than it (caller's promise).
    unsafe {
        base.cast::<Header>().write(Header { scope, site });
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
            let Header { scope, site } = base.cast::<Header>().read();
            charge(scope, -1, -(layout.size() as i64), 0);
            sites::freed(site, layout.size());
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
            let header = base.cast::<Header>();
            let Header { scope, site } = header.read();
            // Growing a block does not change whose it is, but where it was asked for.
            charge(scope, 0, new_size as i64 - layout.size() as i64, 1);
            sites::freed(site, layout.size());
            header.write(Header { scope, site: sites::allocated(scope, new_size) });
            base.add(offset)
        }
    }
}
