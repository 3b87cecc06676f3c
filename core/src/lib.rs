//! The gateway: live streams in over RTMP, out over RTMP and HTTP-FLV.
#![forbid(unsafe_code)]

pub mod amf;
pub mod config;
pub mod env;
pub mod gateway;
mod http;
pub mod live;
pub mod media;
pub mod rtmp;
