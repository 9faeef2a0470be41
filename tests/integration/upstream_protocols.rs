//! How an upstream is spoken to: the table of `appProtocol`, annotations, and TLS that is verified.

use portico_tests::certificate::Authority;
use portico_tests::client::{Answer, get};
use portico_tests::manifest::raw_secret;
use portico_tests::websocket::{Message, WebSocket, WebSocketEcho};
use portico_tests::{Echo, Ingress, Portico, Service};

use crate::portico;

async fn serve(service: &Service, echo: &Echo, flags: &[&str], more: &[String]) -> Portico {
    let mut documents = vec![Ingress::new("web").host("a.test", "web").to_string(), service.with(&[echo.address])];
    documents.extend_from_slice(more);
    portico().manifests(documents).args(flags).start().await
}

async fn answer(portico: &Portico) -> Answer {
    get(portico.http(), "a.test", "/x").await.unwrap()
}

#[tokio::test]
async fn app_protocol_absent_or_http_is_http_1_1() {
    let echo = Echo::start("web").await;
    for service in [Service::new("web"), Service::new("web").app_protocol("http")] {
        let portico = serve(&service, &echo, &[], &[]).await;
        assert_eq!(answer(&portico).await.received("protocol"), "HTTP/1.1");
    }
}

#[tokio::test]
async fn app_protocol_h2c_and_grpc_are_http_2_in_clear() {
    let echo = Echo::h2c("web").await;
    for protocol in ["kubernetes.io/h2c", "grpc"] {
        let portico = serve(&Service::new("web").app_protocol(protocol), &echo, &[], &[]).await;
        let answer = answer(&portico).await;
        assert_eq!((answer.status, answer.version), (200, http::Version::HTTP_11), "{protocol}: {answer}");
        assert_eq!(answer.received("protocol"), "HTTP/2.0", "{protocol}");
        assert_eq!((answer.received("authority"), answer.received("scheme")), ("a.test".into(), "http".into()));
    }
}

#[tokio::test]
async fn app_protocol_ws_takes_upgrades() {
    let echo = WebSocketEcho::start("web").await;
    let service = Service::new("web").app_protocol("kubernetes.io/ws");
    let documents = [Ingress::new("web").host("a.test", "web").to_string(), service.with(&[echo.address])];
    let portico = portico().manifests(documents).start().await;
    let stream = tokio::net::TcpStream::connect(portico.http()).await.unwrap();
    let stream = portico_tests::stream::Stream::Plain(stream);
    let mut socket = WebSocket::open(stream, "a.test", "/chat").await.unwrap();
    assert_eq!(socket.exchange(Message::text("hello")).await.unwrap(), Message::text("hello"));
}

/// An authority written to a file that a flag can name.
fn authority_file(authority: &Authority) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &authority.pem).unwrap();
    file
}

const SERVICE_NAME: &str = "web.default.svc";

#[tokio::test]
async fn app_protocol_https_is_verified_tls() {
    let authority = Authority::default();
    let file = authority_file(&authority);
    let flags = ["--upstream-ca", file.path().to_str().unwrap()];
    for (alpn, expected) in [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")] {
        let echo = Echo::tls("web", &authority.issue(&["web.test"]), alpn).await;
        let service = Service::new("web").app_protocol("https").annotation("portico.dev/upstream-name", "web.test");
        let portico = serve(&service, &echo, &flags, &[]).await;
        let answer = answer(&portico).await;
        assert_eq!((answer.status, answer.received("protocol").as_str()), (200, expected), "{alpn:?}: {answer}");
    }
}

#[tokio::test]
async fn the_name_that_is_verified_defaults_to_the_services() {
    let authority = Authority::default();
    let file = authority_file(&authority);
    let names = [SERVICE_NAME, "web.default.svc.cluster.local"];
    let echo = Echo::tls("web", &authority.issue(&names), &[]).await;
    let service = Service::new("web").app_protocol("https");
    let portico = serve(&service, &echo, &["--upstream-ca", file.path().to_str().unwrap()], &[]).await;
    assert_eq!(answer(&portico).await.status, 200);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_verified_is_502() {
    let (authority, stranger) = (Authority::default(), Authority::new("Stranger"));
    let file = authority_file(&authority);
    let flags = ["--upstream-ca", file.path().to_str().unwrap()];
    for certificate in
        [stranger.issue(&["web.test"]), authority.issue(&["other.test"]), authority.issue_expired(&["web.test"])]
    {
        let echo = Echo::tls("web", &certificate, &[]).await;
        let service = Service::new("web").app_protocol("https").annotation("portico.dev/upstream-name", "web.test");
        let portico = serve(&service, &echo, &flags, &[]).await;
        let answer = answer(&portico).await;
        assert_eq!(answer.status, 502, "{answer}");
        assert_eq!(echo.requests(), 0);
    }
}

#[tokio::test]
async fn verification_can_be_turned_off_and_an_authority_named_by_secret() {
    let authority = Authority::default();
    let echo = Echo::tls("web", &authority.issue(&["web.test"]), &[]).await;
    let off = Service::new("web").app_protocol("https").annotation("portico.dev/upstream-verify", "off");
    assert_eq!(answer(&serve(&off, &echo, &[], &[]).await).await.status, 200);
    let named = Service::new("web")
        .app_protocol("https")
        .annotation("portico.dev/upstream-name", "web.test")
        .annotation("portico.dev/upstream-ca", "authority");
    let secret = raw_secret("authority", "Opaque", &[("ca.crt", &authority.pem)]);
    assert_eq!(answer(&serve(&named, &echo, &[], &[secret]).await).await.status, 200);
    // A guard that cannot be read closes.
    let portico = serve(&named, &echo, &[], &[]).await;
    assert_eq!(answer(&portico).await.status, 503);
}

#[tokio::test]
async fn wss_and_grpcs_are_tls() {
    let authority = Authority::default();
    for (protocol, alpn, expected) in [("kubernetes.io/wss", "http/1.1", "HTTP/1.1"), ("grpcs", "h2", "HTTP/2.0")] {
        let echo = Echo::tls("web", &authority.issue(&["web.test"]), &[alpn]).await;
        let service = Service::new("web").app_protocol(protocol).annotation("portico.dev/upstream-verify", "off");
        let portico = serve(&service, &echo, &[], &[]).await;
        let answer = answer(&portico).await;
        assert_eq!((answer.status, answer.received("protocol").as_str()), (200, expected), "{protocol}: {answer}");
    }
}

#[tokio::test]
async fn an_app_protocol_that_is_unknown_is_reported_and_ignored() {
    let echo = Echo::start("web").await;
    let portico = serve(&Service::new("web").app_protocol("redis"), &echo, &[], &[]).await;
    assert_eq!(answer(&portico).await.received("protocol"), "HTTP/1.1");
    portico.diagnostic("AppProtocolUnknown").await;
}

#[tokio::test]
async fn the_annotation_beats_app_protocol() {
    let echo = Echo::h2c("web").await;
    let service = Service::new("web").app_protocol("http").annotation("portico.dev/upstream-protocol", "h2c");
    let portico = serve(&service, &echo, &[], &[]).await;
    assert_eq!(answer(&portico).await.received("protocol"), "HTTP/2.0");
}
