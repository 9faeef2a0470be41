//! Upstream endpoints that say exactly what a test writes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpListener;

use super::wire::{Wire, soon};

/// An endpoint whose connections a test serves by hand.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    listener: TcpListener,
}

impl Origin {
    pub(crate) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback can be bound");
        Self { address: listener.local_addr().expect("a bound socket has an address"), listener }
    }

    /// The next connection.
    #[track_caller]
    pub(crate) fn accept(&self) -> impl Future<Output = Wire> + '_ {
        let accepted = soon(self.listener.accept());
        async { Wire::new(accepted.await.expect("accepted").0) }
    }

    /// The next connection with the head of its first request.
    #[track_caller]
    pub(crate) fn request(&self) -> impl Future<Output = (Wire, String)> + '_ {
        let accepted = self.accept();
        async {
            let mut wire = accepted.await;
            let head = wire.head().await;
            (wire, head)
        }
    }

    /// Serves each connection by `script`, which gets its number from 0; returns the count of connections.
    pub(crate) fn serve<F, G>(self, script: F) -> Arc<AtomicUsize>
    where
        F: Fn(usize, Wire) -> G + Send + 'static,
        G: Future<Output = ()> + Send + 'static,
    {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = count.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                let number = counting.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(number, Wire::new(stream)));
            }
        });
        count
    }
}
