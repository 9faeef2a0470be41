//! Listening sockets: a port is taken at once and served later.
//!
//! Knows nothing of workers beyond how many sockets share a port. Invariant: the sockets of one [`bind`] share their port
//! with each other and with nobody else. `SO_REUSEPORT` alone would let a second process of the same user join in
//! silence, so the first socket binds without it and only then opens the port to its siblings; and none of them allows
//! `SO_REUSEADDR` until it listens, because two bound sockets that both allow it would not see each other.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// A socket that holds its port and accepts nothing yet: clients are refused until it listens.
#[derive(Debug)]
pub struct Bound {
    socket: Socket,
    address: SocketAddr,
}

impl Bound {
    /// The address bound, with the port the system chose; `0.0.0.0` where `[::]` was asked for in vain.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to listen, without blocking calls. Accepted sockets inherit the options of [`configure`].
    ///
    /// `backlog` connections wait for being accepted, as far as the system allows (`net.core.somaxconn`).
    pub fn listen(self, backlog: i32, probe: Duration) -> io::Result<TcpListener> {
        configure(&self.socket, probe)?;
        // Connections left over from a process before us must not stop the next one from binding.
        self.socket.set_reuse_address(true)?;
        self.socket.set_nonblocking(true)?;
        self.socket.listen(backlog)?;
        Ok(self.socket.into())
    }
}

/// Takes a port with that many sockets, among which the system spreads connections.
///
/// Port 0 lets the system choose one for all of them. `[::]` takes IPv4 as well, and is `0.0.0.0` where the system has no
/// IPv6. A port that somebody else holds is [`io::ErrorKind::AddrInUse`], whether they listen yet or not.
pub fn bind(address: SocketAddr, sockets: usize) -> io::Result<Vec<Bound>> {
    match bind_exactly(address, sockets) {
        Err(error) if is_any_ipv6(address) && without_ipv6(&error) => {
            bind_exactly(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), sockets)
        }
        other => other,
    }
}

fn bind_exactly(address: SocketAddr, sockets: usize) -> io::Result<Vec<Bound>> {
    let (first, reuse_address) = bind_first(address)?;
    let address = first.local_addr()?.as_socket().unwrap_or(address);
    first.set_reuse_port(true)?;
    let mut bound = vec![Bound { socket: first, address }];
    while bound.len() < sockets {
        let socket = open(address)?;
        socket.set_reuse_port(true)?;
        socket.set_reuse_address(reuse_address)?;
        socket.bind(&address.into())?;
        bound.push(Bound { socket, address });
    }
    Ok(bound)
}

/// Binds alone; whether `SO_REUSEADDR` had to be set, because connections of a former listener have not ended.
fn bind_first(address: SocketAddr) -> io::Result<(Socket, bool)> {
    let socket = open(address)?;
    match socket.bind(&address.into()) {
        Ok(()) => Ok((socket, false)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            socket.set_reuse_address(true)?;
            socket.bind(&address.into())?;
            Ok((socket, true))
        }
        Err(error) => Err(error),
    }
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(!is_any_ipv6(address))?;
    }
    Ok(socket)
}

/// Options of every TCP socket that carries requests, in both directions.
///
/// No delay; keep-alive probes after `probe` of silence, every `probe`, given up after three; octets that nobody
/// acknowledges for as long as that takes end the connection, too.
pub fn configure<'s>(socket: impl Into<SockRef<'s>>, probe: Duration) -> io::Result<()> {
    let socket = socket.into();
    let keep_alive = TcpKeepalive::new().with_time(probe).with_interval(probe).with_retries(PROBES);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&keep_alive)?;
    socket.set_tcp_user_timeout(Some(probe * (PROBES + 1)))
}

/// The address as everything past accepting sees it: an IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) is that
/// IPv4 address.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Whether the system has no IPv6: the family is not built in, or it is disabled.
fn without_ipv6(error: &io::Error) -> bool {
    let errno = rustix::io::Errno::from_io_error(error);
    matches!(errno, Some(rustix::io::Errno::AFNOSUPPORT | rustix::io::Errno::ADDRNOTAVAIL))
}

