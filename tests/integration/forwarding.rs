//! What an upstream is told about the request, and what a client is told about the response.

use std::net::IpAddr;

use portico_tests::client::{Answer, Call, Tls, get};
use portico_tests::scripted::{Refusing, Scripted};
use portico_tests::{Echo, Ingress, Portico, Service};

use crate::portico;
use crate::site::{one, simple, simple_with};

async fn send(portico: &Portico, call: Call) -> Answer {
    call.host("a.test").to(portico.http()).await.unwrap()
}

fn forwarded(answer: &Answer) -> [Option<String>; 5] {
    ["x-forwarded-for", "x-real-ip", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port"]
        .map(|field| answer.received_header(field))
}

fn some(values: [&str; 5]) -> [Option<String>; 5] {
    values.map(|value| Some(value.to_owned()))
}

const LIES: [(&str, &str); 9] = [
    ("x-forwarded-for", "1.1.1.1"),
    ("x-forwarded-for", "2.2.2.2"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-port", "1"),
    ("x-forwarded-prefix", "/evil"),
    ("x-real-ip", "1.1.1.1"),
    ("forwarded", "for=1.1.1.1"),
    ("x-request-id", "mine"),
];

fn lying() -> Call {
    LIES.iter().fold(Call::get("/"), |call, (name, value)| call.header(name, value))
}

#[tokio::test]
async fn forwarded_fields_are_rebuilt_for_untrusted_clients() {
    let (_echo, portico) = simple().await;
    let port = portico.http().port().to_string();
    for call in [Call::get("/"), lying()] {
        let answer = send(&portico, call).await;
        assert_eq!(forwarded(&answer), some(["127.0.0.1", "127.0.0.1", "http", "a.test", &port]), "{answer}");
        assert_eq!(answer.received_header("x-forwarded-prefix"), None);
        assert_eq!(answer.received_header("forwarded"), None);
        assert_ne!(answer.received_header("x-request-id").as_deref(), Some("mine"));
    }
    let call = lying().host("a.test");
    let answer = call.to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
    let port = portico.https().port().to_string();
    assert_eq!(forwarded(&answer), some(["127.0.0.1", "127.0.0.1", "https", "a.test", &port]), "{answer}");
}

#[tokio::test]
async fn trusted_proxies_are_believed_and_appended_to() {
    let (_echo, portico) = simple_with(&["--trusted-proxies", "10.0.0.0/8,127.0.0.2/32"]).await;
    let trusted: IpAddr = "127.0.0.2".parse().unwrap();
    let answer = send(&portico, lying().from(trusted)).await;
    assert_eq!(
        forwarded(&answer),
        some(["1.1.1.1, 2.2.2.2, 127.0.0.2", "1.1.1.1", "https", "evil.test", "1"]),
        "{answer}"
    );
    assert_eq!(answer.received_header("x-request-id").as_deref(), Some("mine"));
    assert_eq!(send(&portico, lying()).await.received_header("x-real-ip").as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_request_id_is_made_sent_and_returned() {
    let (_echo, portico) = simple().await;
    let (one, two) = (send(&portico, Call::get("/")).await, send(&portico, Call::get("/")).await);
    let id = |answer: &Answer| answer.received_header("x-request-id").expect("an id");
    assert!(id(&one).len() >= 16 && id(&one) != id(&two));
    // An error that we answer ourselves names it, too.
    let error = get(portico.http(), "nobody.test", "/").await.unwrap();
    let named = error.header("x-request-id").expect("an id");
    assert!(error.text().contains(named), "{error}");
}

#[tokio::test]
async fn hop_by_hop_fields_are_removed_from_requests() {
    let (_echo, portico) = simple().await;
    let call = Call::get("/")
        .header("connection", "keep-alive, X-Mine, x-forwarded-for, host")
        .header("x-mine", "1")
        .header("keep-alive", "timeout=5")
        .header("proxy-connection", "keep-alive")
        .header("proxy-authorization", "Basic eDp5")
        .header("te", "gzip, trailers;q=0.5")
        .header("trailer", "x")
        .header("upgrade", "h2c")
        .header("x-kept", "1");
    let answer = send(&portico, call).await;
    for gone in
        ["x-mine", "keep-alive", "proxy-connection", "proxy-authorization", "trailer", "upgrade", "http2-settings"]
    {
        assert_eq!(answer.received_header(gone), None, "{gone}");
    }
    assert_eq!(answer.received_header("x-kept").as_deref(), Some("1"));
    // What a client may not take away.
    assert_eq!(answer.received_header("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(answer.received_header("host").as_deref(), Some("a.test"));
    let trailers = send(&portico, Call::get("/").header("te", "trailers")).await;
    assert_eq!(trailers.received_header("te").as_deref(), Some("trailers"));
}

#[tokio::test]
async fn hop_by_hop_fields_are_removed_from_responses() {
    let raw = Scripted::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Mine\r\nX-Mine: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-Kept: 1\r\nX-Kept: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\nok",
    )
    .await;
    let portico = portico().manifests(one(raw.address)).start().await;
    let answer = send(&portico, Call::get("/")).await;
    for gone in ["x-mine", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{gone}: {answer}");
    }
    for (field, count) in [("x-kept", 2), ("set-cookie", 2)] {
        assert_eq!(answer.headers.get_all(field).iter().count(), count, "{field}: {answer}");
    }
}

#[tokio::test]
async fn underscored_fields_are_dropped_unless_allowed() {
    for (flags, expected) in [(&[][..], None), (&["--allow-underscores"], Some("1"))] {
        let (_echo, portico) = simple_with(flags).await;
        let answer = send(&portico, Call::get("/").header("x_forwarded_for", "1")).await;
        assert_eq!(answer.received_header("x_forwarded_for").as_deref(), expected);
    }
}

#[tokio::test]
async fn date_and_server_are_added_only_when_missing() {
    let silent = Scripted::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
    let portico = portico().manifests(one(silent.address)).start().await;
    let answer = send(&portico, Call::get("/")).await;
    assert_eq!(answer.header("server"), Some("portico"), "{answer}");
    assert!(answer.header("date").is_some(), "{answer}");
    let said = Scripted::answering(
        "HTTP/1.1 200 OK\r\nServer: its-own\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 2\r\n\r\nok",
    )
    .await;
    portico.apply(one(said.address));
    portico_tests::wait_until("the other upstream", async || {
        let answer = send(&portico, Call::get("/")).await;
        let both = (answer.header("server"), answer.header("date"));
        if both == (Some("its-own"), Some("Sun, 06 Nov 1994 08:49:37 GMT")) { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_request_that_went_round_too_often_is_508() {
    let (echo, portico) = simple().await;
    let answer = send(&portico, Call::get("/")).await;
    assert_eq!(answer.received_header("portico-hops").as_deref(), Some("1"));
    let answer = send(&portico, Call::get("/").header("portico-hops", "9")).await;
    assert_eq!(answer.received_header("portico-hops").as_deref(), Some("10"));
    let seen = echo.requests();
    for hops in ["10", "999999999999", "x"] {
        assert_eq!(send(&portico, Call::get("/").header("portico-hops", hops)).await.status, 508, "{hops}");
    }
    assert_eq!(echo.requests(), seen);
}

/// A Service whose endpoint is Portico's own address: the request goes round and ends.
#[tokio::test]
async fn a_loop_through_ourselves_ends() {
    let (_echo, portico) = simple_with(&["--max-hops", "3"]).await;
    portico.apply([
        Ingress::new("loop").host("loop.test", "loop").to_string(),
        Service::new("loop").with(&[portico.http()]),
    ]);
    portico.answers_status("loop.test", "/", 508).await;
}

#[tokio::test]
async fn errors_are_text_or_json_and_name_the_request() {
    let (_echo, portico) = simple().await;
    let text = Call::get("/").host("nobody.test").header("accept", "text/html").to(portico.http()).await.unwrap();
    assert_eq!(text.status, 404);
    assert!(text.header("content-type").unwrap().starts_with("text/plain"), "{text}");
    let json =
        Call::get("/").host("nobody.test").header("accept", "application/json").to(portico.http()).await.unwrap();
    assert_eq!((json.status, json.header("content-type")), (404, Some("application/json")), "{json}");
    assert_eq!(json.json()["status"], 404);
    assert_eq!(json.json()["request_id"], json.header("x-request-id").unwrap());
    // Nothing about the cluster is told.
    for answer in [&text, &json] {
        assert!(!answer.text().contains("default") && !answer.text().contains("web"), "{answer}");
    }
}

#[tokio::test]
async fn grpc_callers_get_a_grpc_status() {
    let refusing = Refusing::new();
    let silent = Scripted::silent().await;
    let documents = [
        Ingress::new("web").host("none.test", "none").host("dead.test", "dead").to_string(),
        // A stream may be silent for long before it begins to answer, unless its Ingress says how long.
        Ingress::new("slow").annotation("portico.dev/request-timeout", "300ms").host("slow.test", "slow").to_string(),
        Service::new("none").to_string(),
        Service::new("dead").with(&[refusing.address]),
        Service::new("slow").with(&[silent.address]),
    ];
    let portico = portico().manifests(documents).start().await;
    for (host, expected) in [("nobody.test", "12"), ("none.test", "14"), ("dead.test", "14"), ("slow.test", "4")] {
        let call = Call::post("/svc/Method", "").host(host).header("content-type", "application/grpc").http2();
        let answer = call.to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
        assert_eq!((answer.status, answer.header("grpc-status")), (200, Some(expected)), "{host}: {answer}");
        assert_eq!(answer.header("content-type"), Some("application/grpc"), "{host}");
        assert!(answer.body.is_empty());
    }
}

#[tokio::test]
async fn statuses_of_upstream_failures() {
    let refusing = Refusing::new();
    let (resetting, garbage) = (Scripted::resetting().await, Scripted::answering_once("SSH-2.0-nobody\r\n\r\n").await);
    let empty = Scripted::answering_once("").await;
    let names = [
        ("dead", refusing.address),
        ("reset", resetting.address),
        ("garbage", garbage.address),
        ("empty", empty.address),
    ];
    let ingress = names.iter().fold(Ingress::new("web"), |it, (name, _)| it.host(&format!("{name}.test"), name));
    let services = names.iter().map(|(name, address)| Service::new(name).with(&[*address]));
    let portico = portico().manifests([ingress.to_string()].into_iter().chain(services)).start().await;
    for (name, _) in names {
        let answer = Call::post("/", "body").host(&format!("{name}.test")).to(portico.http()).await.unwrap();
        assert_eq!(answer.status, 502, "{name}: {answer}");
        // A later request on the same process finds everything in order.
        assert_eq!(get(portico.http(), "nobody.test", "/").await.unwrap().status, 404);
    }
}

#[tokio::test]
async fn local_methods() {
    let (echo, portico) = simple().await;
    for (method, status) in [("TRACE", 405), ("OPTIONS", 200), ("PROPFIND", 200), ("DELETE", 200)] {
        let answer = send(&portico, Call::new(method, "/")).await;
        assert_eq!(answer.status, status, "{method}: {answer}");
    }
    assert_eq!(echo.requests(), 3);
}

/// Cookies that HTTP/2 split arrive as one field.
#[tokio::test]
async fn cookie_crumbs_are_joined() {
    let echo = Echo::start("web").await;
    let portico = portico().manifests(one(echo.address)).start().await;
    let call = Call::get("/").host("a.test").http2().header("cookie", "a=1").header("cookie", "b=2");
    let answer = call.to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
    assert_eq!(answer.received_header("cookie").as_deref(), Some("a=1; b=2"));
}
