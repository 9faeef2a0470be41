//! Clients: whole requests ([`Call`]), connections that are kept ([`Connection`]), bytes ([`Raw`]) and TLS ([`Tls`]).

mod answer;
mod call;
mod connection;
mod pieces;
mod raw;
mod tls;

pub use answer::Answer;
pub use call::{Call, get};
pub use connection::{Body, Connection, Sending, empty, full, sending};
pub use pieces::Pieces;
pub use raw::{Raw, RawAnswer};
pub use tls::{Tls, leaf};
