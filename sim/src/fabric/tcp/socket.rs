//! One TCP connection's end: its state, and what segments and calls do to it (RFC 9293, 3.10).
//!
//! A socket sends into the network but knows no other socket; what follows from a change of state
//! for the host's tables is done by [`super::Tcp`].

use std::{io, net::SocketAddrV4, task::Waker};

use bytes::Bytes;

use super::{
    super::{
        network::Network,
        packet::{Body, Flags, Packet, Segment},
    },
    RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES,
    receive::ReceiveQueue,
    send::SendQueue,
};
use crate::{
    executor::HostId, fabric::netstat::SocketState as State, slab::Key, trace::TraceEvent,
};

#[derive(Debug)]
pub(crate) struct Socket {
    pub(crate) host: HostId,
    pub(crate) local: SocketAddrV4,
    pub(crate) remote: SocketAddrV4,
    pub(crate) state: State,
    /// The listener whose connection this is, until it is accepted.
    pub(crate) listener: Option<Key>,
    /// No handle is left: the socket goes away when the protocol is through with it.
    pub(crate) is_orphan: bool,
    pub(crate) send: SendQueue,
    pub(crate) receive: ReceiveQueue,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// What the next read or write reports, once.
    pub(crate) error: Option<io::ErrorKind>,
    /// Set right after the socket got its place.
    pub(crate) key: Option<Key>,
    peer: Option<Key>,
}

impl Socket {
    /// The end that connects: its SYN is to be sent.
    pub(crate) fn connecting(
        host: HostId,
        (local, remote): (SocketAddrV4, SocketAddrV4),
        initial_seq: u64,
    ) -> Self {
        Self {
            host,
            local,
            remote,
            state: State::SynSent,
            listener: None,
            is_orphan: false,
            send: SendQueue::new(initial_seq),
            receive: ReceiveQueue::new(0),
            reader: None,
            writer: None,
            error: None,
            key: None,
            peer: None,
        }
    }

    /// The end that answers `syn` for `listener`.
    pub(crate) fn answering(
        host: HostId,
        addresses: (SocketAddrV4, SocketAddrV4),
        initial_seq: u64,
        listener: Key,
        syn: &Segment,
    ) -> Self {
        let mut socket = Self::connecting(host, addresses, initial_seq);
        socket.state = State::SynReceived;
        socket.listener = Some(listener);
        socket.peer = syn.sender;
        socket.receive = ReceiveQueue::new(syn.seq + 1);
        socket
    }

    /// Sends the SYN, or the SYN that answers one.
    pub(crate) fn send_syn(&mut self, net: &mut Network) {
        let flags = match self.state {
            State::SynSent => Flags::SYN,
            _ => Flags::SYN | Flags::ACK,
        };
        self.emit(net, flags, self.send.una(), Bytes::new());
    }

    pub(crate) fn send_reset(&mut self, net: &mut Network) {
        self.emit(net, Flags::RST | Flags::ACK, self.send.nxt(), Bytes::new());
        self.state = State::Closed;
    }

    pub(crate) fn send_ack(&mut self, net: &mut Network) {
        self.emit(net, Flags::ACK, self.send.nxt(), Bytes::new());
    }

    /// Sends what the window allows; true if anything went out.
    pub(crate) fn transmit(&mut self, net: &mut Network) -> bool {
        let mut has_sent = false;
        while let Some(outgoing) = self.send.next_segment() {
            let flags = if outgoing.is_fin { Flags::ACK | Flags::FIN } else { Flags::ACK };
            self.emit(net, flags, outgoing.seq, outgoing.payload);
            has_sent = true;
        }
        has_sent
    }

    /// Ends the sending direction: the FIN goes out after what is queued.
    pub(crate) fn close_sending(&mut self, net: &mut Network) {
        self.state = match self.state {
            State::Established | State::SynReceived => State::FinWait1,
            State::CloseWait => State::LastAck,
            _ => return,
        };
        self.send.close();
        self.transmit(net);
    }

