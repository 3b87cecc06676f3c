//! Live streams: one ring of frames per stream, one writer, any number of readers.
//!
//! A [`Publisher`] turns messages into [`Frame`]s, which are encoded for the wire once, and appends them to
//! the ring of its stream. A [`Subscriber`] is a cursor into that ring. The GOP cache is the ring's tail since
//! the last keyframe, a slow subscriber is a cursor that fell too far behind, and fan-out is reading. Memory
//! is bounded per stream.
//!
//! Each publish is an epoch of its own; a subscriber leaves one before it enters the next.

#[cfg(any(feature = "canary", feature = "canary-race"))]
mod canary;
mod epoch_clock;
mod frame;
mod headers;
mod outbox;
mod publisher;
mod registry;
mod ring;
mod subscriber;

pub use frame::{Frame, FrameKind};
pub use headers::{HeaderSlot, Headers};
pub use outbox::{Outbox, Wire};
pub use publisher::{Publisher, PushError};
pub use registry::{LiveLimits, PublishError, Registry, TooManyStreams};
pub use ring::Tracks;
pub use subscriber::{Subscriber, Taken};
