//! RTP, both directions of one media line, without I/O: bytes and time come in, packets in order, digits,
//! bytes to send and deadlines come out.
//!
//! What arrives passes, in this order: [`packet`] (is it RTP of an agreed payload type), [`source`] (may
//! this address be listened to), [`receiver`] (which SSRC is the stream, and where in it does the packet
//! belong; counted by [`reception`]), then [`dtmf`] or the [`jitter_buffer`], which lets media out in order when it
//! is time by its [`playout_delay`]. What is sent gets its header in [`sender`]. [`rtcp`] tells either side how the other one
//! hears it. A [`session`] ties them together; [`ports`] hands out the UDP ports.
//!
//! Sources: RFC 3550 (RTP, RTCP), RFC 3551 (profile), RFC 4733 (telephone events), RFC 4961 (symmetric RTP).

pub mod dtmf;
pub mod jitter_buffer;
pub mod packet;
pub mod playout_delay;
pub mod ports;
pub mod receiver;
pub mod reception;
pub mod rtcp;
pub mod sender;
pub mod session;
pub mod source;
pub mod statistics;
