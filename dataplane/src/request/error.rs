//! Why a request is not answered by its upstream. Only [`super::respond`] turns one into a status.

use crate::observe::metrics::Limit;

/// Whose fault it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client's.
    Downstream,
    /// The upstream's.
    Upstream,
    /// Ours, or the configuration's.
    Internal,
}

impl Side {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Downstream => "downstream",
            Self::Upstream => "upstream",
            Self::Internal => "internal",
        }
    }
}

/// What went wrong, named by cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProxyError {
    /// The request breaks HTTP or what we accept of it; the reason is for the client.
    Malformed(&'static str),
    /// A size limit of the head.
    TooLarge(Limit),
    /// The head did not come in time.
    HeadTimeout,
    /// A version of HTTP that is not spoken here.
    Version,
    /// The body has a coding that nobody here can undo.
    Coding,
    /// The body is larger than allowed.
    BodyTooLarge,
    /// The body fell silent or came too slowly.
    BodyTimeout(Limit),
    /// The body ended before its announced end.
    BodyBroken,
    /// `Expect` asks for something unknown.
    Expectation,
    /// CONNECT or TRACE.
    Method,
    /// The host is not for this connection.
    Misdirected,
    /// The request went round through us.
    Loop,
    /// No route.
    NoRoute,
    /// The route cannot be served as it is configured.
    Unavailable,
    /// There is not enough memory or time.
    Overloaded(Limit),
    /// The upstream has no endpoint.
    NoEndpoint,
    /// No endpoint took the connection.
    Connect,
    /// The endpoint did not answer in time to being connected to.
    ConnectTimeout,
    /// The TLS handshake with the endpoint failed.
    ConnectTls,
    /// The endpoint closed or broke off before its answer.
    Reset,
    /// The endpoint answered something that is not HTTP.
    Protocol,
    /// The endpoint did not answer in time.
    Timeout,
    /// The endpoint began its answer and then fell silent.
    Silent,
    /// A bug of ours.
    Panic,
}

impl ProxyError {
    /// Whose fault it is.
    pub(crate) fn side(self) -> Side {
        match self {
            Self::Malformed(_)
            | Self::TooLarge(_)
            | Self::HeadTimeout
            | Self::Version
            | Self::Coding
            | Self::BodyTooLarge
            | Self::BodyTimeout(_)
            | Self::BodyBroken
            | Self::Expectation
            | Self::Method
            | Self::Misdirected
            | Self::Loop
            | Self::NoRoute => Side::Downstream,
            Self::NoEndpoint
            | Self::Connect
            | Self::ConnectTimeout
            | Self::ConnectTls
            | Self::Reset
            | Self::Protocol
            | Self::Timeout
            | Self::Silent => Side::Upstream,
            Self::Unavailable | Self::Overloaded(_) | Self::Panic => Side::Internal,
        }
    }

    /// A fixed word for metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge(limit) => limit.label(),
            Self::HeadTimeout => "head_timeout",
            Self::Version => "version",
            Self::Coding => "coding",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout(_) => "body_timeout",
            Self::BodyBroken => "body_broken",
            Self::Expectation => "expectation",
            Self::Method => "method",
            Self::Misdirected => "misdirected",
            Self::Loop => "loop",
            Self::NoRoute => "no_route",
            Self::Unavailable => "unavailable",
            Self::Overloaded(_) => "overloaded",
            Self::NoEndpoint => "no_endpoint",
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::ConnectTls => "connect_tls",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Timeout => "timeout",
            Self::Silent => "silent",
            Self::Panic => "panic",
        }
    }

    /// Whether the connection cannot be used for a further request: what follows may not be a request at all.
    pub(crate) fn closes(self) -> bool {
        matches!(
            self,
            Self::Malformed(_)
                | Self::TooLarge(_)
                | Self::HeadTimeout
                | Self::Version
                | Self::Coding
                | Self::BodyTooLarge
                | Self::BodyTimeout(_)
                | Self::BodyBroken
                | Self::Expectation
                | Self::Method
        )
    }
}
