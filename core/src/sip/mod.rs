//! SIP without I/O: bytes and time come in; messages to send, events and deadlines come out.
//!
//! From the wire inwards: [`framing`] cuts streams into messages and [`parse`] reads them, the transaction layer tells copies from
//! news and repeats what may be lost, a dialog keeps the state that two ends of a call share, and a user agent calls, answers, hangs
//! up, and says where it can be called.
//! Sources: RFC 3261 with RFC 6026, RFC 3581, RFC 4028, RFC 8760.

pub mod agent;
pub mod behind_nat;
mod challenger;
mod deadlines;
pub mod dialog;
pub mod digest;
pub mod fields;
pub mod framing;
pub mod headers;
mod lexer;
pub mod message;
pub mod method;
pub mod params;
mod parse;
pub mod registrar;
mod tokens;
pub mod transaction;
pub mod transport;
pub mod uri;

pub use parse::{ParseError, ParseLimits, parse};
