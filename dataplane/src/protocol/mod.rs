//! From a connection to requests: HTTP/1.1 and HTTP/2, their timers, upgrades.

mod driver;
pub(crate) mod frames;
mod http;
pub(crate) mod io;
mod stall;
mod upgrade;
mod websocket;

pub(crate) use driver::{End, Handle, Leave};
pub(crate) use http::{LocalExecutor, Version, serve};
pub(crate) use upgrade::tunnel;
