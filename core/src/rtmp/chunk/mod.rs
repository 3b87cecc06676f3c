//! Chunk streams: messages cut into chunks that interleave on one connection (RTMP 1.0, section 5.3).

mod reader;
mod writer;

pub use reader::{ChunkError, ChunkLimits, ChunkReader};
pub use writer::{ChunkWriter, MessageHead};

/// Chunk size of both directions until told otherwise.
pub const DEFAULT_CHUNK_BYTES: u32 = 128;
/// A 24-bit timestamp field of this value says that 32 bits follow the header.
const EXTENDED: u32 = 0x00ff_ffff;