    /// Takes in a segment of this connection.
    pub(crate) fn on_segment(&mut self, net: &mut Network, segment: Segment) {
        if segment.flags.has(Flags::RST) {
            self.on_reset(net);
            return;
        }
        match self.state {
            State::SynSent => return self.on_syn_answer(net, &segment),
            State::SynReceived if segment.ack == self.send.nxt() => self.open(net),
            _ => {}
        }
        self.on_ack(&segment);
        let has_to_ack = segment.sequence_len() > 0;
        self.on_payload(net, segment);
        if self.state != State::Closed && !self.transmit(net) && has_to_ack {
            self.send_ack(net);
        }
    }

    fn on_syn_answer(&mut self, net: &mut Network, segment: &Segment) {
        if !segment.flags.has(Flags::SYN | Flags::ACK) || segment.ack != self.send.nxt() {
            self.send_reset(net);
            self.fail(io::ErrorKind::ConnectionRefused);
            return;
        }
        self.peer = segment.sender;
        self.receive = ReceiveQueue::new(segment.seq + 1);
        self.send.on_ack(segment.ack, segment.window_bytes);
        self.open(net);
        self.send_ack(net);
    }

    fn open(&mut self, net: &mut Network) {
        self.state = State::Established;
        wake(&mut self.writer);
        let event = TraceEvent::Opened { local: self.local, remote: self.remote };
        net.trace.record(net.now_ns, &event);
    }

    fn on_ack(&mut self, segment: &Segment) {
        self.send.on_ack(segment.ack, segment.window_bytes);
        // As Linux: a writer that waits is woken when a third of the buffer is free.
        if self.send.free_bytes() >= SEND_BUFFER_BYTES / 3 {
            wake(&mut self.writer);
        }
        if self.send.is_fin_acknowledged() {
            self.state = match self.state {
                State::FinWait1 => State::FinWait2,
                State::Closing => State::TimeWait,
                State::LastAck => State::Closed,
                other => other,
            };
        }
    }

    fn on_payload(&mut self, net: &mut Network, segment: Segment) {
        let fin_seq =
            segment.flags.has(Flags::FIN).then_some(segment.seq + segment.payload.len() as u64);
        if !segment.payload.is_empty() {
            if self.is_orphan {
                // Nobody is left to read it: the peer must know that it is lost.
                self.send_reset(net);
                return;
            }
            if self.receive.accept(segment.seq, segment.payload) {
                wake(&mut self.reader);
            }
        }
        if fin_seq.is_some_and(|seq| self.receive.accept_fin(seq)) {
            wake(&mut self.reader);
            self.state = match self.state {
                State::Established => State::CloseWait,
                State::FinWait1 => State::Closing,
                State::FinWait2 => State::TimeWait,
                other => other,
            };
        }
    }

    fn on_reset(&mut self, net: &mut Network) {
        let (local, remote) = (self.local, self.remote);
        let (error, event) = match self.state {
            State::SynSent => {
                (io::ErrorKind::ConnectionRefused, TraceEvent::Refused { local, remote })
            }
            // The peer has sent all it had and been told so much: Linux reports EPIPE here.
            State::CloseWait => (io::ErrorKind::BrokenPipe, TraceEvent::Reset { local, remote }),
            _ => (io::ErrorKind::ConnectionReset, TraceEvent::Reset { local, remote }),
        };
        net.trace.record(net.now_ns, &event);
        self.state = State::Closed;
        self.fail(error);
    }

    fn fail(&mut self, error: io::ErrorKind) {
        self.error = Some(error);
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    fn emit(&mut self, net: &mut Network, flags: Flags, seq: u64, payload: Bytes) {
        let window_bytes = match self.state {
            State::SynSent => RECEIVE_BUFFER_BYTES as u32,
            _ => self.receive.advertise(),
        };
        let segment = Segment {
            seq,
            ack: self.receive.nxt(),
            window_bytes,
            flags,
            payload,
            sender: self.key,
            receiver: self.peer,
        };
        let packet = Packet { from: self.local, to: self.remote, body: Body::Tcp(segment) };
        net.send(self.host, packet);
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
