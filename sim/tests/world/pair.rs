//! Two hosts with a path of known delay between them, and connected streams.

use std::{net::SocketAddr, time::Duration};

use rehearsal_core::env::{Env, TcpListener};
use rehearsal_sim::{LinkConfig, SimEnv, SimTcpStream, World};

pub const LIMIT: Duration = Duration::from_secs(600);
pub const PORT: u16 = 1935;

/// A world with two hosts, 20 ms of one-way delay between them.
pub fn pair(seed: u64) -> (World, SimEnv, SimEnv) {
    let mut world = World::new(seed);
    let client = world.add_host("client", LinkConfig::ideal().with_delay_ms(20));
    let server = world.add_host("server", LinkConfig::ideal());
    (world, client, server)
}

pub fn address(host: &SimEnv) -> SocketAddr {
    (host.ip(), PORT).into()
}

/// A connection from `client` to `server`: first the client's end.
pub async fn connected(client: &SimEnv, server: &SimEnv) -> (SimTcpStream, SimTcpStream) {
    let mut listener = server.bind_tcp(address(server)).await.expect("the port is free");
    let near = client.connect_tcp(address(server)).await.expect("the server listens");
    let (far, peer) = listener.accept().await.expect("the handshake is done");
    assert_eq!(peer, near.local_addr());
    (near, far)
}

/// Lets everything happen that takes less than `ms`.
pub async fn wait_ms(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
