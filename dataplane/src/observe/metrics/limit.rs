//! The names of the limits: what was cut short and why.

/// A cap, size or timer that stopped something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    /// Downstream connections in total.
    Connections,
    /// Downstream connections of one client address.
    ConnectionsPerClient,
    /// Age of a connection.
    ConnectionAge,
    /// Requests of a connection.
    ConnectionRequests,
    /// Memory of the process: requests refused.
    Memory,
    /// Time of a worker: requests refused.
    Lateness,
    /// TLS handshake timer.
    Handshake,
    /// First octet timer of a connection.
    FirstByte,
    /// Request head timer.
    Head,
    /// Request head size.
    HeadSize,
    /// Number of request fields.
    Fields,
    /// Length of the request target.
    Target,
    /// Length of the method.
    Method,
    /// Request body size.
    BodySize,
    /// Request body without progress.
    BodyIdle,
    /// Request body too slow.
    BodyRate,
    /// Idle keep-alive connection.
    KeepAlive,
    /// Response that the client does not take.
    WriteStall,
    /// Upgraded or streaming connection without an octet.
    StreamIdle,
    /// Requests that came through too many proxies of our kind.
    Hops,
    /// HTTP/2 streams at once.
    H2Streams,
    /// HTTP/2 header list size.
    H2HeaderList,
    /// HTTP/2 control frames in a window of time.
    H2ControlFrames,
    /// HTTP/2 ping without an answer.
    H2Ping,
    /// Connections to upstreams in total.
    UpstreamConnections,
    /// Connecting to an endpoint.
    UpstreamConnect,
    /// Response head of an endpoint.
    UpstreamResponse,
    /// Response body of an endpoint without progress.
    UpstreamBodyIdle,
    /// Requests still in flight at the end of the drain.
    Drain,
}

impl Limit {
    /// Every limit, in the order of its number.
    pub const ALL: [Self; 29] = [
        Self::Connections,
        Self::ConnectionsPerClient,
        Self::ConnectionAge,
        Self::ConnectionRequests,
        Self::Memory,
        Self::Lateness,
        Self::Handshake,
        Self::FirstByte,
        Self::Head,
        Self::HeadSize,
        Self::Fields,
        Self::Target,
        Self::Method,
        Self::BodySize,
        Self::BodyIdle,
        Self::BodyRate,
        Self::KeepAlive,
        Self::WriteStall,
        Self::StreamIdle,
        Self::Hops,
        Self::H2Streams,
        Self::H2HeaderList,
        Self::H2ControlFrames,
        Self::H2Ping,
        Self::UpstreamConnections,
        Self::UpstreamConnect,
        Self::UpstreamResponse,
        Self::UpstreamBodyIdle,
        Self::Drain,
    ];

    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its number, below [`Limit::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::ConnectionsPerClient => "connections_per_client",
            Self::ConnectionAge => "connection_age",
            Self::ConnectionRequests => "connection_requests",
            Self::Memory => "memory",
            Self::Lateness => "lateness",
            Self::Handshake => "handshake",
            Self::FirstByte => "first_byte",
            Self::Head => "head",
            Self::HeadSize => "head_size",
            Self::Fields => "fields",
            Self::Target => "target",
            Self::Method => "method",
            Self::BodySize => "body_size",
            Self::BodyIdle => "body_idle",
            Self::BodyRate => "body_rate",
            Self::KeepAlive => "keep_alive",
            Self::WriteStall => "write_stall",
            Self::StreamIdle => "stream_idle",
            Self::Hops => "hops",
            Self::H2Streams => "h2_streams",
            Self::H2HeaderList => "h2_header_list",
            Self::H2ControlFrames => "h2_control_frames",
            Self::H2Ping => "h2_ping",
            Self::UpstreamConnections => "upstream_connections",
            Self::UpstreamConnect => "upstream_connect",
            Self::UpstreamResponse => "upstream_response",
            Self::UpstreamBodyIdle => "upstream_body_idle",
            Self::Drain => "drain",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_and_labels_are_unique() {
        for (at, limit) in Limit::ALL.into_iter().enumerate() {
            assert_eq!(limit.index(), at, "{limit:?}");
        }
        assert_eq!(Limit::ALL.into_iter().map(Limit::label).collect::<HashSet<_>>().len(), Limit::COUNT);
    }
}
