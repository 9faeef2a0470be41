//! One question to the name service: all addresses of a name and how long they are good for.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RecordType;
use tokio::time::timeout;

/// Addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Addresses {
    /// The addresses; never empty.
    pub(super) addresses: BTreeSet<IpAddr>,
    /// How long they are good for, within bounds.
    pub(super) ttl: Duration,
}

/// A way to ask.
#[derive(Debug)]
pub(super) struct Lookup {
    resolver: TokioResolver,
    cluster_domain: String,
}

impl Lookup {
    /// Asks `server` over UDP and TCP, else what the system is configured to ask.
    pub(super) fn new(server: Option<SocketAddr>, cluster_domain: String) -> Result<Self, NetError> {
        let mut builder = match server {
            None => TokioResolver::builder_tokio()?,
            Some(server) => {
                let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                    connection.port = server.port();
                    connection
                });
                let server = NameServerConfig::new(server.ip(), true, connections.to_vec());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.timeout = TRY;
        options.attempts = 2;
        // Names are asked for when their time is up, so nothing is left to cache.
        options.cache_size = 0;
        Ok(Self { resolver: builder.build()?, cluster_domain })
    }

    /// All addresses of `name`, IPv4 and IPv6; the error is in words that follow the name.
    pub(super) async fn addresses(&self, name: &str) -> Result<Addresses, String> {
        // The name is whole: no search list leads to another one than was written and judged.
        let whole = match name.ends_with(".svc") {
            true => format!("{name}.{}.", self.cluster_domain.trim_end_matches('.')),
            false => format!("{name}."),
        };
        let both = async {
            tokio::join!(self.resolver.lookup(&*whole, RecordType::A), self.resolver.lookup(&*whole, RecordType::AAAA))
        };
        let (v4, v6) = timeout(WHOLE, both).await.map_err(|_| "got no answer in time".to_owned())?;
        let now = Instant::now();
        let mut found = BTreeSet::new();
        let mut ttl = LONGEST;
        for answer in [&v4, &v6].into_iter().flatten() {
            found.extend(answer.answers().iter().filter_map(|record| record.data.ip_addr()));
            ttl = ttl.min(answer.valid_until().saturating_duration_since(now));
        }
        if found.is_empty() {
            return Err(reason(v4.err(), v6.err()));
        }
        Ok(Addresses { addresses: found, ttl: ttl.clamp(SHORTEST, LONGEST) })
    }
}

/// Why no address was found: the first error that is more than "there is none".
fn reason(v4: Option<NetError>, v6: Option<NetError>) -> String {
    let mut errors: Vec<_> = [v4, v6].into_iter().flatten().collect();
    errors.sort_by_key(NetError::is_no_records_found);
    match errors.first() {
        Some(error) if error.is_nx_domain() => "does not exist".to_owned(),
        Some(error) if !error.is_no_records_found() => format!("could not be resolved: {error}"),
        _ => "has no address".to_owned(),
    }
}

/// Shortest time that an answer is good for.
const SHORTEST: Duration = Duration::from_secs(1);
/// Longest time that an answer is good for.
const LONGEST: Duration = Duration::from_secs(300);
/// Time for one try of one question.
const TRY: Duration = Duration::from_secs(2);
/// Time for everything that is asked of a name.
const WHOLE: Duration = Duration::from_secs(5);
