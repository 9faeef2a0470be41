//! Ends that nobody notices: SIGTERM under load, rollouts one after the other, long-lived streams.

use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use portico_tests::client::{Call, Connection, Tls, get};
use portico_tests::process::Signal;
use portico_tests::scripted::Scripted;
use portico_tests::stream::Stream;
use portico_tests::websocket::{Message, WebSocket, WebSocketEcho};
use portico_tests::{Echo, Ingress, Service};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::backend::Backend;
use crate::load::{Load, Outcome, Shape};
use crate::row::Figures;
use crate::stage::{HOST, serve, setup, site, within};

/// How long the process goes on accepting in these rows.
const DELAY: Duration = Duration::from_secs(3);

/// R24: SIGTERM while kept connections, new ones and slow answers are under way.
pub(crate) async fn sigterm() -> Figures {
    let (backend, slow) = (Backend::start(5000).await, Echo::start("slow").await);
    let documents = site(&[backend.address]).into_iter().chain([
        Ingress::new("slow").host("slow.test", "slow").to_string(),
        Service::new("slow").with(&[slow.address]),
    ]);
    let flags = ["--drain-delay", "3s", "--drain-timeout", "10s"];
    let mut portico = setup().manifests(documents).args(&flags).workers(2).start().await;
    let kept = Load::start(8, &Shape::get(portico.http(), HOST));
    let fresh = Load::start(8, &Shape { keep: false, ..Shape::get(portico.http(), HOST) });
    let held = Call::get("/").host("slow.test").header("x-echo-hold", "1");
    let mut http2 = Connection::tls_http2(portico.https(), &Tls::accepting_any(), "slow.test").await.unwrap();
    let over_http2 = held.clone().http2().request();
    let on_http2 = tokio::spawn(async move { http2.send(over_http2).await.map(|answer| answer.status) });
    let to = portico.http();
    let on_http1 = tokio::spawn(async move { held.to(to).await.map(|answer| answer.status) });
    let in_flight = within(Duration::from_secs(5), async || slow.in_flight() == 2);
    let mut figures = Figures::default().holds("slow requests under way", in_flight.await);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    portico.process.signal(Signal::TERM);
    let unready = within(Duration::from_secs(2), async || {
        get(portico.addresses.status, "status", "/readyz").await.is_ok_and(|answer| answer.status != 200)
    });
    figures = figures.holds("told", unready.await).within("unready after", begun.elapsed(), Duration::from_millis(100));
    // Whoever sends traffic has heard by then.
    tokio::time::sleep((DELAY - Duration::from_millis(200)).saturating_sub(begun.elapsed())).await;
    let (kept, fresh) = (sums(kept).await, sums(fresh).await);
    tokio::time::sleep(DELAY.saturating_sub(begun.elapsed()) + Duration::from_millis(500)).await;
    slow.release();
    let answers = [on_http1.await.unwrap().unwrap_or(0), on_http2.await.unwrap().unwrap_or(0)];
    let status = portico.process.exit().await;
    figures
        .none("refused or truncated", kept.0.failed() + fresh.0.failed())
        .none("kept connections closed unasked", kept.1)
        .holds("slow answers whole", answers == [200, 200])
        .holds("exit code 0", status.success())
        .at_most("ended after", begun.elapsed().as_secs_f64(), 13.0, " s")
        .note(format!("{}, {}", kept.0.summary(), fresh.0.summary()))
}

async fn sums(load: Load) -> (Outcome, u64) {
    let tally = load.tally.clone();
    (load.stop().await, tally.raced.load(std::sync::atomic::Ordering::Relaxed))
}