/// Keep-alive probes without an answer that end a connection.
const PROBES: u32 = 3;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::{Ipv6Addr, TcpStream};

    use super::*;

    const PROBE: Duration = Duration::from_secs(30);

    fn loopback(port: u16) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, port).into()
    }

    fn kind<T>(result: io::Result<T>) -> Option<io::ErrorKind> {
        result.err().map(|error| error.kind())
    }

    #[test]
    fn all_sockets_share_the_port_that_the_system_chose() {
        let bound = bind(loopback(0), 4).expect("a free port");
        let addresses: HashSet<_> = bound.iter().map(Bound::address).collect();
        assert_eq!((bound.len(), addresses.len()), (4, 1));
        let address = bound[0].address();
        assert_eq!(kind(TcpStream::connect(address)), Some(io::ErrorKind::ConnectionRefused), "not listening yet");
        let listeners: Vec<_> = bound.into_iter().map(|bound| bound.listen(64, PROBE).expect("listening")).collect();
        let clients: Vec<_> = (0..64).map(|_| TcpStream::connect(address).expect("a listener")).collect();
        let accepted = |listener: &TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        let counts: Vec<_> = listeners.iter().map(accepted).collect();
        assert_eq!(counts.iter().sum::<usize>(), clients.len());
        assert!(counts.iter().filter(|count| **count > 0).count() > 1, "spread: {counts:?}");
    }

    #[test]
    fn a_port_in_use_is_refused_before_and_after_listening() {
        let bound = bind(loopback(0), 2).expect("a free port");
        let address = bound[0].address();
        assert_eq!(kind(bind(address, 2)), Some(io::ErrorKind::AddrInUse));
        assert_eq!(kind(TcpListener::bind(address)), Some(io::ErrorKind::AddrInUse));
        let _listeners: Vec<_> = bound.into_iter().map(|bound| bound.listen(1, PROBE).expect("listening")).collect();
        assert_eq!(kind(bind(address, 1)), Some(io::ErrorKind::AddrInUse));
    }

    #[test]
    fn a_port_can_be_taken_again_while_old_connections_linger() {
        let bound = bind(loopback(0), 1).expect("a free port").remove(0);
        let address = bound.address();
        let listener = bound.listen(8, PROBE).expect("listening");
        listener.set_nonblocking(false).expect("a plain listener");
        let client = TcpStream::connect(address).expect("a listener");
        // The side that closes first keeps the connection in TIME_WAIT: here the listener's.
        drop(listener.accept().expect("the client"));
        drop(listener);
        drop(client);
        let again = bind(address, 2).expect("the port is free but for what lingers");
        for bound in again {
            bound.listen(8, PROBE).expect("listening");
        }
    }

    #[test]
    fn accepted_sockets_inherit_the_options() {
        let bound = bind(loopback(0), 1).expect("a free port").remove(0);
        let address = bound.address();
        let listener = bound.listen(8, PROBE).expect("listening");
        listener.set_nonblocking(false).expect("a plain listener");
        let _client = TcpStream::connect(address).expect("a listener");
        let (accepted, _) = listener.accept().expect("the client");
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().expect("an option"));
        assert!(socket.keepalive().expect("an option"));
        assert_eq!(socket.tcp_keepalive_time().expect("an option"), PROBE);
        assert_eq!(socket.tcp_keepalive_interval().expect("an option"), PROBE);
        assert_eq!(socket.tcp_keepalive_retries().expect("an option"), 3);
        assert_eq!(socket.tcp_user_timeout().expect("an option"), Some(PROBE * 4));
    }

    #[test]
    fn any_ipv6_takes_ipv4_as_well() {
        let bound = bind((Ipv6Addr::UNSPECIFIED, 0).into(), 1).expect("a free port").remove(0);
        let port = bound.address().port();
        let listener = bound.listen(8, PROBE).expect("listening");
        listener.set_nonblocking(false).expect("a plain listener");
        let client = TcpStream::connect(loopback(port)).expect("a listener");
        let (_, from) = listener.accept().expect("the client");
        assert_eq!(canonical(from), client.local_addr().expect("connected"));
    }

    #[test]
    fn canonical_addresses() {
        for (raw, expected) in [
            ("[::ffff:192.0.2.1]:80", "192.0.2.1:80"),
            ("192.0.2.1:80", "192.0.2.1:80"),
            ("[2001:db8::1]:80", "[2001:db8::1]:80"),
            ("[fe80::1%3]:80", "[fe80::1%3]:80"),
            ("[::192.0.2.1]:80", "[::c000:201]:80"),
        ] {
            let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(canonical(parse(raw)), parse(expected), "{raw}");
        }
    }
}
