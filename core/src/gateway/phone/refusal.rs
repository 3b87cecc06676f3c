//! Why a call is not taken, or not made.

use thiserror::Error;

use super::route::Unreachable;
use crate::{rtp::ports::NoPorts, sdp::OfferError};

/// Why a call is not taken, or not made.
#[derive(Debug, Error)]
pub(super) enum Refusal {
    #[error("nobody can be called by an address without a user")]
    NoNumber,
    #[error(transparent)]
    Unreachable(#[from] Unreachable),
    #[error(transparent)]
    Offer(#[from] OfferError),
    #[error(transparent)]
    NoPorts(#[from] NoPorts),
    #[error("no ports could be opened: {0}")]
    Bind(std::io::Error),
}

impl Refusal {
    /// What the caller is told.
    pub(super) fn status(&self) -> u16 {
        match self {
            Self::NoNumber => 404,
            Self::Unreachable(unreachable) => unreachable.status(),
            Self::Offer(_) => 488,
            Self::NoPorts(_) | Self::Bind(_) => 503,
        }
    }
}
