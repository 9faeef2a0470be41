//! Idle HTTP/1 connections, kept as little more than their socket.
//!
//! A connection that waits between two requests gives up hyper's state, its buffers and the task's large future, and is
//! built anew when octets come. Parking knows sockets, TLS sessions and the worker's wheel of deadlines; it reads no
//! HTTP. Invariant: what is parked is exactly between two messages - every request that passed the gate was begun and
//! has ended, its answer is flushed, and nothing read is left anywhere but in the TLS session.

mod life;
mod parked;
mod transport;
mod wheel;

pub(crate) use life::{Life, Served, Service};
pub(crate) use parked::Parked;
pub(crate) use transport::Transport;
pub(crate) use wheel::{Spot, Wheel};
