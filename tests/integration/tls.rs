//! TLS as clients meet it: which certificate, which versions, what follows from having it.

use portico_tests::certificate::{Authority, CertificateDer, Issued, dns_names};
use portico_tests::client::{Answer, Call, Connection, Tls, leaf};
use portico_tests::manifest::Path::P;
use portico_tests::{Ingress, Portico, secret, wait_until};

use crate::site::{Site, simple, simple_with};

/// The certificate shown for a name; an address stands for no name.
pub(crate) async fn shown(portico: &Portico, name: &str) -> CertificateDer<'static> {
    let stream = Tls::accepting_any().connect(portico.https(), name).await.unwrap();
    leaf(&stream).expect("TLS shows a certificate")
}

async fn https(portico: &Portico, host: &str, path: &str) -> Answer {
    Call::get(path).host(host).to_tls(portico.https(), &Tls::accepting_any()).await.unwrap()
}

const NO_NAME: &str = "127.0.0.1";

struct Certified {
    site: Site,
    authority: Authority,
    exact: Issued,
    wild: Issued,
    scanned: Issued,
    fallback: Issued,
}

/// One Ingress with an exact and a wildcard entry and one without hosts, and a default certificate.
async fn certified() -> (Certified, Portico) {
    let authority = Authority::default();
    let it = Certified {
        site: Site::new(&["web"]).await,
        exact: authority.issue(&["a.test"]),
        wild: authority.issue(&["*.wild.test", "a.test"]),
        scanned: authority.issue(&["scanned.test", "*.scan.test"]),
        fallback: authority.issue(&["fallback.test"]),
        authority,
    };
    let ingress = Ingress::new("web")
        .tls(&["a.test"], "exact")
        .tls(&["*.wild.test"], "wild")
        .tls(&[], "scanned")
        .host("a.test", "web")
        .host("*.wild.test", "web")
        .host("scanned.test", "web")
        .host("x.scan.test", "web")
        .host("bare.test", "web");
    let documents = [
        ingress.to_string(),
        secret("exact", &it.exact),
        secret("wild", &it.wild),
        secret("scanned", &it.scanned),
        secret("fallback", &it.fallback),
    ];
    let portico = it.site.setup(documents).args(&["--default-tls-secret", "default/fallback"]).start().await;
    (it, portico)
}

#[tokio::test]
async fn selection_by_server_name() {
    let (it, portico) = certified().await;
    for (name, expected) in [
        ("a.test", &it.exact),
        ("A.TEST", &it.exact),
        ("b.wild.test", &it.wild),
        ("scanned.test", &it.scanned),
        ("x.scan.test", &it.scanned),
        ("c.b.wild.test", &it.fallback),
        ("bare.test", &it.fallback),
        ("unknown.test", &it.fallback),
        (NO_NAME, &it.fallback),
    ] {
        assert_eq!(&shown(&portico, name).await, expected.leaf(), "{name}");
    }
    // The whole chain is sent: a client that knows only the authority can verify it.
    let answer = Call::get("/").host("b.wild.test").to_tls(portico.https(), &Tls::trusting(&it.authority)).await;
    assert_eq!(answer.unwrap().backend(), Some("web"));
    assert_eq!(it.site.echoes[0].requests(), 1);
}

#[tokio::test]
async fn without_a_default_certificate_a_self_signed_one_is_shown() {
    let (_echo, portico) = simple().await;
    for name in [NO_NAME, "a.test", "unknown.test"] {
        // It must name somebody: some clients look at the first DNS name without asking whether there is one.
        assert!(!dns_names(&shown(&portico, name).await).is_empty(), "{name}");
        let answer = https(&portico, "a.test", "/").await;
        assert_eq!(answer.backend(), Some("web"));
    }
}

#[tokio::test]
async fn server_name_picks_the_certificate_and_host_picks_the_route() {
    let (it, portico) = certified().await;
    let stream = Tls::accepting_any().connect(portico.https(), "a.test").await.unwrap();
    assert_eq!(leaf(&stream).as_ref(), Some(it.exact.leaf()));
    let mut connection = Connection::http1(stream).await.unwrap();
    for (host, status) in [("bare.test", 200), ("b.wild.test", 200), ("nobody.test", 404)] {
        let answer = connection.send(Call::get("/").host(host).request()).await.unwrap();
        assert_eq!(answer.status, status, "{host}: {answer}");
    }
}

