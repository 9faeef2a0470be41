//! A fast upstream: answers every request head with the same octets, as many connections as come.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A listening upstream; dropping it closes port and connections.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    /// Held by each connection.
    open: Arc<()>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Answers 200 with a body of that many octets.
    pub(crate) async fn start(body: usize) -> Self {
        Self::closing(body, NEVER).await
    }

    /// The same, and closes connections that say nothing for that long after an answer.
    pub(crate) async fn closing(body: usize, idle: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {body}\r\n\r\n{}", "x".repeat(body));
        let answer: Arc<[u8]> = text.into_bytes().into();
        let open = Arc::new(());
        let token = open.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, token) = (answer.clone(), token.clone());
                connections.spawn(async move {
                    serve(stream, answer, idle).await;
                    drop(token);
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, open, task }
    }

    /// Open connections to it.
    pub(crate) fn connections(&self) -> usize {
        // One is its own, one the listening task's.
        Arc::strong_count(&self.open).saturating_sub(2)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Longer than anything here lasts.
const NEVER: Duration = Duration::from_secs(24 * 3600);

async fn serve(mut stream: TcpStream, answer: Arc<[u8]>, idle: Duration) {
    let _ = stream.set_nodelay(true);
    let (mut read, mut chunk, mut patience) = (Vec::new(), vec![0; 8192], NEVER);
    loop {
        let Ok(Ok(length @ 1..)) = timeout(patience, stream.read(&mut chunk)).await else { return };
        patience = idle;
        read.extend_from_slice(&chunk[..length]);
        while let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            read.drain(..end + 4);
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }
}
