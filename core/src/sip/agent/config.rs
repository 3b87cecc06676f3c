//! What the user of an agent sets: limits, waits, and whom to call.

use std::{net::SocketAddr, time::Duration};

use crate::sip::{
    behind_nat::Behind, digest::Credentials, fields::NameAddr, registrar::RegistrarConfig,
    transaction::TransactionConfig, transport::Hop, uri::Uri,
};

/// What an agent allows, how long it waits, and where it is reached.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The layer below.
    pub transactions: TransactionConfig,
    /// Calls at a time; one more is busy.
    pub calls: usize,
    /// Calls from one address that it has not confirmed by ACK; one more is told to come again.
    pub unconfirmed_per_address: usize,
    /// How long the user may take to answer a call.
    pub answer_within: Duration,
    /// Without a refresh a call ends after this.
    pub session_expires: Duration,
    /// What a peer may ask for at least.
    pub session_expires_min: Duration,
    /// Where peers reach it.
    pub contact: SocketAddr,
    /// Who may register with it; `None`: nobody.
    pub registrar: Option<RegistrarConfig>,
}

/// Whom to call, and as whom.
#[derive(Clone, Debug)]
pub struct Target {
    /// Whom.
    pub uri: Uri,
    /// The first on the way.
    pub hop: Hop,
    /// The way there once the connection to that is lost, over TCP.
    pub other: Option<Hop>,
    /// Where that one takes itself to be, if it has registered here and is seen somewhere else.
    pub behind: Option<Behind>,
    /// Who calls.
    pub from: NameAddr,
    /// What proves it.
    pub credentials: Option<Credentials>,
    /// User part of the Contact, by which whoever is called reaches us in this call.
    pub contact_user: Option<String>,
}