#[tokio::test]
async fn strict_sni_refuses_unknown_names_and_misdirected_requests() {
    let authority = Authority::default();
    let site = Site::new(&["web"]).await;
    let documents = [
        Ingress::new("a").tls(&["a.test"], "a").host("a.test", "web").to_string(),
        Ingress::new("b").tls(&["b.test"], "b").host("b.test", "web").to_string(),
        secret("a", &authority.issue(&["a.test"])),
        secret("b", &authority.issue(&["b.test"])),
    ];
    let portico = site.setup(documents).args(&["--strict-sni"]).start().await;
    let any = Tls::accepting_any();
    assert!(any.connect(portico.https(), "unknown.test").await.is_err());
    let mut connection = Connection::http1(any.connect(portico.https(), "a.test").await.unwrap()).await.unwrap();
    for (host, status) in [("a.test", 200), ("b.test", 421)] {
        let answer = connection.send(Call::get("/").host(host).request()).await.unwrap();
        assert_eq!(answer.status, status, "{host}: {answer}");
    }
}

#[tokio::test]
async fn alpn_offers_both_and_takes_clients_without() {
    let (_echo, portico) = simple().await;
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some(&b"h2"[..])),
        (&["http/1.1"], Some(b"http/1.1")),
        (&["h2"], Some(b"h2")),
        (&[], None),
    ] {
        let stream = Tls::accepting_any().alpn(offered).connect(portico.https(), "a.test").await.unwrap();
        assert_eq!(stream.alpn(), agreed, "{offered:?}");
    }
}

#[tokio::test]
async fn versions_1_2_and_1_3_and_the_flag_for_the_oldest() {
    let (_echo, both) = simple().await;
    let (_other, newest) = simple_with(&["--tls-min-version", "1.3"]).await;
    let (old, new) = (Tls::version_1_2(), Tls::version_1_3());
    for (portico, tls, taken) in
        [(&both, &old, true), (&both, &new, true), (&newest, &old, false), (&newest, &new, true)]
    {
        assert_eq!(tls.connect(portico.https(), "a.test").await.is_ok(), taken);
    }
}

#[tokio::test]
async fn cipher_suites_by_flag() {
    let suite = "TLS_CHACHA20_POLY1305_SHA256";
    let (_echo, portico) = simple_with(&["--tls-cipher-suites", suite]).await;
    assert!(Tls::version_1_2().connect(portico.https(), "a.test").await.is_err());
    assert_eq!(https(&portico, "a.test", "/").await.backend(), Some("web"));
}

/// Post-quantum key exchange is offered: a client that can do nothing else gets through.
#[tokio::test]
async fn x25519mlkem768_is_offered() {
    let (_echo, portico) = simple().await;
    let stream = Tls::post_quantum_only().connect(portico.https(), "a.test").await.unwrap();
    let mut connection = Connection::http1(stream).await.unwrap();
    assert_eq!(connection.send(Call::get("/").host("a.test").request()).await.unwrap().status, 200);
}

/// Sessions resume on every worker: ticket keys are shared.
#[tokio::test]
async fn sessions_resume_across_workers() {
    let site = Site::new(&["web"]).await;
    let portico = site.setup([Ingress::new("web").host("a.test", "web")]).workers(4).start().await;
    for (version, tls) in [("1.2", Tls::version_1_2()), ("1.3", Tls::version_1_3())] {
        for attempt in 0..12 {
            let stream = tls.connect(portico.https(), "a.test").await.unwrap();
            let resumed = Tls::resumed(&stream);
            // Reading an answer takes in the ticket, too.
            let mut connection = Connection::http1(stream).await.unwrap();
            assert_eq!(connection.send(Call::get("/").host("a.test").request()).await.unwrap().status, 200);
            assert_eq!(resumed, attempt > 0, "{version} attempt {attempt}");
        }
    }
}

