//! Listening sockets: the backlog between the handshake and `accept`.

use std::{
    collections::VecDeque,
    future::poll_fn,
    io,
    net::{SocketAddr, SocketAddrV4},
    sync::Arc,
    task::{Poll, Waker},
};

use rehearsal_core::env::TcpListener;

use super::{LISTEN_BACKLOG, State, Tcp, stream::SimTcpStream};
use crate::{
    executor::HostId,
    fabric::{Fabric, network::Network},
    slab::Key,
    world::Shared,
};

#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) host: HostId,
    pub(crate) local: SocketAddrV4,
    /// Connections in handshake.
    pub(crate) handshakes: usize,
    /// Connections that wait to be accepted.
    pub(crate) queue: VecDeque<Key>,
    acceptor: Option<Waker>,
}

impl Listener {
    pub(super) fn has_room(&self) -> bool {
        self.handshakes + self.queue.len() < LISTEN_BACKLOG
    }

    /// Notes that the handshake of `socket` is over, well or not.
    pub(super) fn on_handshake(&mut self, socket: Key, outcome: State) {
        self.handshakes -= 1;
        if outcome == State::Closed {
            return;
        }
        self.queue.push_back(socket);
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.wake();
        }
    }
}

impl Tcp {
    pub(crate) fn listen(
        &mut self,
        host: HostId,
        wanted: SocketAddrV4,
    ) -> io::Result<(Key, SocketAddrV4)> {
        let ports = &mut self.hosts[host.0 as usize].ports;
        let local = ports.choose(wanted)?;
        let key = self.listeners.insert(Listener {
            host,
            local,
            handshakes: 0,
            queue: VecDeque::new(),
            acceptor: None,
        });
        ports.bind(local, key);
        Ok((key, local))
    }

    fn poll_accept(
        &mut self,
        net: &mut Network,
        key: Key,
        waker: &Waker,
        has_descriptor: io::Result<()>,
    ) -> Poll<io::Result<(Key, SocketAddrV4)>> {
        let Some(listener) = self.listeners.get_mut(key) else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        let Some(&next) = listener.queue.front() else {
            listener.acceptor = Some(waker.clone());
            return Poll::Pending;
        };
        // As on Linux the connection stays in the queue.
        has_descriptor?;
        listener.queue.pop_front();
        let to_fail = &mut self.hosts[listener.host.0 as usize].accepts_to_fail;
        if *to_fail > 0 {
            *to_fail -= 1;
            self.abort(net, next);
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let socket = self.socket(next);
        socket.listener = None;
        Poll::Ready(Ok((next, socket.remote)))
    }

    /// Closes a listener and resets every connection that was not accepted.
    fn close_listener(&mut self, net: &mut Network, key: Key) {
        let unaccepted: Vec<Key> = self
            .sockets
            .iter()
            .filter(|(_, socket)| socket.listener == Some(key))
            .map(|(socket, _)| socket)
            .collect();
        for socket in unaccepted {
            self.abort(net, socket);
        }
        if let Some(listener) = self.listeners.remove(key) {
            self.hosts[listener.host.0 as usize].ports.unbind(listener.local);
        }
    }
}

/// A listening TCP socket of a simulated host.
#[derive(Debug)]
pub struct SimTcpListener {
    shared: Arc<Shared>,
    key: Key,
    local: SocketAddrV4,
}

impl SimTcpListener {
    pub(crate) fn bind(
        shared: &Arc<Shared>,
        host: HostId,
        wanted: SocketAddrV4,
    ) -> io::Result<Self> {
        let mut fabric = shared.fabric();
        fabric.check_descriptors(host)?;
        let (key, local) = fabric.tcp.listen(host, wanted)?;
        Ok(Self { shared: Arc::clone(shared), key, local })
    }
}

impl Drop for SimTcpListener {
    fn drop(&mut self) {
        let Some(mut fabric) = self.shared.fabric_unless_broken() else { return };
        let Fabric { tcp, net, .. } = &mut *fabric;
        tcp.close_listener(net, self.key);
    }
}

impl TcpListener for SimTcpListener {
    type Stream = SimTcpStream;

    async fn accept(&mut self) -> io::Result<(SimTcpStream, SocketAddr)> {
        let (accepted, peer) = poll_fn(|cx| {
            let mut fabric = self.shared.fabric();
            let host = fabric.tcp.listeners.get(self.key).map(|listener| listener.host);
            let has_descriptor = host.map_or(Ok(()), |host| fabric.check_descriptors(host));
            let Fabric { tcp, net, .. } = &mut *fabric;
            tcp.poll_accept(net, self.key, cx.waker(), has_descriptor)
        })
        .await?;
        Ok((SimTcpStream::new(Arc::clone(&self.shared), accepted), peer.into()))
    }

    fn local_addr(&self) -> SocketAddr {
        self.local.into()
    }
}
