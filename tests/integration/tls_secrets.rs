//! Certificates out of Secrets: every encoding of a key, and what happens when a Secret cannot be used.

use portico_tests::certificate::{Authority, Issued};
use portico_tests::client::{Call, Tls};
use portico_tests::manifest::raw_secret;
use portico_tests::{Ingress, Portico, secret, wait_until};
use serde_json::json;

use crate::site::Site;
use crate::tls::shown;

const TYPE: &str = "kubernetes.io/tls";

/// Serves `a.test` with TLS out of this Secret document, with a default certificate besides.
async fn serve(document: &str) -> (Site, Portico, Issued) {
    let site = Site::new(&["web"]).await;
    let fallback = Authority::default().issue(&["fallback.test"]);
    let ingress = Ingress::new("web").tls(&["a.test"], "cert").host("a.test", "web");
    let portico = site
        .setup([ingress.to_string(), secret("fallback", &fallback)])
        .file("cert.yaml", document)
        .args(&["--default-tls-secret", "default/fallback"])
        .start()
        .await;
    (site, portico, fallback)
}

/// The route is never dropped, whatever becomes of the certificate.
async fn still_routed(portico: &Portico) {
    let answer = Call::get("/").host("a.test").to_tls(portico.https(), &Tls::accepting_any()).await.unwrap();
    assert_eq!(answer.backend(), Some("web"), "{answer}");
    assert_eq!(Call::get("/").host("a.test").to(portico.http()).await.unwrap().backend(), Some("web"));
}

async fn usable(document: &str, issued: &Issued) {
    let (_site, portico, _) = serve(document).await;
    assert_eq!(&shown(&portico, "a.test").await, issued.leaf());
    still_routed(&portico).await;
}

#[tokio::test]
async fn rsa_and_ecdsa_keys_in_every_encoding() {
    let authority = Authority::default();
    let (rsa, ecdsa) = (authority.issue_rsa(&["a.test"]), authority.issue(&["a.test"]));
    for (issued, key) in
        [(&rsa, rsa.key_pem()), (&rsa, rsa.key_pkcs1_pem()), (&ecdsa, ecdsa.key_pem()), (&ecdsa, ecdsa.key_sec1_pem())]
    {
        usable(&raw_secret("cert", TYPE, &[("tls.crt", &issued.chain_pem()), ("tls.key", &key)]), issued).await;
    }
}

#[tokio::test]
async fn opaque_secrets_and_string_data_are_taken() {
    let issued = Authority::default().issue(&["a.test"]);
    let data = [("tls.crt", issued.chain_pem()), ("tls.key", issued.key_pem())];
    let borrowed: Vec<_> = data.iter().map(|(key, text)| (*key, text.as_str())).collect();
    usable(&raw_secret("cert", "Opaque", &borrowed), &issued).await;
    let strings = json!({
        "apiVersion": "v1", "kind": "Secret", "type": TYPE, "metadata": {"name": "cert"},
        "stringData": {"tls.crt": issued.chain_pem(), "tls.key": issued.key_pem()},
    });
    usable(&strings.to_string(), &issued).await;
}

/// The default certificate is shown, the route stays and a diagnostic of this code says why.
async fn unusable(document: &str, code: &str) {
    let (_site, portico, fallback) = serve(document).await;
    assert_eq!(&shown(&portico, "a.test").await, fallback.leaf(), "{code}");
    still_routed(&portico).await;
    portico.diagnostic(code).await;
}

#[tokio::test]
async fn a_missing_secret() {
    unusable("", "SecretNotFound").await;
}

#[tokio::test]
async fn a_secret_of_another_type_or_without_a_key() {
    let issued = Authority::default().issue(&["a.test"]);
    // An API server takes none of this type without both keys.
    unusable(&raw_secret("cert", TYPE, &[("tls.crt", &issued.chain_pem())]), "ObjectInvalid").await;
    unusable(&raw_secret("cert", "Opaque", &[("tls.crt", &issued.chain_pem())]), "SecretInvalid").await;
    let login = raw_secret("cert", "kubernetes.io/basic-auth", &[("username", "u"), ("password", "p")]);
    unusable(&login, "SecretInvalid").await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_parsed() {
    let issued = Authority::default().issue(&["a.test"]);
    for (certificate, key) in [
        ("no PEM".to_owned(), issued.key_pem()),
        (issued.chain_pem(), "no PEM".to_owned()),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned(), issued.key_pem()),
    ] {
        unusable(&raw_secret("cert", TYPE, &[("tls.crt", &certificate), ("tls.key", &key)]), "SecretInvalid").await;
    }
}

#[tokio::test]
async fn a_key_that_does_not_belong_to_the_leaf() {
    let authority = Authority::default();
    let (one, two) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let data = [("tls.crt", one.chain_pem()), ("tls.key", two.key_pem())];
    let data: Vec<_> = data.iter().map(|(key, text)| (*key, text.as_str())).collect();
    unusable(&raw_secret("cert", TYPE, &data), "SecretInvalid").await;
}

