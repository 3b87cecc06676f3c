//! One TCP connection's end: its state, and what segments and calls do to it (RFC 9293, 3.10).
//!
//! A socket sends into the network but knows no other socket; what follows from a change of state
//! for the host's tables is done by [`super::Tcp`].

use std::{io, mem, net::SocketAddrV4, task::Waker};

use bytes::Bytes;

use super::{
    super::{
        network::Network,
        packet::{Body, Flags, Packet, Segment},
    },
    ORPHAN_RETRIES, RECEIVE_BUFFER_BYTES, SEND_BUFFER_BYTES, Timer,
    acks::{Ack, Acks},
    congestion::{Advice, Congestion},
    receive::ReceiveQueue,
    rtt::RoundTrip,
    send::{Outgoing, SendQueue},
};
use crate::{
    executor::HostId, fabric::netstat::SocketState as State, slab::Key, trace::TraceEvent,
};

/// How often a SYN is sent again (Linux's `tcp_syn_retries`).
const SYN_RETRIES: u8 = 6;
/// How often the answer to a SYN is sent again (Linux's `tcp_synack_retries`).
const SYN_ANSWER_RETRIES: u8 = 5;
/// How often a segment is sent again, or the peer's window probed, without an answer (Linux's
/// `tcp_retries2`), while a program holds the connection: a quarter of an hour.
const RETRIES: u8 = 15;

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
    pub(crate) peer: Option<Key>,
    pub(crate) timer: Timer,
    /// Acknowledgments for this socket that no event brings.
    pub(crate) acks: Acks,
    /// A segment has come that only has to be acknowledged.
    pub(crate) owes_ack: bool,
    congestion: Congestion,
    rtt: RoundTrip,
    /// The `sent_ns` that the next segment echoes (TS.Recent).
    echo_ns: u64,
    last_sent_ns: u64,
    /// How often the timer ran out since the peer acknowledged anything new, or answered a probe.
    unanswered: u8,
}

