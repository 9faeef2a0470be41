//! Which rule takes a path: the rows of the table of path types, and the normal form in which paths are compared.

use portico_tests::client::{Raw, get};
use portico_tests::manifest::Path::{self, E, I, P};
use portico_tests::{Ingress, Portico};

use crate::site::Site;

/// Serves these rules on `a.test`, each with a backend of its own, and holds each request to the rule that must take it.
async fn row(rules: &[(Path, &str)], requests: &[(&str, Option<usize>)]) {
    let names: Vec<_> = (0..rules.len()).map(|number| format!("rule-{number}")).collect();
    let site = Site::new(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let ingress = rules
        .iter()
        .zip(&names)
        .fold(Ingress::new("row"), |ingress, ((kind, path), name)| ingress.path("a.test", *kind, path, name));
    let portico = site.serve([ingress]).await;
    for (path, rule) in requests {
        let answer = get(portico.http(), "a.test", path).await.unwrap();
        let expected = rule.map(|rule| names[rule].as_str());
        let status = if rule.is_some() { 200 } else { 404 };
        assert_eq!((answer.status, answer.backend()), (status, expected), "{rules:?} {path}: {answer}");
    }
}

const YES: Option<usize> = Some(0);
const NO: Option<usize> = None;

#[tokio::test]
async fn prefix_root_matches_everything() {
    row(&[(P, "/")], &[("/", YES), ("/foo", YES), ("/foo/bar/", YES), ("//", YES), ("/?q=1", YES)]).await;
}

#[tokio::test]
async fn exact_foo() {
    row(&[(E, "/foo")], &[("/foo", YES), ("/foo/", NO), ("/FOO", NO), ("/bar", NO), ("/foo?x=/bar", YES)]).await;
}

#[tokio::test]
async fn exact_foo_slash() {
    row(&[(E, "/foo/")], &[("/foo", NO), ("/foo/", YES)]).await;
}

#[tokio::test]
async fn prefix_foo() {
    row(&[(P, "/foo")], &[("/foo", YES), ("/foo/", YES), ("/FOO", NO)]).await;
}

#[tokio::test]
async fn prefix_foo_slash() {
    row(&[(P, "/foo/")], &[("/foo", YES), ("/foo/", YES), ("/foo/x", YES), ("/foox", NO)]).await;
}

#[tokio::test]
async fn prefix_is_by_element() {
    row(&[(P, "/aaa/bb")], &[("/aaa/bbb", NO), ("/aaa/bb", YES), ("/aaa/bb/b", YES)]).await;
}

#[tokio::test]
async fn prefix_with_two_elements() {
    let requests = [("/aaa/bbb", YES), ("/aaa/bbb/", YES), ("/aaa/bbb/ccc", YES), ("/aaa/bbbxyz", NO)];
    row(&[(P, "/aaa/bbb")], &requests).await;
    row(&[(P, "/aaa/bbb/")], &requests).await;
}

#[tokio::test]
async fn longer_prefix_wins_over_root() {
    row(&[(P, "/"), (P, "/aaa")], &[("/aaa/ccc", Some(1)), ("/aaab", Some(0))]).await;
}

#[tokio::test]
async fn longest_of_three_prefixes_wins() {
    row(
        &[(P, "/"), (P, "/aaa"), (P, "/aaa/bbb")],
        &[("/aaa/bbb", Some(2)), ("/aaa/bbb/c", Some(2)), ("/aaa/b", Some(1)), ("/ccc", Some(0))],
    )
    .await;
}

#[tokio::test]
async fn a_path_that_no_rule_takes_is_404() {
    row(&[(P, "/aaa")], &[("/ccc", NO), ("/", NO)]).await;
}

#[tokio::test]
async fn exact_beats_prefix() {
    row(&[(P, "/foo"), (E, "/foo")], &[("/foo", Some(1)), ("/foo/", Some(0)), ("/foo/x", Some(0))]).await;
}

#[tokio::test]
async fn exact_beats_the_longer_prefix_with_slash() {
    row(&[(P, "/foo/"), (E, "/foo")], &[("/foo", Some(1)), ("/foo/", Some(0))]).await;
}

#[tokio::test]
async fn of_prefixes_with_and_without_slash_the_longer_wins() {
    row(&[(P, "/foo"), (P, "/foo/")], &[("/foo", Some(1)), ("/foo/x", Some(1)), ("/foo/", Some(1))]).await;
}

#[tokio::test]
async fn implementation_specific_is_a_prefix_that_loses_to_prefix() {
    row(&[(I, "/foo")], &[("/foo", YES), ("/foo/x", YES), ("/foox", NO)]).await;
    row(&[(I, "/foo"), (P, "/foo")], &[("/foo", Some(1)), ("/foo/x", Some(1))]).await;
    row(&[(I, "")], &[("/", YES), ("/x", YES)]).await;
}

#[tokio::test]
async fn braces_and_stars_in_rules_are_plain_characters() {
    row(&[(I, "/{id}"), (I, "/*"), (P, "/:x")], &[("/a", NO), ("/*/b", Some(1)), ("/:x", Some(2))]).await;
}

async fn normal() -> (Site, Portico) {
    let site = Site::new(&["admin", "rest", "slash"]).await;
    let ingress = Ingress::new("normal")
        .path("a.test", E, "/admin", "admin")
        .path("a.test", P, "/a%20b", "slash")
        .path("a.test", P, "/", "rest");
    let portico = site.serve([ingress]).await;
    (site, portico)
}

/// The raw target is sent as it stands; the backend must see exactly what was matched.
#[tokio::test]
async fn the_same_normal_form_is_matched_and_forwarded() {
    let (_site, portico) = normal().await;
    for (sent, backend, seen) in [
        ("/%61dmin", "admin", "/admin"),
        ("/x/../admin", "admin", "/admin"),
        ("/x/%2e%2E/admin", "admin", "/admin"),
        ("/./admin", "admin", "/admin"),
        ("/a//b", "rest", "/a//b"),
        ("//admin", "rest", "//admin"),
        ("/a%2fb", "rest", "/a%2Fb"),
        ("/a%5cb", "rest", "/a%5Cb"),
        ("/a/b/..", "rest", "/a/"),
        ("/a%20b/c", "slash", "/a%20b/c"),
        ("/%7Eme", "rest", "/~me"),
        ("/x;v=1", "rest", "/x;v=1"),
        ("/caf%c3%a9", "rest", "/caf%C3%A9"),
    ] {
        let mut raw = Raw::connect(portico.http()).await;
        let request = format!("GET {sent} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let answer = raw.send(request).await.answer().await;
        assert_eq!((answer.status, answer.header("x-echo-backend")), (200, Some(backend)), "{sent}: {answer:?}");
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(json["path"], seen, "{sent}");
    }
}

#[tokio::test]
async fn the_query_is_forwarded_untouched() {
    let (_site, portico) = normal().await;
    let mut changed = Vec::new();
    for query in ["", "a=%61&b=../x", "{}", "|", "^", "\\", "`", "a?b", "%zz", "caf\u{e9}"] {
        let mut raw = Raw::connect(portico.http()).await;
        let request = format!("GET /q?{query} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
        let answer = raw.send(request).await.answer().await;
        if answer.status != 200 {
            changed.push(format!("{query}: {}", answer.status));
            continue;
        }
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        if (json["path"].as_str(), json["query"].as_str()) != (Some("/q"), Some(query)) {
            changed.push(format!("{query}: {json}"));
        }
    }
    assert!(changed.is_empty(), "{changed:#?}");
}

#[tokio::test]
async fn paths_that_servers_read_differently_are_400() {
    let (site, portico) = normal().await;
    let mut passed = Vec::new();
    for path in [
        "/..",
        "/a/../../b",
        "/%2e%2e",
        "/..;/admin",
        "/%zz",
        "/%",
        "/%00",
        "/a%0d%0ab",
        "/a\\b",
        "/a\"b",
        "/{x}",
        "/a|b",
        "/a^b",
        "/caf\u{e9}",
        "admin",
    ] {
        let mut raw = Raw::connect(portico.http()).await;
        let answer = raw.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).await.answer().await;
        if answer.status != 400 {
            passed.push(format!("{path}: {}", answer.status));
        }
    }
    assert!(passed.is_empty(), "{passed:#?}");
    assert!(site.echoes.iter().all(|echo| echo.requests() == 0));
}
