//! Clients of the gateway, generic over [`Env`](rehearsal_core::env::Env): they run in the simulation and on
//! real sockets alike.
//!
//! A [`publisher`] sends media whose every frame says what it is ([`media`]) or a real FLV file, and logs it. An
//! [`rtmp_player`] and an [`flv_viewer`] check by themselves what they receive ([`verify`]) and log it too, so that
//! oracles can compare both ends without asking the gateway. A [`phone`] calls, and both says and hears such audio; so does a
//! [`sip_client`], by commands over RTMP. A [`raw`] client and a [`stranger`] send what they are told, over TCP and by datagrams.

mod access_unit;
pub mod crowd;
pub mod flv_viewer;
pub mod media;
pub mod phone;
pub mod publisher;
pub mod raw;
pub mod rtmp_player;
mod rtmp_socket;
pub mod sip_client;
pub mod speex;
pub mod stamp;
pub mod stranger;
pub mod verify;
