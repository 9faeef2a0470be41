//! The proxy of Portico: it moves bytes and knows no Kubernetes.

pub mod config;
pub mod listener;
pub mod observe;
pub mod tls;
pub mod upstream;

mod dataplane;

pub use config::Config;
pub use dataplane::{BindError, Dataplane, PublishError, Publisher, Running};
