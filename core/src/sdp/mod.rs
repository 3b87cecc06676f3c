//! Session descriptions of calls: which codecs, addresses and directions both sides agree on
//! (RFC 8866, RFC 3264).
//!
//! A [`Negotiator`] is the offer/answer state of one call. A [`Codec`] is what can be
//! carried, `description` reads what a peer says, `writing` says what the gateway does. Not done here: host names
//! in addresses, SRTP, ICE, multiplexed RTCP, more than one audio and one video stream.

mod agreement;
mod codec;
mod description;
mod direction;
mod negotiator;
#[cfg(test)]
mod tests;
mod writing;

pub use agreement::{
    AnswerError, EventFormats, Format, Local, MediaAgreement, Negotiated, OfferError,
};
pub use codec::{Codec, MediaKind};
pub use description::{AddressError, DescriptionError, DescriptionLimits};
pub use direction::Direction;
pub use negotiator::Negotiator;
