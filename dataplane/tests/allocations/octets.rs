//! What threads with octets of their own need to talk HTTP/1.1 with a data plane: nothing here allocates.

use std::io::Read as _;
use std::net::TcpStream;

/// Reads up to the empty line and that many octets more.
pub(crate) fn read(stream: &mut TcpStream, buffer: &mut [u8], body: usize) {
    let mut length = 0;
    loop {
        let read = stream.read(&mut buffer[length..]).expect("it stays open");
        assert!(read > 0, "it stays open");
        length += read;
        let end = buffer[..length].windows(4).position(|octets| octets == b"\r\n\r\n");
        if end.is_some_and(|end| length >= end + 4 + body) {
            return;
        }
    }
}