#[tokio::test]
async fn a_new_certificate_is_swapped_in_without_dropping_a_connection() {
    let authority = Authority::default();
    let site = Site::new(&["web"]).await;
    let (old, new) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let ingress = Ingress::new("web").tls(&["a.test"], "cert").host("a.test", "web");
    let portico = site.setup([ingress]).file("cert.yaml", &secret("cert", &old)).start().await;
    let stream = Tls::accepting_any().connect(portico.https(), "a.test").await.unwrap();
    let mut h1 = Connection::http1(stream).await.unwrap();
    let mut h2 = Connection::tls_http2(portico.https(), &Tls::accepting_any(), "a.test").await.unwrap();
    assert_eq!(&shown(&portico, "a.test").await, old.leaf());
    portico.write("cert.yaml", &secret("cert", &new));
    wait_until("the new certificate", async || {
        if &shown(&portico, "a.test").await == new.leaf() { Ok(()) } else { Err("the old one is shown") }
    })
    .await;
    assert_eq!(h1.send(Call::get("/").host("a.test").request()).await.unwrap().status, 200);
    assert_eq!(h2.send(Call::get("/").host("a.test").http2().request()).await.unwrap().status, 200);
}

#[tokio::test]
async fn tls_implies_no_redirect() {
    let (_it, portico) = certified().await;
    let answer = Call::get("/").host("a.test").to(portico.http()).await.unwrap();
    assert_eq!(answer.backend(), Some("web"), "{answer}");
    assert_eq!(answer.header("strict-transport-security"), None);
}

#[tokio::test]
async fn https_redirect_by_flag_and_by_annotation() {
    let authority = Authority::default();
    let site = Site::new(&["web"]).await;
    let certificate = secret("cert", &authority.issue(&["a.test"]));
    let ingress = Ingress::new("web").tls(&["a.test"], "cert").host("a.test", "web").host("bare.test", "web");
    let annotated = ingress.clone().annotation("portico.dev/https-redirect", "true");
    let by_flag = site.setup([ingress.to_string(), certificate.clone()]).args(&["--https-redirect"]).start().await;
    let by_annotation = site.serve([annotated.to_string(), certificate]).await;
    for portico in [&by_flag, &by_annotation] {
        let answer = Call::post("/x?y=1", "body").host("a.test:8080").to(portico.http()).await.unwrap();
        assert_eq!((answer.status, answer.header("location")), (308, Some("https://a.test/x?y=1")), "{answer}");
        // Over TLS it is served; no loop.
        assert_eq!(https(portico, "a.test", "/x").await.backend(), Some("web"));
    }
    // A host without TLS is never redirected by the flag.
    let answer = Call::get("/").host("bare.test").to(by_flag.http()).await.unwrap();
    assert_eq!(answer.status, 200, "{answer}");
}

#[tokio::test]
async fn the_redirect_names_another_port_when_told() {
    let authority = Authority::default();
    let site = Site::new(&["web"]).await;
    let documents = [
        Ingress::new("web").tls(&["a.test"], "cert").path("a.test", P, "/", "web").to_string(),
        secret("cert", &authority.issue(&["a.test"])),
    ];
    let flags = ["--https-redirect", "--https-redirect-port", "8443"];
    let portico = site.setup(documents).args(&flags).start().await;
    let answer =
        Call::get("/").host("a.test").header("x-forwarded-host", "evil.test").to(portico.http()).await.unwrap();
    assert_eq!((answer.status, answer.header("location")), (308, Some("https://a.test:8443/")), "{answer}");
}

#[tokio::test]
async fn hsts_over_https_only() {
    let (_echo, portico) = simple_with(&["--hsts", "--hsts-max-age", "300", "--hsts-include-subdomains"]).await;
    let secure = https(&portico, "a.test", "/").await;
    assert_eq!(secure.header("strict-transport-security"), Some("max-age=300; includeSubDomains"), "{secure}");
    let plain = Call::get("/").host("a.test").to(portico.http()).await.unwrap();
    assert_eq!(plain.header("strict-transport-security"), None, "{plain}");
}
