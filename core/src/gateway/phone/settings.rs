//! How the user agent is set up: by the configuration.

use std::{net::SocketAddr, time::Duration};

use crate::{
    config::{self, Config},
    sip::{
        ParseLimits,
        agent::AgentConfig,
        registrar::{RegistrarConfig, User},
        transaction::{Timers, TransactionConfig},
    },
};

/// What phones are told that passwords are for.
const REALM: &str = "rehearsal";
/// Phones that register under one name.
const BINDINGS_PER_USER: usize = 10;
/// Least and most time until a phone has to register again.
const BINDING_MIN: Duration = Duration::from_secs(60);
const BINDING_MAX: Duration = Duration::from_secs(3_600);

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
            server_transactions_per_address: sip.max_transactions_per_address,
            host: crate::sip::uri::host_of(contact.ip()),
            port: contact.port(),
            product: concat!("rehearsal/", env!("CARGO_PKG_VERSION")).to_owned(),
        },
        calls: sip.max_calls,
        unconfirmed_per_address: sip.max_unconfirmed_per_address,
        answer_within: ms(sip.ring_ms),
        session_expires: ms(sip.session_expires_ms),
        session_expires_min: ms(sip.session_expires_min_ms),
        contact,
        registrar: sip.registrar.then(|| RegistrarConfig {
            realm: REALM.to_owned(),
            users: sip.users.iter().map(user).collect(),
            sha256: sip.digest_sha256,
            bindings: sip.max_bindings,
            bindings_per_user: BINDINGS_PER_USER,
            expires_min: BINDING_MIN,
            expires_max: BINDING_MAX,
        }),
    }
}

fn user(user: &config::User) -> User {
    User { name: user.name.clone(), password: user.password.0.clone() }
}
