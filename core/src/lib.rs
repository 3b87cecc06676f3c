//! The gateway: live streams in over RTMP, out over RTMP and HTTP-FLV.
#![forbid(unsafe_code)]

#[macro_use]
pub mod points;

pub mod amf;
pub mod config;
pub mod env;
pub mod gateway;
mod http;
pub mod live;
pub mod media;
pub mod rtmp;
