//! The simulated world the gateway runs in.
//!
//! A [`World`] holds hosts that are joined by a packet fabric, one virtual clock, and every task of
//! every host. [`SimEnv`] is a host's handle: the gateway's one seam to the outside
//! ([`rehearsal_core::env::Env`]) answered by the fabric instead of a kernel. One 64-bit seed fixes
//! a run to the last event; [`trace::Trace::hash`] is the proof.
//!
//! The way of a byte: a task writes to a [`SimTcpStream`], the socket cuts segments, the sender's
//! link and the receiver's link give each packet its time, the event queue brings it to the other
//! socket, whose reader is woken, and the executor picks among the woken tasks by the seed.
//!
//! What can go wrong is in three places: a link's chances ([`LinkConfig`]), a host's levers (methods of
//! [`SimEnv`] such as [`SimEnv::crash`]), and its disk.

mod capture;
pub mod clients;
mod confined;
mod disk;
mod drive;
mod env;
mod executor;
mod fabric;
mod guard;
mod levers;
mod points;
mod prefetch;
mod rng;
mod slab;
pub mod trace;
pub mod turmoil_env;
mod world;

pub use capture::{CAPTURE_BYTES_MAX, CaptureFile};
pub use disk::{DiskConfig, DiskCounters, DiskFault, DiskFaults, FILE_BYTES_MAX, SimFile};
pub use env::SimEnv;
pub use executor::SimTask;
pub use fabric::{
    arrivals::ArrivedDatagram,
    link::{Direction, GilbertElliott, LinkConfig, MTU_BYTES, MTU_BYTES_MIN},
    losses::LostDatagram,
    netstat::{Netstat, Protocol, SocketRow, SocketState},
    network::second_ip,
    ports::EPHEMERAL_PORTS,
    tcp::{
        LISTEN_BACKLOG, MSS_BYTES, ORPHAN_RETRIES, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES,
        TIME_WAIT, listener::SimTcpListener, stream::SimTcpStream, waits::Wait,
    },
    udp::{
        MAX_DATAGRAM_BYTES, SimUdpSocket, UDP_DATAGRAM_OVERHEAD_BYTES, UDP_RECEIVE_BUFFER_BYTES,
        UdpCounters,
    },
};
pub use rehearsal_heap as heap;

pub use guard::{Breach, STANDS as GUARD_STANDS};
pub use rng::Rng;
pub use world::{POLLS_PER_INSTANT_MAX, RunError, World, virtual_time};
