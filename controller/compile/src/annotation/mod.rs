//! Native annotations: `portico.dev/` on Ingresses and Services.
//!
//! One file per feature word in `family/` says key, value and meaning; the registry lists them, reads objects against the
//! list and prints the reference. An annotation that is set is honoured or reported. One that guards something closes
//! the routes it cannot guard; any other leaves the default. Services are read when a route of ours names them.

mod family;
mod registry;
mod settings;
pub(crate) mod value;

pub use registry::reference;
pub(crate) use registry::{read_ingress, read_service};
pub(crate) use settings::{RouteSettings, Settings, UpstreamSettings};

/// What every native annotation begins with.
pub const PREFIX: &str = "portico.dev/";

/// Field path of an annotation.
pub(crate) fn field(key: &str) -> String {
    format!("metadata.annotations[{key}]")
}
