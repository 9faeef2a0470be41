//! What a request allocates; a process of its own, because what others allocate would count. Client and endpoint are threads
//! that read and write octets they have already.

#[expect(dead_code, unused_imports, reason = "shared with tests that need more of it")]
#[path = "../kit/mod.rs"]
mod kit;
mod octets;

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};

use kit::Proxy;
use octets::read;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n";
const BROWSER: &[u8] = b"GET /a/b?c=d HTTP/1.1\r\nHost: a.test\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n\
    Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-GB,en;q=0.5\r\n\
    Accept-Encoding: gzip, deflate, br\r\nReferer: http://a.test/a\r\nConnection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef\r\nUpgrade-Insecure-Requests: 1\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n\
    Content-Type: text/plain\r\nContent-Length: 23\r\nConnection: keep-alive\r\n\r\nhello from the backend\n";

/// Answers on one connection for as long as it is open.
fn endpoint() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the data plane connects");
        let mut buffer = [0; 4096];
        while stream.peek(&mut buffer).is_ok_and(|read| read > 0) {
            read(&mut stream, &mut buffer, 0);
            stream.write_all(ANSWER).expect("the data plane reads");
        }
    });
    address
}

/// Allocations per request, averaged over many.
fn allocations(client: &mut TcpStream, request: &[u8]) -> f64 {
    const MANY: u32 = 2000;
    let mut buffer = [0; 4096];
    let mut ask = |times| {
        for _ in 0..times {
            client.write_all(request).expect("the data plane reads");
            read(client, &mut buffer, 23);
        }
    };
    ask(100);
    let before = dhat::HeapStats::get().total_blocks;
    ask(MANY);
    (dhat::HeapStats::get().total_blocks - before) as f64 / f64::from(MANY)
}

#[tokio::test]
async fn a_request_allocates_little() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let proxy = Proxy::start(&[endpoint()], |_| ()).await;
    let measured = tokio::task::spawn_blocking(move || {
        let mut client = TcpStream::connect(proxy.address).expect("the data plane accepts");
        let small = allocations(&mut client, REQUEST);
        let browser = allocations(&mut client, BROWSER);
        drop(proxy);
        (small, browser)
    });
    let (small, browser) = measured.await.expect("no panic");
    println!("{small} allocations for a small request, {browser} for a browser's");
    assert!(small <= SMALL, "{small} allocations for a small request");
    assert!(browser <= LARGE, "{browser} allocations for a browser's request");
}

/// Most for a request with nothing but its host, hyper's own included.
const SMALL: f64 = 12.0;
/// Most for one with eight fields and a query.
const LARGE: f64 = 12.0;
