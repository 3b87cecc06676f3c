//! A visitor of a server that stands in for the gateway.

use rehearsal_scenarios::{
    catalogue::Scenario,
    plan::{Listener, Plan},
};
use rehearsal_sim::{LinkConfig, clients::raw::RawPlan};

/// A scenario of a test, which checks nothing by itself.
pub const fn scenario(name: &'static str, plan: fn(u64) -> Plan) -> Scenario {
    Scenario { name, about: "", parity: false, heavy: false, plan, check: |_| Vec::new() }
}

/// Somebody sends a few bytes and stays for a while.
pub fn visit(leave_ms: u64) -> Plan {
    let mut plan = Plan::empty();
    let bytes = RawPlan {
        start_ms: 100,
        pieces: vec![b"some bytes".to_vec()],
        pause_ms: 1,
        half_close: false,
        read_from_ms: 0,
        leave_ms,
    };
    plan.raw_client("visitor", LinkConfig::lan(), Listener::Http, bytes);
    plan
}
