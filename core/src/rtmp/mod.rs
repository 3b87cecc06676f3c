//! RTMP, both sides, without I/O: bytes and time come in, events, bytes and deadlines come out.
//!
//! A connection is, from the socket inwards: [`handshake`], [`chunk`] streams, [`message`]s and
//! their control semantics in [`link`], and the commands of a [`server`] or a [`client`].
//! Sources: Adobe's RTMP specification 1.0, Enhanced RTMP v2.

pub mod aggregate;
pub mod chunk;
pub mod client;
pub mod command;
pub mod data;
mod digest;
pub mod handshake;
pub mod link;
pub mod message;
pub mod server;