impl Socket {
    /// The end that connects: its SYN is to be sent.
    pub(crate) fn connecting(
        host: HostId,
        (local, remote): (SocketAddrV4, SocketAddrV4),
        initial_seq: u64,
        mss_bytes: u32,
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
            timer: Timer::default(),
            acks: Acks::default(),
            owes_ack: false,
            congestion: Congestion::new(initial_seq, mss_bytes),
            rtt: RoundTrip::new(),
            echo_ns: 0,
            last_sent_ns: 0,
            unanswered: 0,
        }
    }

    /// The end that answers `syn` for `listener`.
    pub(crate) fn answering(
        host: HostId,
        addresses: (SocketAddrV4, SocketAddrV4),
        initial_seq: u64,
        mss_bytes: u32,
        (listener, syn): (Key, &Segment),
    ) -> Self {
        let mss_bytes = mss_bytes.min(syn.mss_bytes.into());
        let mut socket = Self::connecting(host, addresses, initial_seq, mss_bytes);
        socket.state = State::SynReceived;
        socket.listener = Some(listener);
        socket.peer = syn.sender;
        socket.echo_ns = syn.sent_ns;
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
        self.wait_for_ack(net);
    }

    pub(crate) fn send_reset(&mut self, net: &mut Network) {
        self.emit(net, Flags::RST | Flags::ACK, self.send.sent(), Bytes::new());
        self.state = State::Closed;
    }

    pub(crate) fn send_ack(&mut self, net: &mut Network) {
        self.emit(net, Flags::ACK, self.send.sent(), Bytes::new());
    }

    /// Sends what the windows allow; true if anything went out.
    pub(crate) fn transmit(&mut self, net: &mut Network) -> bool {
        let is_unfit = matches!(self.state, State::SynSent | State::SynReceived | State::Closed);
        if !self.send.has_unsent() || is_unfit {
            return false;
        }
        if self.send.flight_bytes() == 0 && net.now_ns > self.last_sent_ns + self.rtt.timeout_ns() {
            self.congestion.on_idle();
        }
        let bytes_max = self.segment_bytes_max(net);
        let mut has_sent = false;
        while let Some(outgoing) = {
            let known = self.send.sent();
            let mss_bytes = self.congestion.mss_bytes() as usize;
            let window_bytes = self.congestion.window_bytes();
            let next = self.send.next_segment(bytes_max, mss_bytes, window_bytes);
            next.map(|outgoing| (outgoing.seq < known, outgoing))
        } {
            let (is_again, outgoing) = outgoing;
            if is_again {
                self.note_again(net, outgoing.seq, true);
            }
            self.emit_outgoing(net, outgoing);
            has_sent = true;
        }
        if !self.timer.is_set() {
            self.wait_for_ack(net);
        }
        has_sent
    }

    /// Longest payload that goes out as one packet now.
    fn segment_bytes_max(&self, net: &Network) -> usize {
        let mss_bytes = self.congestion.mss_bytes() as usize;
        let is_again = self.send.nxt() < self.send.sent();
        if self.send.unsent_bytes() <= mss_bytes || is_again || self.congestion.is_recovering() {
            return mss_bytes;
        }
        let offload_bytes = net.offload_bytes(self.host, *self.remote.ip()) as usize;
        (offload_bytes / mss_bytes).max(1) * mss_bytes
    }

    fn emit_outgoing(&mut self, net: &mut Network, outgoing: Outgoing) {
        let flags = if outgoing.is_fin { Flags::ACK | Flags::FIN } else { Flags::ACK };
        self.last_sent_ns = net.now_ns;
        self.emit(net, flags, outgoing.seq, outgoing.payload);
    }

    /// Sends the first unacknowledged segment again, because acknowledgments tell of its loss.
    fn retransmit(&mut self, net: &mut Network) {
        let again = self.send.first_segment(self.congestion.mss_bytes() as usize);
        if let Some(outgoing) = again {
            self.note_again(net, outgoing.seq, false);
            self.emit_outgoing(net, outgoing);
        }
    }

    fn note_again(&self, net: &mut Network, seq: u64, timer: bool) {
        let (local, remote) = (self.local, self.remote);
        let event = TraceEvent::Retransmitted { local, remote, seq, timer };
        net.trace.record(net.now_ns, &event);
    }

    /// Sets the timer anew for what is unacknowledged, or for a window that has to be probed.
    fn wait_for_ack(&mut self, net: &mut Network) {
        self.wait_for_ack_since(net, net.now_ns);
    }

    fn wait_for_ack_since(&mut self, net: &mut Network, since_ns: u64) {
        let has_to_wait = self.send.flight_bytes() > 0
            || self.send.is_window_closed()
            || matches!(self.state, State::SynSent | State::SynReceived);
        match has_to_wait {
            true => {
                let key = self.key.expect("a socket has its place before it waits");
                // An acknowledgment that lay unread may have come longer ago than the timer runs.
                let deadline_ns = (since_ns + self.rtt.timeout_ns()).max(net.now_ns);
                self.timer.set(net, key, deadline_ns);
            }
            false => self.timer.stop(),
        }
    }

    /// Has the socket's timer run out after `after_ns`.
    pub(crate) fn set_timer(&mut self, net: &mut Network, after_ns: u64) {
        let key = self.key.expect("a socket has its place before it waits");
        self.timer.set(net, key, net.now_ns + after_ns);
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

    /// Whether `segment` was sent after everything that has been heard of the peer.
    pub(crate) fn is_news(&self, segment: &Segment) -> bool {
        segment.sent_ns > self.echo_ns
    }

    /// Takes in a segment of this connection, and its payload out of it.
    pub(crate) fn on_segment(&mut self, net: &mut Network, segment: &mut Segment) {
        if self.state == State::SynSent {
            return self.on_syn_answer(net, segment);
        }
        let (nxt, edge) = (self.receive.nxt(), self.receive.edge());
        if segment.flags.has(Flags::RST) {
            if self.state == State::TimeWait {
                // The wait is for what comes late, an answer to which this may be (RFC 1337, 3).
                return;
            }
            // One that does not stand at the expected place may be an old one: the peer is asked, and
            // says it again if it means it (RFC 5961, 3.2).
            if segment.seq == nxt {
                self.on_reset(net);
            } else if (nxt..=edge).contains(&segment.seq) {
                self.send_ack(net);
            }
            return;
        }
        let is_newer = segment.sent_ns >= self.echo_ns;
        if segment.seq <= nxt && is_newer {
            self.echo_ns = segment.sent_ns;
        }
        if segment.flags.has(Flags::SYN) {
            // The answer to the peer's SYN, or the acknowledgment of its answer, was lost; or a peer that
            // has forgotten this connection begins a new one, and this tells it (RFC 5961, 4.2).
            return match self.state {
                State::SynReceived if segment.seq + 1 == nxt => self.send_syn(net),
                _ => self.send_ack(net),
            };
        }
        if segment.seq > edge {
            return self.send_ack(net);
        }
        if self.state == State::SynReceived {
            if segment.ack != self.send.nxt() {
                // Of another connection between the same addresses (RFC 9293, 3.10.7.4).
                return self.emit(net, Flags::RST, segment.ack, Bytes::new());
            }
            self.open(net);
        }
        let is_old = segment.seq < nxt;
        let is_next = segment.seq == nxt && !segment.flags.has(Flags::FIN);
        let has_to_ack = segment.sequence_len() > 0 || is_old;
        let is_pure = segment.sequence_len() == 0;
        let Segment { ack, window_bytes, echo_ns, .. } = *segment;
        self.on_ack(net, Ack { at_ns: net.now_ns, ack, window_bytes, echo_ns }, is_pure);
        self.on_payload(net, segment);
        if self.state != State::Closed && !self.transmit(net) && has_to_ack {
            // What leaves no gap may be acknowledged in the cheapest way there is.
            match is_next && !self.receive.has_gap() {
                true => self.owes_ack = true,
                false => self.send_ack(net),
            }
        }
    }

    /// Takes in acknowledgments that have arrived without an event, and sends what they allow.
    pub(crate) fn take_acks(&mut self, net: &mut Network) {
        while let Some(ack) = self.acks.next(net.now_ns) {
            self.on_ack(net, ack, true);
            // One by one: a window that was not filled again does not count as used.
            self.transmit(net);
        }
    }

    /// Has events come for acknowledgments that are on their way, if this socket waits for them.
    pub(crate) fn await_acks(&mut self, net: &mut Network) {
        if self.acks.is_empty() {
            return;
        }
        let is_waiting = self.writer.is_some()
            || self.rtt.backoff() > 0
            || self.send.is_closed()
            || self.send.has_unsent()
            || self.congestion.is_recovering();
        let key = self.key.expect("a socket has its place before it waits");
        self.acks.schedule(net, key, is_waiting);
    }

    /// Bytes written and not acknowledged by now.
    pub(crate) fn unacknowledged_bytes(&self, now_ns: u64) -> usize {
        let newly_acked = (self.unacknowledged(now_ns) - self.send.una()) as usize;
        self.send.queued_bytes().saturating_sub(newly_acked)
    }

    /// First sequence number that is not acknowledged by now.
    pub(crate) fn unacknowledged(&self, now_ns: u64) -> u64 {
        self.send.una().max(self.acks.arrived(now_ns).unwrap_or(0))
    }

    /// Sends the acknowledgment that this socket owes, which reaches the peer at `at_ns` without an event.
    pub(crate) fn pass_ack(&mut self, net: &mut Network, at_ns: u64) -> Ack {
        let (flags, seq) = (Flags::ACK, self.send.sent());
        let event =
            TraceEvent::SegmentSent { from: self.local, to: self.remote, flags, seq, bytes: 0 };
        net.trace.record(net.now_ns, &event);
        if net.captures.is_going_on() {
            let mss_bytes = self.congestion.mss_bytes();
            let packet = self.packet(net.now_ns, (flags, seq), mss_bytes, Bytes::new());
            net.capture_passage(self.host, &packet, at_ns);
        }
        let window_bytes = self.receive.advertise();
        Ack { at_ns, ack: self.receive.nxt(), window_bytes, echo_ns: self.echo_ns }
    }

    fn on_syn_answer(&mut self, net: &mut Network, segment: &Segment) {
        let is_for_syn = segment.flags.has(Flags::ACK) && segment.ack == self.send.nxt();
        if segment.flags.has(Flags::RST) {
            if is_for_syn {
                self.on_reset(net);
            }
            return;
        }
        if !is_for_syn || !segment.flags.has(Flags::SYN) {
            // From a connection that this host has forgotten: the peer has to forget it too before the
            // SYN, which is sent again, finds its listener (RFC 9293, 3.5.1).
            if segment.flags.has(Flags::ACK) {
                self.emit(net, Flags::RST, segment.ack, Bytes::new());
            }
            return;
        }
        self.peer = segment.sender;
        self.echo_ns = segment.sent_ns;
        self.receive = ReceiveQueue::new(segment.seq + 1);
        self.congestion.set_mss(self.congestion.mss_bytes().min(segment.mss_bytes.into()));
        self.open(net);
        let Segment { ack, window_bytes, echo_ns, .. } = *segment;
        self.on_ack(net, Ack { at_ns: net.now_ns, ack, window_bytes, echo_ns }, false);
        self.send_ack(net);
    }

    fn open(&mut self, net: &mut Network) {
        self.state = State::Established;
        wake(&mut self.writer);
        let event = TraceEvent::Opened { local: self.local, remote: self.remote };
        net.trace.record(net.now_ns, &event);
    }

    /// Takes in an acknowledgment; `is_pure` when its segment had nothing else.
    fn on_ack(&mut self, net: &mut Network, acknowledgment: Ack, is_pure: bool) {
        let Ack { at_ns, ack, window_bytes, echo_ns } = acknowledgment;
        let flight_bytes = self.send.flight_bytes();
        let edge = self.send.window_end();
        if flight_bytes == 0 && ack == self.send.una() && ack + u64::from(window_bytes) == edge {
            // A segment with data from a peer that has nothing to acknowledge.
            self.unanswered = 0;
            return;
        }
        let was_shut = flight_bytes == 0 && self.send.is_window_closed();
        let acked_bytes = self.send.on_ack(ack, window_bytes);
        if acked_bytes > 0 {
            self.rtt.measure(at_ns - echo_ns);
            self.on_new_ack(net, acknowledgment, acked_bytes, flight_bytes);
        } else if ack == self.send.una() {
            if flight_bytes == 0 {
                // The answer to a probe.
                self.unanswered = 0;
            }
            let is_duplicate = flight_bytes > 0 && is_pure && ack + u64::from(window_bytes) == edge;
            if is_duplicate {
                let sent = self.send.sent();
                if self.congestion.on_duplicate_ack(ack, sent, flight_bytes) == Advice::Retransmit {
                    self.retransmit(net);
                }
            } else if was_shut && !self.send.is_window_closed() {
                // The window that was probed has opened.
                self.rtt.recover();
                self.timer.stop();
            }
        }
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

    fn on_new_ack(
        &mut self,
        net: &mut Network,
        Ack { at_ns, ack, .. }: Ack,
        acked_bytes: u64,
        flight_bytes: u64,
    ) {
        self.is_answered(net, at_ns);
        self.rtt.recover();
        let advice = self.congestion.on_ack(ack, acked_bytes, flight_bytes);
        if advice == Advice::Retransmit {
            self.retransmit(net);
        }
        self.wait_for_ack_since(net, at_ns);
    }

    /// The timer ran out: sends again what is not acknowledged, or asks for the peer's window, or gives up.
    pub(crate) fn on_timeout(&mut self, net: &mut Network) {
        let (is_orphan, backoff) = (self.is_orphan, self.rtt.backoff());
        let is_syn = matches!(self.state, State::SynSent | State::SynReceived);
        let flight_bytes = self.send.flight_bytes();
        let is_over = match self.state {
            State::SynSent => self.unanswered >= SYN_RETRIES,
            State::SynReceived => self.unanswered >= SYN_ANSWER_RETRIES,
            // A peer that keeps its window shut, and says so, does not hold an orphan for ever.
            _ if is_orphan && flight_bytes == 0 => backoff >= ORPHAN_RETRIES,
            _ if is_orphan => self.unanswered >= ORPHAN_RETRIES,
            _ => self.unanswered >= RETRIES,
        };
        if is_over {
            return self.give_up(net);
        }
        let is_first = self.unanswered == 0;
        self.unanswered += 1;
        if is_syn {
            self.back_off(net);
            self.note_again(net, self.send.una(), true);
            self.send_syn(net);
        } else if flight_bytes > 0 {
            self.congestion.on_timeout(self.send.sent(), flight_bytes, is_first);
            self.back_off(net);
            self.send.rewind();
            self.transmit(net);
            self.wait_for_ack(net);
        } else {
            self.rtt.back_off();
            // An old sequence number makes the peer say what it expects and has room for.
            self.emit(net, Flags::ACK, self.send.una() - 1, Bytes::new());
            self.wait_for_ack(net);
        }
    }

    /// Something was lost: the next wait is twice as long.
    fn back_off(&mut self, net: &mut Network) {
        let since_ns = net.now_ns.saturating_sub(self.rtt.timeout_ns());
        self.rtt.back_off();
        let next_ns = net.now_ns + self.rtt.timeout_ns();
        net.waits.timed_out((self.host, self.local, self.remote), since_ns, next_ns);
    }

    /// The peer answers; `at_ns` is when.
    fn is_answered(&mut self, net: &mut Network, at_ns: u64) {
        if mem::take(&mut self.unanswered) > 0 {
            net.waits.acknowledged((self.host, self.local, self.remote), at_ns);
        }
    }

    fn give_up(&mut self, net: &mut Network) {
        let (local, remote) = (self.local, self.remote);
        net.trace.record(net.now_ns, &TraceEvent::TimedOut { local, remote });
        self.state = State::Closed;
        self.fail(io::ErrorKind::TimedOut);
    }

    fn on_payload(&mut self, net: &mut Network, segment: &mut Segment) {
        let end = segment.seq + segment.payload.len() as u64;
        if !segment.payload.is_empty() {
            if self.is_orphan && end > self.receive.nxt() {
                // Nobody is left to read it: the peer must know that it is lost.
                self.send_reset(net);
                return;
            }
            if self.receive.accept(segment.seq, mem::take(&mut segment.payload)) {
                wake(&mut self.reader);
            }
        }
        if self.receive.accept_fin(segment.flags.has(Flags::FIN).then_some(end)) {
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

    /// Has the next read or write report `error`.
    pub(crate) fn fail(&mut self, error: io::ErrorKind) {
        self.error = Some(error);
        wake(&mut self.reader);
        wake(&mut self.writer);
    }

    fn emit(&mut self, net: &mut Network, flags: Flags, seq: u64, payload: Bytes) {
        let mss_bytes = match flags.has(Flags::SYN) {
            true => net.mss_bytes(self.host),
            false => self.congestion.mss_bytes(),
        };
        let packet = self.packet(net.now_ns, (flags, seq), mss_bytes, payload);
        net.send(self.host, packet);
    }

    fn packet(
        &mut self,
        now_ns: u64,
        (flags, seq): (Flags, u64),
        mss_bytes: u32,
        payload: Bytes,
    ) -> Packet {
        let window_bytes = match self.state {
            State::SynSent => RECEIVE_BUFFER_BYTES as u32,
            _ => self.receive.advertise(),
        };
        let segment = Segment {
            seq,
            ack: self.receive.nxt(),
            window_bytes,
            flags,
            mss_bytes: mss_bytes.min(u16::MAX.into()) as u16,
            sent_ns: now_ns,
            echo_ns: self.echo_ns,
            payload,
            sender: self.key,
            receiver: self.peer,
        };
        Packet { from: self.local, to: self.remote, body: Body::Tcp(segment) }
    }
}

fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}
