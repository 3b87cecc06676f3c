//! The gateway: live streams in over RTMP and by phone, out over RTMP, HTTP-FLV and by phone.
#![forbid(unsafe_code)]

#[macro_use]
pub mod points;

pub mod amf;
pub mod bridge;
pub mod config;
pub mod env;
pub mod gateway;
mod http;
pub mod live;
pub mod media;
pub mod rtmp;
pub mod rtp;
pub mod sdp;
pub mod sip;
