//! Action Message Format: the values in RTMP commands and metadata.
//!
//! [`amf0`] is what RTMP speaks; [`amf3`] values appear inside it behind a switch marker. Both
//! decode bytes to values and encode values to bytes and know nothing of messages: which command a
//! value belongs to is decided elsewhere.
//!
//! A hostile message is bounded in four ways: nesting by [`MAX_DEPTH`], values by [`MAX_NODES`],
//! text and bytes by the length of the message plus [`MAX_REPEATED_BYTES`], and a count field never
//! allocates ahead of the bytes it announces.

pub mod amf0;
pub mod amf3;
mod input;
mod properties;
mod references;
mod value;

pub use properties::Properties;
pub use value::{Object, Value};

/// Most values one inside the other; a value at the top is at depth 1. AMF0 and AMF3 count
/// together.
pub const MAX_DEPTH: usize = 64;

/// Most values decoded by one call, those repeated by references included.
pub const MAX_NODES: usize = 65_536;

/// Most bytes of text and byte arrays that references may repeat in one call.
pub const MAX_REPEATED_BYTES: usize = 1 << 20;

/// Why bytes are not AMF. After an error nothing of the message can be used: the length of a value
/// is known only from its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value, or a count announces more than there are.
    #[error("AMF value is cut short")]
    Truncated,
    /// No AMF0 value begins with this byte, or it is one of the reserved movie clip and record set.
    #[error("AMF0 marker {0:#04x} is unknown")]
    UnknownAmf0Marker(u8),
    /// No AMF3 value begins with this byte.
    #[error("AMF3 marker {0:#04x} is unknown")]
    UnknownAmf3Marker(u8),
    /// Values are nested deeper than [`MAX_DEPTH`].
    #[error("AMF values are nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// There are more values than [`MAX_NODES`].
    #[error("AMF message has more than {MAX_NODES} values")]
    TooManyNodes,
    /// References repeat more text than [`MAX_REPEATED_BYTES`].
    #[error("AMF references repeat more than {MAX_REPEATED_BYTES} bytes")]
    TooMuchRepeated,
    /// A reference to a string, an object or traits that did not occur before it.
    #[error("AMF reference {0} points to nothing")]
    UnknownReference(usize),
    /// A reference to an object from within itself; a tree of values cannot hold it.
    #[error("AMF reference {0} points to an object that contains it")]
    CircularReference(usize),
    /// An AMF3 object in a format of its class's own (AMF3 §3.12, externalizable).
    #[error("AMF3 object is externalizable")]
    Externalizable,
}
