//! How the user agent is set up: by the configuration.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::Config,
    sip::{
        ParseLimits,
        agent::AgentConfig,
        transaction::{Timers, TransactionConfig},
    },
};

/// Limits, waits and names of an agent that phones reach at `contact`.
pub(super) fn agent_config(config: &Config, contact: SocketAddr) -> AgentConfig {
    let sip = &config.sip;
    let ms = Duration::from_millis;
    AgentConfig {
        transactions: TransactionConfig {
            timers: Timers {
                t1: ms(sip.t1_ms),
                t2: ms(sip.t2_ms),
                t4: ms(sip.t4_ms),
                c: ms(sip.ring_ms),
            },
            parse_limits: ParseLimits {
                message_bytes: sip.max_message_bytes,
                headers: sip.max_headers,
            },
            server_transactions: sip.max_transactions,
            host: crate::sip::uri::host_of(contact.ip()),
            port: contact.port(),
            product: concat!("rehearsal/", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        calls: sip.max_calls,
        answer_within: ms(sip.ring_ms),
        session_expires: ms(sip.session_expires_ms),
        session_expires_min: ms(sip.session_expires_min_ms),
        contact,
    }
}