/// R32: twenty rollouts, the next process ready before the one before is told to end.
pub(crate) async fn rolling() -> Figures {
    let backend = Backend::start(1000).await;
    let flags = ["--drain-delay", "1s", "--drain-timeout", "5s"];
    let mut now = serve(&[backend.address], &flags).await;
    let (route, routed) = watch::channel(now.http());
    let kept = Load::start(6, &Shape { routed: Some(routed.clone()), ..Shape::get(now.http(), HOST) });
    let fresh = Load::start(6, &Shape { routed: Some(routed), keep: false, ..Shape::get(now.http(), HOST) });
    let mut unclean = 0;
    for _ in 0..20 {
        let next = serve(&[backend.address], &flags).await;
        route.send_replace(next.http());
        now.process.signal(Signal::TERM);
        unclean += u64::from(!now.process.exit().await.success());
        now = next;
    }
    let (kept, fresh) = (sums(kept).await, sums(fresh).await);
    Figures::default()
        .none("err over 20 rollouts", kept.0.failed() + fresh.0.failed())
        .none("kept connections closed unasked", kept.1)
        .none("unclean ends", unclean)
        .note(format!("{}, {}", kept.0.summary(), fresh.0.summary()))
}

/// R33: a WebSocket, an event stream and an HTTP/2 connection through twenty swaps and a drain.
pub(crate) async fn long_lived() -> Figures {
    let (socket, events, web) = (WebSocketEcho::start("ws").await, event_stream().await, Echo::start("web").await);
    let base = |number: usize| {
        let ingress = Ingress::new("all")
            .host("ws.test", "ws")
            .host("events.test", "events")
            .host(HOST, "web")
            .host(&format!("swap-{number}.test"), "web");
        let service = |name: &str, address| Service::new(name).with(&[address]);
        let services = [("ws", socket.address), ("events", events.address), ("web", web.address)];
        std::iter::once(ingress.to_string()).chain(services.map(|(name, address)| service(name, address)))
    };
    let flags = ["--drain-delay", "500ms", "--drain-timeout", "3s"];
    let mut portico = setup().manifests(base(0)).args(&flags).start().await;
    let mut stream = Connection::plain(portico.http()).await.unwrap();
    let answer = stream.open(Call::get("/").host("events.test").request()).await.unwrap();
    let mut body = answer.into_body();
    let tcp = TcpStream::connect(portico.http()).await.unwrap();
    let mut client = WebSocket::open(Stream::Plain(tcp), "ws.test", "/").await.unwrap();
    let mut http2 = Connection::tls_http2(portico.https(), &Tls::accepting_any(), HOST).await.unwrap();
    let (mut lost, mut silent) = (0, 0);
    for number in 1..=20 {
        portico.apply(base(number));
        portico.answers(&format!("swap-{number}.test"), "/", "web").await;
        lost += u64::from(!echoed(&mut client).await);
        silent += u64::from(body.frame().await.is_none_or(|frame| frame.is_err()));
        let again = http2.send(Call::get("/").host(HOST).http2().request()).await;
        lost += u64::from(again.map_or(0, |answer| answer.status) != 200);
    }
    let begun = Instant::now();
    portico.process.signal(Signal::TERM);
    let goaway = within(Duration::from_secs(3), async || http2.is_closed()).await;
    lost += u64::from(!echoed(&mut client).await);
    let mut code = None;
    while let Ok(message) = client.next().await {
        if let Message::Close(frame) = message {
            code = frame.map(|frame| u16::from(frame.code));
        }
    }
    let grace = begun.elapsed();
    let ended = portico.process.exit().await.success();
    Figures::default()
        .none("messages or requests lost over 20 swaps", lost + silent)
        .holds("idle HTTP/2 told by GOAWAY", goaway)
        .holds(&format!("WebSocket closed with 1001 (got {code:?})"), code == Some(1001))
        .at_least("which came after", grace.as_secs_f64(), 3.0, " s")
        .at_most("ended after", begun.elapsed().as_secs_f64(), 5.0, " s")
        .holds("exit code 0", ended)
}

async fn echoed(client: &mut WebSocket) -> bool {
    client.exchange(Message::text("hello")).await.is_ok_and(|message| message.is_text())
}

/// An upstream that sends an event every 20 ms.
async fn event_stream() -> Scripted {
    Scripted::with(|mut exchange| async move {
        exchange.head().await;
        exchange.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        for _ in 0..3000 {
            exchange.send("9\r\ndata: x\n\n\r\n").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
