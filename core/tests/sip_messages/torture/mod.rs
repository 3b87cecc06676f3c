//! What RFC 4475 tortures parsers with, in messages of our own: one test for each of its messages, whose short name stands
//! with it.
//!
//! What a layer above has to refuse (an unknown method, scheme, extension or type of body) is valid here, and the test says
//! what that layer sees.

mod invalid;
mod layers;
mod valid;
