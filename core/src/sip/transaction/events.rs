//! What the user of the layer sets, and what it is told.

use super::{ClientId, ServerId, Timers};
use crate::sip::{
    message::{Request, Response},
    parse::ParseLimits,
    transport::Hop,
};

/// What the layer allows, how long it waits, and what it calls itself.
#[derive(Clone, Debug)]
pub struct TransactionConfig {
    /// Waits.
    pub timers: Timers,
    /// What a message may have.
    pub parse_limits: ParseLimits,
    /// Requests that are being answered, at a time; one more is told to come again. For those that belong to a call there is a
    /// quarter more; those that neither call nor belong to a call get half.
    pub server_transactions: usize,
    /// As before, of one address; of IPv6, of one /64.
    pub server_transactions_per_address: usize,
    /// Host in Via: where answers come to.
    pub host: String,
    /// Port in Via.
    pub port: u16,
    /// `Server` and `User-Agent`.
    pub product: String,
}

/// What the user is to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransactionEvent {
    /// A new request; it has to be answered.
    Request {
        /// To answer it.
        id: ServerId,
        /// It; its Via says where it came from.
        request: Box<Request>,
        /// Who sent it.
        source: Hop,
    },
    /// An ACK that no transaction waits for: to a 2xx, or to nothing.
    Ack {
        /// It.
        request: Box<Request>,
        /// Who sent it.
        source: Hop,
    },
    /// The INVITE was cancelled; it has to be answered with 487.
    Cancelled {
        /// The INVITE.
        id: ServerId,
    },
    /// Nobody confirmed the final answer.
    Unconfirmed {
        /// The INVITE.
        id: ServerId,
    },
    /// An answer, none of those that came before.
    Response {
        /// The request.
        id: ClientId,
        /// It.
        response: Box<Response>,
        /// Who sent it.
        source: Hop,
    },
    /// No more answers are expected.
    Ended {
        /// The request.
        id: ClientId,
    },
    /// There is no answer.
    Failed {
        /// The request.
        id: ClientId,
        /// Why.
        failure: Failure,
    },
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The time for one is over; counts as 408 (RFC 3261, section 8.1.3.1).
    Timeout,
    /// It could not be sent; counts as 503.
    Unreachable,
}

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounters {
    /// Messages that came.
    pub received: u64,
    /// Messages that nobody could read, or nobody waited for.
    pub dropped: u64,
    /// Requests that were answered with what is wrong with them.
    pub malformed: u64,
    /// Requests that were refused because there were too many.
    pub refused: u64,
    /// Copies that came.
    pub copies_received: u64,
    /// Copies that were sent.
    pub copies_sent: u64,
}
