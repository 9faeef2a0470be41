//! What a route does with a request.

use std::sync::Arc;

use serde::Serialize;

use super::backend::Backend;
use crate::diagnostic::Code;

/// What happens to a matched request.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Action {
    /// Forward to one of these by weight. Never empty; shared by routes that have the same.
    Forward(Arc<[Backend]>),
    /// The route stands but cannot be served: 503 until it heals.
    Unavailable(Unavailable),
}

/// Why a route cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Unavailable {
    /// The diagnostic's code.
    pub code: Code,
    /// What is wrong, for an explanation; clients are not told.
    pub message: Arc<str>,
}
