//! The real binary through real sockets: one module per feature, tests named after the row of the rules they hold.
//!
//! Every test stands alone: its own process, ports, manifests and upstreams.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails where it stands, in helpers, too")]

mod access_log;
mod admin;
mod annotations;
mod backends;
mod classes;
mod conflicts;
mod conformance;
mod connections;
mod default_backends;
mod demo;
mod endpoint_slices;
mod external_name;
mod forwarding;
mod framing;
mod grpc;
mod hosts;
mod lifecycle;
mod metrics;
mod paths;
mod primer;
mod proxy_protocol;
mod reload;
mod retries;
mod secrecy;
mod site;
mod streaming;
mod timeouts;
mod tls;
mod tls_secrets;
mod upgrade;
mod upstream_protocols;
mod validation;
mod verbs;

use portico_tests::Setup;

/// A process of the binary under test, to be set up: the one built with the tests, or the one that
/// `BINARY_UNDER_TEST` names (from the top of the checkout), such as a release.
fn portico() -> Setup {
    let Ok(named) = std::env::var("BINARY_UNDER_TEST") else { return Setup::new(env!("CARGO_BIN_EXE_portico")) };
    let top = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    Setup::new(top.join(named).to_str().expect("the path is text"))
}
