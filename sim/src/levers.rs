//! What a scenario can do to a host while a run goes on: every lever is a method of its handle. Those of its disk are in
//! `disk/outside.rs`.
//!
//! Each use of a lever is in the trace, as a fault. What is on its way when a link or a path changes
//! arrives as it would have.

use std::{ops::RangeInclusive, time::Duration};

use crate::{
    LinkConfig, SimEnv,
    fabric::{Fabric, tcp::stream::ShortIo},
    heap::{self, Scope},
    rng::Rng,
    trace::TraceEvent,
};

impl SimEnv {
    /// The host's access link as it is now.
    pub fn link(&self) -> LinkConfig {
        self.shared.fabric().net.link(self.host.id)
    }

    /// Makes the host's access link another one.
    ///
    /// # Panics
    /// When an MTU has no room for headers and a byte.
    pub fn set_link(&self, link: LinkConfig) {
        self.fault(format!("link is {link:?}"));
        self.shared.fabric().net.set_link(self.host.id, link);
    }

    /// Puts the host into a black hole, where nothing it sends arrives and nothing reaches it, and no
    /// connection is told; or takes it out.
    pub fn set_black_hole(&self, is_in: bool) {
        self.fault(format!("black hole {}", if is_in { "begins" } else { "ends" }));
        self.shared.fabric().net.set_black_hole(self.host.id, is_in);
    }

    /// Keeps what this host sends from reaching `other`, or no longer. A partition both ways is one
    /// of each.
    pub fn set_partition_to(&self, other: &SimEnv, is_parted: bool) {
        let what = if is_parted { "cannot reach" } else { "can reach" };
        self.fault(format!("{what} {}", other.name()));
        self.shared.fabric().net.set_partition(self.host.id, other.host.id, is_parted);
    }

    /// Puts the host behind a NAT, whose outer ports its peers see. The NAT that is there forgets its
    /// mappings: connections go on from ports that their peers do not know.
    pub fn rebind_nat(&self) {
        self.fault("NAT binds anew".to_owned());
        self.shared.fabric().net.rebind_nat(self.host.id);
    }

    /// Crashes the host: its tasks, its sockets and what it had not written to disk are gone, nobody is
    /// told, and nothing reaches it until [`SimEnv::restart`].
    pub fn crash(&self) {
        self.fault("crashes".to_owned());
        // Sockets first: their handles, dropped with the tasks, then say nothing to the network.
        self.shared.fabric().crash(self.host.id);
        self.shared.executor.end_host(self.host.id);
        self.shared.executor.set_frozen(self.host.id, false);
        self.disk().crash();
    }

    /// Brings a crashed host back, with its address, its link and its disk, and nothing running.
    pub fn restart(&self) {
        self.fault("restarts".to_owned());
        self.shared.fabric().net.set_down(self.host.id, false);
    }

    /// Ends every task of the host, as killing its processes would: what they own is dropped, and
    /// their sockets close.
    pub fn end_tasks(&self) {
        self.fault("its tasks end".to_owned());
        self.shared.executor.end_host(self.host.id);
    }

    /// Stops the host's processes, as SIGSTOP does, or lets them go on. Its kernel goes on answering.
    pub fn set_frozen(&self, is_frozen: bool) {
        self.fault(if is_frozen { "freezes" } else { "thaws" }.to_owned());
        self.shared.executor.set_frozen(self.host.id, is_frozen);
    }

    /// Resets every TCP connection of the host: its peers get `ConnectionReset`, its own programs
    /// `ConnectionAborted`.
    pub fn reset_connections(&self) {
        self.fault("resets its connections".to_owned());
        let mut fabric = self.shared.fabric();
        let Fabric { tcp, net, .. } = &mut *fabric;
        tcp.reset_connections(net, self.host.id);
    }

    /// Limits the sockets that programs of the host may hold: binding, connecting and accepting
    /// beyond it fails with `EMFILE`. `None` lifts the limit.
    pub fn set_descriptor_limit(&self, limit: Option<usize>) {
        self.fault(format!("descriptor limit {limit:?}"));
        self.shared.fabric().set_descriptor_limit(self.host.id, limit);
    }

    /// Has the next `count` connections that wait to be accepted die in the queue: `accept` fails
    /// with `ConnectionAborted`.
    pub fn fail_accepts(&self, count: u32) {
        self.fault(format!("the next {count} accepts fail"));
        self.shared.fabric().tcp.fail_accepts(self.host.id, count);
    }

    /// Gives ports from `range` to sockets that ask for none in particular; without a free one they
    /// fail with `AddrNotAvailable` or `AddrInUse`.
    ///
    /// # Panics
    /// When `range` is empty.
    pub fn set_ephemeral_ports(&self, range: RangeInclusive<u16>) {
        self.fault(format!("ephemeral ports {range:?}"));
        let mut fabric = self.shared.fabric();
        fabric.tcp.ports(self.host.id).set_ephemeral(range.clone());
        fabric.udp.ports(self.host.id).set_ephemeral(range);
    }

    /// Has each read and write of the host's TCP streams move 1 to `bytes_max` bytes, the number
    /// drawn each time; `None` has them move what they can.
    ///
    /// # Panics
    /// When `bytes_max` is 0.
    pub fn set_short_io(&self, bytes_max: Option<usize>) {
        assert!(bytes_max != Some(0), "a read or write moves a byte at least");
        self.fault(format!("reads and writes move {bytes_max:?} bytes at most"));
        let short_io = bytes_max.map(|bytes_max| ShortIo {
            bytes_max,
            rng: Rng::named(self.seed(), &format!("short-io/{}", self.name())),
        });
        self.shared.fabric().tcp.set_short_io(self.host.id, short_io);
    }

    /// Sets the host's wall clock forward or back. Durations do not follow it.
    pub fn step_wall_clock(&self, step_ms: i64) {
        self.fault(format!("wall clock steps by {step_ms} ms"));
        self.shared.step_wall_clock(self.host.id, step_ms);
    }

    /// Records in the trace that the world changes.
    pub(crate) fn fault(&self, what: String) {
        let _scope = heap::enter(Scope::Sim);
        let event = TraceEvent::Fault { who: self.name().to_owned(), what };
        let mut fabric = self.shared.fabric();
        let now_ns = fabric.net.now_ns;
        fabric.net.trace.record(now_ns, &event);
    }

    /// How far the wall clock was set forward, and how far back.
    pub(crate) fn wall_clock_steps(&self) -> (Duration, Duration) {
        let step_ms = self.shared.wall_clock_step_ms(self.host.id);
        let step = Duration::from_millis(step_ms.unsigned_abs());
        if step_ms < 0 { (Duration::ZERO, step) } else { (step, Duration::ZERO) }
    }
}