#[tokio::test]
async fn a_certificate_that_does_not_cover_the_host() {
    let other = Authority::default().issue(&["other.test"]);
    unusable(&secret("cert", &other), "CertificateMismatch").await;
}

/// An expired certificate is still the one that was asked for: it is served and flagged.
#[tokio::test]
async fn an_expired_certificate_is_served_and_flagged() {
    let expired = Authority::default().issue_expired(&["a.test"]);
    let (_site, portico, _) = serve(&secret("cert", &expired)).await;
    assert_eq!(&shown(&portico, "a.test").await, expired.leaf());
    portico.diagnostic("CertificateExpired").await;
}

#[tokio::test]
async fn a_bad_update_keeps_the_last_good_certificate() {
    let authority = Authority::default();
    let (good, next) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let (_site, portico, _) = serve(&secret("cert", &good)).await;
    assert_eq!(&shown(&portico, "a.test").await, good.leaf());
    portico.write("cert.yaml", &raw_secret("cert", TYPE, &[("tls.crt", &next.chain_pem()), ("tls.key", "x")]));
    portico.diagnostic("SecretInvalid").await;
    assert_eq!(&shown(&portico, "a.test").await, good.leaf());
    portico.write("cert.yaml", &secret("cert", &next));
    wait_until("the next certificate", async || {
        if &shown(&portico, "a.test").await == next.leaf() { Ok(()) } else { Err("another is shown") }
    })
    .await;
}

#[tokio::test]
async fn a_secret_that_appears_later_heals() {
    let issued = Authority::default().issue(&["a.test"]);
    let (_site, portico, fallback) = serve("").await;
    assert_eq!(&shown(&portico, "a.test").await, fallback.leaf());
    portico.write("cert.yaml", &secret("cert", &issued));
    wait_until("the certificate", async || {
        if &shown(&portico, "a.test").await == issued.leaf() { Ok(()) } else { Err("the default is shown") }
    })
    .await;
}

#[tokio::test]
async fn secrets_of_another_namespace_are_not_used() {
    let issued = Authority::default().issue(&["a.test"]);
    let document = secret("cert", &issued).replace("\"namespace\": \"default\"", "\"namespace\": \"other\"");
    unusable(&document, "SecretNotFound").await;
}

#[tokio::test]
async fn the_oldest_ingress_of_a_host_owns_its_certificate() {
    let authority = Authority::default();
    let site = Site::new(&["web"]).await;
    let (old, young) = (authority.issue(&["a.test"]), authority.issue(&["a.test"]));
    let ingress = |name: &str, year: &str, path: &str| {
        let created = format!("{year}-01-01T00:00:00Z");
        let ingress = Ingress::new(name).created(&created).tls(&["a.test"], name);
        ingress.path("a.test", portico_tests::manifest::Path::P, path, "web").to_string()
    };
    let portico = site
        .serve([
            ingress("young", "2025", "/young"),
            ingress("z-old", "2024", "/old"),
            secret("young", &young),
            secret("z-old", &old),
        ])
        .await;
    assert_eq!(&shown(&portico, "a.test").await, old.leaf());
    portico.diagnostic("HostConflict").await;
}

#[tokio::test]
async fn an_entry_without_secret_serves_the_default_certificate() {
    let site = Site::new(&["web"]).await;
    let fallback = Authority::default().issue(&["fallback.test"]);
    let documents =
        [Ingress::new("web").tls(&["a.test"], "").host("a.test", "web").to_string(), secret("fallback", &fallback)];
    let portico = site.setup(documents).args(&["--default-tls-secret", "default/fallback"]).start().await;
    assert_eq!(&shown(&portico, "a.test").await, fallback.leaf());
    still_routed(&portico).await;
}

/// Key material shows nowhere: not in answers, metrics or logs.
#[tokio::test]
async fn keys_are_printed_nowhere() {
    let issued = Authority::default().issue(&["a.test"]);
    let (_site, portico, _) = serve(&secret("cert", &issued)).await;
    portico.write("cert.yaml", &raw_secret("cert", TYPE, &[("tls.crt", "x"), ("tls.key", &issued.key_pem())]));
    portico.diagnostic("SecretInvalid").await;
    let pem = issued.key_pem();
    let canary = pem.lines().nth(1).expect("a key has lines");
    let mut texts = vec![portico.process.stderr(), portico.process.stdout()];
    for path in ["/routes", "/diagnostics", "/explain?url=https://a.test/"] {
        texts.push(portico.admin(path).await.text());
    }
    texts.push(portico.status("/metrics").await.text());
    for text in texts {
        assert!(!text.contains(canary) && !text.contains("PRIVATE KEY"), "{text}");
    }
}
