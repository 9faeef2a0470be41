//! The test kit: everything a test needs to stand a real `portico` process between a real client and a real upstream.
//!
//! Nothing here ships, and nothing here is a mock: upstreams listen, clients connect, certificates are signed, manifests
//! are files. A test states what it wants and waits for conditions ([`wait_until`]); nothing waits for a length of time.
//!
//! | part | what it is |
//! |---|---|
//! | [`Setup`], [`portico`], [`process`] | the process under test: manifests in a directory of its own, ports chosen by the system |
//! | [`manifest`] | Ingresses, Services, EndpointSlices and Secrets as values to write into that directory |
//! | [`echo`] | an upstream that says who it is and what it received |
//! | [`recorder`] | an upstream that writes down every octet and answers as it is told |
//! | [`frames`] | HTTP/2 frame by frame |
//! | [`rows`] | the threat table's rows and where each is proven |
//! | [`scripted`] | an upstream that answers with exact bytes, and one that refuses connections |
//! | [`client`] | requests as bytes, over HTTP/1.1, HTTP/2, WebSocket and gRPC framing, plain or TLS |
//! | [`certificate`] | an authority and what it signs |
//! | [`dns`] | a name service that knows what it is told |

pub mod certificate;
pub mod client;
pub mod dns;
pub mod echo;
pub mod frames;
pub mod grpc;
pub mod manifest;
pub mod portico;
pub mod process;
pub mod recorder;
pub mod rows;
pub mod scripted;
mod setup;
pub mod stream;
mod wait;
pub mod websocket;

pub use echo::Echo;
pub use manifest::{Ingress, Service, endpoints, secret};
pub use portico::Portico;
pub use setup::Setup;
pub use wait::{PATIENCE, wait_until};

/// An error of any library the kit stands on; tests only print it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
