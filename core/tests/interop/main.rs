//! The gateway as it is used: the real binary, real sockets, ffmpeg on both sides of it.
//!
//! Nothing here uses the gateway's code but its FLV demuxer, which has tests of its own. A test starts a `gateway`
//! on free ports, reads its JSON log to learn where it listens and what it has noticed, and compares what players
//! get with what the source holds, packet by packet. Waiting is always for a condition (a log line, a line of
//! ffmpeg, the end of a process) with a deadline.

mod command_line;
mod ffmpeg;
mod gateway;
mod http_answers;
mod http_live;
mod late_joiners;
#[cfg(feature = "leakcheck")]
mod leakcheck;
mod phones;
mod process;
mod publishers;
mod raw_http;
mod shutdown;
mod single_tracks;
mod whole_streams;
