//! Two backends on one port: they answer with the last octet of the address that was asked.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Last octets of the addresses that answer.
pub(crate) const ADDRESSES: [u8; 2] = [2, 3];

/// Starts them; returns their port.
pub(crate) async fn start() -> u16 {
    let first = TcpListener::bind(("127.0.0.2", 0)).await.expect("loopback has free ports");
    let port = first.local_addr().expect("it is bound").port();
    let second = TcpListener::bind(("127.0.0.3", port)).await.expect("the port is free there too");
    for (listener, name) in [first, second].into_iter().zip(ADDRESSES) {
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, name));
            }
        });
    }
    port
}

async fn answer(mut stream: TcpStream, name: u8) {
    let text = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{name}");
    let (mut read, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer).await {
            Ok(octets @ 1..) => read.extend_from_slice(&buffer[..octets]),
            _ => return,
        }
        // Requests have no body here.
        while let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            read.drain(..end + 4);
            if stream.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}
