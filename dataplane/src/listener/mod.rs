//! Listeners: sockets, the PROXY protocol, connection caps.
//!
//! Knows connections before their first request, and nothing of what they carry. Invariant: an address is canonical
//! ([`tcp::canonical`]) before anything is decided or said by it.

pub mod limit;
pub mod proxy_protocol;
pub(crate) mod socket;
pub mod tcp;
