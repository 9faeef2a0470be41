//! The data plane through real sockets, by topic: a table literal in, octets out.

mod bodies;
mod budgets;
mod endpoints;
mod floods;
mod gate;
mod http1;
mod http2;
mod kit;
mod parking;
mod retries;
mod spread;
mod timers;
mod upgrade;
mod upstream_h2;
mod workers;
