//! What a failed request says of the API: away, unwilling, moved on, or unintelligible.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use kube::core::Status;

use super::numbers::Class;
use super::{deepest, first_line};

/// Why something that was asked of the API failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer at all: nothing listens, nothing answers in time, or TLS fails.
    Away(String),
    /// An answer began and broke off.
    Cut(String),
    /// An answer that is an error.
    Refused(Refusal),
    /// What came cannot be read.
    Unreadable(String),
}

/// An answer that is an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub code: u16,
    /// What the API said, in one line.
    pub message: String,
    /// How long it wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// What an error of the client means.
    #[must_use]
    pub fn of(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::of_status(status),
            kube::Error::ReadEvents(_) => Self::Cut(deepest(error)),
            kube::Error::Service(cause) => Self::of_transport(cause.as_ref()),
            kube::Error::HyperError(cause) => Self::of_transport(cause),
            other => Self::Unreadable(deepest(other)),
        }
    }

    /// What an answer of the API means.
    #[must_use]
    pub fn of_status(status: &Status) -> Self {
        let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
        let retry_after = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
        Self::Refused(Refusal { code: status.code, message: first_line(&status.message), retry_after })
    }

    pub(super) fn of_transport(error: &(dyn Error + 'static)) -> Self {
        match error.downcast_ref::<kube::client::AuthError>() {
            Some(fault) => Self::Unreadable(format!("no credentials: {}", deepest(fault))),
            None => Self::Away(deepest(error)),
        }
    }

    /// Whether the API said that the version asked for is too old to go on from.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Refused(Refusal { code: 410, .. }))
    }

    /// Whether the API said that it does not understand what was asked.
    #[must_use]
    pub fn is_misunderstanding(&self) -> bool {
        matches!(self, Self::Refused(Refusal { code: 400 | 406 | 415 | 422, .. }))
    }

    /// How long the API wants to be left alone.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(refusal) => refusal.retry_after,
            Self::Away(_) | Self::Cut(_) | Self::Unreadable(_) => None,
        }
    }

    /// How it is counted.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Away(_) => Class::Away,
            Self::Cut(_) => Class::Cut,
            Self::Unreadable(_) => Class::Unreadable,
            Self::Refused(refusal) => Class::of_code(refusal.code).unwrap_or(Class::Refused),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) => write!(f, "no answer: {why}"),
            Self::Cut(why) => write!(f, "the answer broke off: {why}"),
            Self::Unreadable(why) => write!(f, "{why}"),
            Self::Refused(Refusal { code, message, .. }) => write!(f, "{message} (status {code})"),
        }
    }
}
