//! Bodies of gibibytes, up and down, over HTTP/1.1, TLS and HTTP/2: constant memory, and a stalled reader stops the
//! upstream.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use portico_tests::client::{Body, Call, Connection, Tls, empty, sending};
use portico_tests::process::resident_kib;
use portico_tests::{Echo, Ingress, Portico, Service, Setup};

use crate::arguments::Arguments;

/// Growth of resident memory that is allowed, in KiB.
const GROWTH: u64 = 16 * 1024;
const MEBIBYTE: u64 = 1024 * 1024;
const CHUNK: usize = 64 * 1024;

/// Runs it; true when every promise was kept.
pub(crate) async fn run(arguments: &Arguments) -> bool {
    println!("bodies of {} MiB, {} workers", arguments.mebibytes, arguments.workers);
    let echo = Echo::start("web").await;
    let documents = [Ingress::new("web").host("a.test", "web").to_string(), Service::new("web").with(&[echo.address])];
    let setup = Setup::new(&arguments.portico).workers(arguments.workers).args(&["--access-log", "off"]);
    let portico = setup.manifests(documents).start().await;
    let mut kept = true;
    for protocol in ["http/1.1", "tls", "h2"] {
        for direction in ["download", "upload", "stall"] {
            kept &= measure(&portico, &echo, protocol, direction, arguments.mebibytes * MEBIBYTE).await;
        }
    }
    kept
}

async fn connect(portico: &Portico, protocol: &str) -> Connection {
    let tls = Tls::accepting_any();
    let connection = match protocol {
        "http/1.1" => Connection::plain(portico.http()).await,
        "tls" => Connection::http1(tls.connect(portico.https(), "a.test").await.expect("TLS is offered")).await,
        _ => Connection::tls_http2(portico.https(), &tls, "a.test").await,
    };
    connection.expect("the process accepts")
}

fn request(protocol: &str, fields: &[(&str, String)], method: &str, body: Body) -> Request<Body> {
    let uri = if protocol == "h2" { "http://a.test/" } else { "/" };
    let mut request = Request::builder().method(method).uri(uri).header("host", "a.test");
    for (name, value) in fields {
        request = request.header(*name, value);
    }
    request.body(body).expect("a request")
}

async fn measure(portico: &Portico, echo: &Echo, protocol: &str, direction: &str, size: u64) -> bool {
    let mut connection = connect(portico, protocol).await;
    // What a first request costs is not what a large body costs.
    let call = Call::get("/").host("a.test");
    let call = if protocol == "h2" { call.http2() } else { call };
    connection.send(call.request()).await.expect("a small request is answered");
    let sampler = Sampler::start(portico.process.id());
    let start = Instant::now();
    let moved = match direction {
        "download" => download(&mut connection, protocol, size).await,
        "upload" => upload(&mut connection, protocol, size).await,
        _ => stall(&mut connection, echo, protocol, size).await,
    };
    let (elapsed, (base, peak)) = (start.elapsed(), sampler.finish().await);
    let grown = peak - base;
    let complete = if direction == "stall" { moved < size / 2 } else { moved == size };
    let rate = moved / MEBIBYTE * 1000 / u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX).max(1);
    println!(
        "{protocol:8} {direction:8} {:6} MiB in {elapsed:6.1?} ({rate} MiB/s), resident {base} KiB + {grown} KiB{}",
        moved / MEBIBYTE,
        if complete && grown < GROWTH { "" } else { "  BROKEN" }
    );
    complete && grown < GROWTH
}

async fn download(connection: &mut Connection, protocol: &str, size: u64) -> u64 {
    let fields = [("x-echo-size", size.to_string())];
    let response = connection.open(request(protocol, &fields, "GET", empty())).await.expect("a response");
    let (mut body, mut received) = (response.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        received += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    received
}

async fn upload(connection: &mut Connection, protocol: &str, size: u64) -> u64 {
    let (sending, body) = sending();
    let feeder = tokio::spawn(async move {
        let chunk = Bytes::from(vec![b'x'; CHUNK]);
        for _ in 0..size / CHUNK as u64 {
            if sending.send(Ok(Frame::data(chunk.clone()))).await.is_err() {
                break;
            }
        }
    });
    let answer = connection.send(request(protocol, &[], "POST", body)).await.expect("an answer");
    feeder.await.expect("the feeder ends");
    answer.json()["body_bytes"].as_u64().expect("the upstream counts")
}

/// Opens a download and reads nothing for a while; returns what the upstream could send.
async fn stall(connection: &mut Connection, echo: &Echo, protocol: &str, size: u64) -> u64 {
    let before = echo.seen.sent.load(Ordering::SeqCst);
    let fields = [("x-echo-size", size.to_string())];
    let response = connection.open(request(protocol, &fields, "GET", empty())).await.expect("a response");
    tokio::time::sleep(Duration::from_secs(5)).await;
    drop(response);
    echo.seen.sent.load(Ordering::SeqCst) - before
}

/// Looks at a process's memory ten times a second.
struct Sampler {
    stop: Arc<AtomicBool>,
    task: tokio::task::JoinHandle<(u64, u64)>,
}

impl Sampler {
    fn start(process: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let base = resident_kib(process);
        let task = tokio::spawn(async move {
            let mut peak = base;
            while !stopped.load(Ordering::SeqCst) {
                peak = peak.max(resident_kib(process));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            (base, peak)
        });
        Self { stop, task }
    }

    async fn finish(self) -> (u64, u64) {
        self.stop.store(true, Ordering::SeqCst);
        self.task.await.expect("the sampler ends")
    }
}
