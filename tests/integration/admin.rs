//! The two ports beside the traffic: status for machines, admin for people who ask why.

use portico_tests::client::{Call, get};
use portico_tests::manifest::Path::{E, P};
use portico_tests::{Ingress, secret};

use crate::portico;
use crate::site::{Site, simple};

#[tokio::test]
async fn status_has_three_paths_and_nothing_else() {
    let (_echo, portico) = simple().await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = portico.status(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
    }
    for path in
        ["/", "/routes", "/explain?url=http://a.test/", "/diagnostics", "/metrics/../routes", "/healthz/x", "/debug"]
    {
        let answer = portico.status(path).await;
        assert_eq!(answer.status, 404, "{path}: {answer}");
    }
}

#[tokio::test]
async fn admin_has_three_paths_and_nothing_else() {
    let (_echo, portico) = simple().await;
    for path in ["/routes", "/explain?url=http://a.test/", "/diagnostics"] {
        let answer = portico.admin(path).await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
        assert!(answer.json().is_object(), "{path}: {answer}");
    }
    for path in ["/x", "/config", "/routes/x", "/../etc/passwd"] {
        assert_eq!(portico.admin(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn neither_changes_anything() {
    let (_echo, portico) = simple().await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for (address, path) in [(portico.addresses.status, "/healthz"), (portico.addresses.admin, "/routes")] {
            let answer = Call::new(method, path).host("localhost").to(address).await.unwrap();
            assert_eq!(answer.status, 405, "{method} {path}: {answer}");
        }
    }
    let answer = Call::new("HEAD", "/readyz").host("localhost").to(portico.addresses.status).await.unwrap();
    assert_eq!(answer.status, 200, "{answer}");
}

#[tokio::test]
async fn routes_show_hosts_upstreams_certificates_and_origins() {
    let site = Site::new(&["web"]).await;
    let certificate = portico_tests::certificate::Authority::default().issue(&["a.test"]);
    let ingress = Ingress::new("web").tls(&["a.test"], "cert").path("a.test", P, "/shop", "web");
    let portico = site.serve([ingress.to_string(), secret("cert", &certificate)]).await;
    let table = portico.admin("/routes").await.json();
    let host = &table["listeners"][0]["hosts"][0];
    assert_eq!((&host["host"], &host["certificate"]), (&"a.test".into(), &"default/cert".into()), "{table:#}");
    let route = &host["routes"][0];
    assert_eq!((&route["path"], &route["path_type"]), (&"/shop".into(), &"Prefix".into()));
    assert_eq!(route["origin"]["field"], "spec.rules[0].http.paths[0]", "{route:#}");
    assert!(route["origin"]["place"]["line"].is_u64(), "{route:#}");
    assert_eq!(table["upstreams"][0]["name"], "default/web:80");
    assert_eq!(table["upstreams"][0]["endpoints"][0], site.echoes[0].address.to_string());
    assert_eq!(table["certificates"][0]["names"][0], "a.test");
    assert!(!table.to_string().contains("PRIVATE"), "{table}");
}

#[tokio::test]
async fn explain_says_where_a_request_goes_and_what_it_beat() {
    let site = Site::new(&["web", "exact"]).await;
    let ingress = Ingress::new("web")
        .path("a.test", P, "/", "web")
        .path("a.test", E, "/x", "exact")
        .path("b.test", P, "/", "absent");
    let portico = site.serve([ingress]).await;
    let view = portico.admin("/explain?url=http%3A%2F%2Fa.test%2Fx&method=POST&header=X-A:%20b").await.json();
    assert_eq!((&view["served"], &view["method"]), (&true.into(), &"POST".into()), "{view:#}");
    assert_eq!(view["upstreams"][0]["name"], "default/exact:80");
    assert_eq!(view["beaten"].as_array().unwrap().len(), 1, "{view:#}");
    for (url, status) in [("http://nobody.test/", 404), ("http://b.test/", 503)] {
        let view = portico.admin(&format!("/explain?url={url}")).await.json();
        // The answer foretells what a request gets.
        assert_eq!(view["status"], status, "{url}: {view:#}");
        let host = url.split('/').nth(2).unwrap();
        assert_eq!(get(portico.http(), host, "/").await.unwrap().status, status, "{url}");
    }
    for path in ["/explain", "/explain?url=", "/explain?url=not-a-url"] {
        let answer = portico.admin(path).await;
        assert_eq!(answer.status, 400, "{path}: {answer}");
    }
}

#[tokio::test]
async fn both_answer_before_the_first_table_is_served() {
    let mut process = portico().spawn();
    let addresses = process.addresses().await;
    assert_eq!(get(addresses.status, "status", "/healthz").await.unwrap().status, 200);
    let ready = get(addresses.status, "status", "/readyz").await.unwrap();
    assert!(matches!(ready.status, 200 | 503), "{ready}");
}
