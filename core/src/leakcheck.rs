//! The `gateway` command with the feature `leakcheck`: an allocator that knows which blocks are the gateway's.

use std::fmt;

use rehearsal_heap::{self as heap, CountingAllocator, Scope};
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Runs `future`, a part of the gateway, so that what it allocates is recorded as the gateway's. Tasks that it spawns are so
/// by themselves.
pub(crate) async fn recorded<F: Future>(future: F) -> F::Output {
    heap::record(&[Scope::Gateway]);
    heap::charge_to(Scope::Gateway, future).await
}

/// Formats log lines on nobody's account: each thread keeps the buffer of its lines, and whichever thread logs for the first
/// time would seem to leak it.
pub(crate) struct Unaccounted<F>(pub(crate) F);

impl<S, N, F> FormatEvent<S, N> for Unaccounted<F>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let _scope = heap::enter(Scope::Other);
        self.0.format_event(context, writer, event)
    }
}
