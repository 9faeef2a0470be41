//! The contract between Portico's planes: plain values in, an immutable index out.
//!
//! Pure by construction: no runtime, no sockets, no clock, no Kubernetes type. The compile step writes the [`ir`], the
//! controller builds a [`table::RoutingTable`] from it, and the data plane looks requests up in that table.
//!
//! # Glossary
//! *downstream* is the client's side, *upstream* the service's side; both are directions.
//!
//! | word | meaning |
//! |---|---|
//! | listener | a bound address with protocol and TLS mode; Ingress objects all land on the one named [`ir::INGRESS_LISTENER`] |
//! | virtual host | the routes of one hostname: exact, wildcard or any |
//! | route | a match, an action and its policies |
//! | matcher | a test on path, method, header or query |
//! | policy | a setting of a route in the IR; the code that applies one is a *filter* |
//! | backend | a reference to a Service port with a weight, as the user wrote it |
//! | upstream | the resolved, deduplicated balancing group behind backends |
//! | endpoint | one `ip:port` of an upstream |
//! | snapshot | the consistent set of input objects of one compile |
//! | IR | what the cluster asks for, free of any dialect |
//! | routing table | the IR with its indexes |
//! | generation | the number of a swap |
//! | source | a producer of objects |
//! | origin | the object and field where a piece came from |
//! | diagnostic, report | one problem of one object; all of them |
//! | hold-off | the pause in which further changes are gathered before a compile |
//! | drain | letting what is in flight finish while nothing new is taken |

pub mod diagnostic;
pub mod endpoint;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod ir;
pub mod normalise;
pub mod origin;
pub mod publish;
pub mod redacted;
pub mod table;

pub use diagnostic::{Code, Diagnostic, Report, Severity};
pub use endpoint::{Changed, Endpoint, EndpointSet};
pub use origin::{Kind, Location, ObjectRef, Origin};
pub use publish::Published;
pub use redacted::Redacted;
