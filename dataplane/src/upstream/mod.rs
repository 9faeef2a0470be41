//! Upstream side: connecting, pooling, forwarding, retrying.

mod alarm;
mod answer;
mod connect;
mod forward;
mod judged;
mod pool;
mod retry;
pub mod tls;

pub(crate) use alarm::Alarm;
pub(crate) use answer::Answer;
pub(crate) use connect::Transport;
pub(crate) use forward::{Outgoing, forward};
pub(crate) use pool::{EndpointPool, Lease};
pub(crate) use retry::RetryBudget;
