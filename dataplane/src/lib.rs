//! The proxy of Portico: it moves bytes and knows no Kubernetes.
//!
//! # Life of a connection and its requests
//! 1. [`listener`]: a worker accepts, counts the connection against the caps and keeps it or hands it to a worker that
//!    has fewer; a PROXY header is read where one must come.
//! 2. [`tls`]: the handshake, certificate by server name; ALPN decides between HTTP/1.1 and HTTP/2.
//! 3. `protocol`: hyper parses and frames; the driver keeps the timers and the drain.
//! 4. `request`: the head is checked and normalised, matched in the worker's own table, rewritten for the next hop.
//! 5. `balance`: the upstream's endpoint is chosen.
//! 6. [`upstream`]: a pooled connection is lent, the request sent, tried again where that is safe.
//! 7. The response body streams back; when its last octet is gone the connection returns to its pool and [`observe`]
//!    gets one record.
//! 8. A connection that then stays idle is parked until its next octet: `parking`.
//!
//! Workers share nothing that a request touches twice: see `state` for the one exception. `overload` knows when there is not
//! enough of something.

mod balance;
pub mod config;
mod dataplane;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
pub mod listener;
pub mod observe;
mod overload;
mod parking;
mod protocol;
mod request;
mod serving;
mod state;
pub mod tls;
pub mod upstream;
mod worker;

pub use config::Config;
pub use dataplane::{BindError, Dataplane, Publisher, Running};
