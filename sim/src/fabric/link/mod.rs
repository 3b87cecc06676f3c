//! A host's access link: what it is like (`config`), and what becomes of each packet on it (`direction`),
//! by chance, too (`chance`).

mod chance;
mod config;
mod direction;

pub use config::{Direction, GilbertElliott, LinkConfig, MTU_BYTES, MTU_BYTES_MIN};
pub use direction::DropReason;
pub(crate) use direction::{DirectionState, Fate};
