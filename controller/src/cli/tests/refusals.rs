//! What cannot run ends with 2 and one line that names the flag.

use portico_compile::Options;
use portico_dataplane::Config;
use portico_dataplane::config::{Limits, Upstream};

use super::parse;
use crate::cli::args::Command;
use crate::cli::{decide, one_line, settings};

fn refusal(words: &[&str]) -> String {
    let words = std::iter::once("portico").chain(words.iter().copied()).map(Into::into);
    match decide(words) {
        (2, Some(line)) => line,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_bad_flag_is_one_line() {
    for (flags, told) in [
        ("--htp [::]:1", "--http"),
        ("--http 8080", "--http"),
        ("--https [::]:99999", "--https"),
        ("--status x", "--status"),
        ("--admin :80", "--admin"),
        ("--workers 0", "--workers"),
        ("--workers two", "--workers"),
        ("--trusted-proxies 10.0.0.0/99", "--trusted-proxies"),
        ("--proxy-protocol-from lo", "--proxy-protocol-from"),
        ("--access-log xml", "json, text, off"),
        ("--log-level loud", "--log-level"),
        ("--log-format xml", "--log-format"),
        ("--default-backend-service web", "--default-backend-service"),
        ("--default-tls-secret web", "--default-tls-secret"),
        ("--host-ownership mine", "--host-ownership"),
        ("--https-redirect-port 0", "--https-redirect-port"),
        ("--hsts-max-age year", "--hsts-max-age"),
        ("--hsts-include-subdomains", "--hsts"),
        ("--balance random", "--balance"),
        ("--memory-limit 0", "--memory-limit"),
        ("--memory-refuse 80", "--memory-refuse"),
        ("--memory-accept-off 101", "--memory-accept-off"),
        ("--max-connections 999999999", "--max-connections"),
        ("--tls-handshakes-at-once 0", "--tls-handshakes-at-once"),
        ("--allow-local-external-names --no-external-names", "--no-external-names"),
        ("--tls-min-version 1.1", "1.2, 1.3"),
        ("--max-connections 0", "--max-connections"),
        ("--max-connections-per-client -1", "--max-connections-per-client"),
        ("--max-body-size 1X", "--max-body-size"),
        ("--max-head-size 0", "--max-head-size"),
        ("--max-head-size 1Gi", "--max-head-size"),
        ("--max-head-size 4Ki", "--max-target-size 8Ki exceeds --max-head-size 4Ki"),
        ("--max-header-fields many", "--max-header-fields"),
        ("--h2-stream-window 1", "--h2-stream-window"),
        ("--h2-connection-window 4Gi", "--h2-connection-window"),
        ("--request-head-timeout 0", "--request-head-timeout"),
        ("--keep-alive-timeout soon", "--keep-alive-timeout"),
        ("--drain-delay -1", "--drain-delay"),
        ("--upstream-connect-timeout 0s", "--upstream-connect-timeout"),
        ("--upstream-ca /nowhere/ca.pem", "--upstream-ca /nowhere/ca.pem"),
        ("--upstream-ca Cargo.toml", "no PEM certificate"),
        ("--retries -1", "--retries"),
        ("--retry-budget 120", "--retry-budget"),
        ("--eject-for 2m", "--eject-for 2m exceeds --eject-longest 1m"),
        ("--resolver dns.test", "--resolver"),
        ("--hold-off now", "--hold-off"),
        ("--http [::]:80 --status 127.0.0.1:80", "--http [::]:80 and --status 127.0.0.1:80 overlap"),
        ("--manifests /nowhere", "--manifests /nowhere"),
    ] {
        let words: Vec<_> = ["serve", "--manifests", "src"].into_iter().chain(flags.split(' ')).collect();
        let line = refusal(&words);
        assert!(line.contains(told) && !line.contains('\n'), "{flags}: {line}");
    }
}

#[test]
fn other_verbs_refuse_too() {
    for (words, told) in [
        (&["serve"][..], "--manifests"),
        (&["fly"], "fly"),
        (&["check", "/nowhere"], "/nowhere"),
        (&["routes", "/nowhere"], "/nowhere"),
        (&["explain", "hotel", "src"], "hotel"),
        (&["explain", "http://a.test/", "src", "-H", "no header"], "no header"),
        (&["explain", "http://a.test/", "src", "-X", "G T"], "G T"),
        (&["routes", "--admin", "ftp://a.test"], "ftp://a.test"),
        (&["completions", "dos"], "dos"),
    ] {
        let line = refusal(words);
        assert!(line.contains(told) && !line.contains('\n'), "{words:?}: {line}");
    }
}

#[test]
fn usage_errors_lose_their_page() {
    let rendered = "error: the following required arguments were not provided:\n  <URL>\n\nUsage: portico\n\nFor more";
    assert_eq!(one_line(rendered), "the following required arguments were not provided: <URL>");
    let rendered = "error: unexpected argument '--htp' found\n\n  tip: a similar argument exists: '--http'\n\nUsage: x";
    assert_eq!(one_line(rendered), "unexpected argument '--htp' found; a similar argument exists: '--http'");
}

#[test]
fn no_flag_is_the_documented_default() {
    let Command::Serve(args) = parse(&["serve", "--manifests", "src"]) else { panic!("not serve") };
    let settings = settings::serve(&args).unwrap();
    assert_eq!(settings.options, Options::default());
    let (got, default) = (&settings.dataplane, Config::default());
    // These three also depend on how many files may be open here.
    let Limits { connections, upstream_connections, .. } = got.limits;
    let limits = Limits { connections, upstream_connections, ..default.limits.clone() };
    let upstream = Upstream { idle_total: got.upstream.idle_total, ..default.upstream.clone() };
    assert!((1..=default.limits.connections).contains(&limits.connections));
    assert!(upstream.idle_total <= default.upstream.idle_total);
    assert_eq!(format!("{:?}", got.limits), format!("{limits:?}"));
    assert_eq!(format!("{:?}", got.timers), format!("{:?}", default.timers));
    assert_eq!(format!("{:?}", got.overload), format!("{:?}", default.overload));
    assert_eq!(format!("{:?}", got.tls), format!("{:?}", default.tls));
    assert_eq!(format!("{:?}", got.upstream), format!("{upstream:?}"));
    assert_eq!((got.drain_delay, got.drain_timeout), (default.drain_delay, default.drain_timeout));
    assert!((1..=16).contains(&got.workers));
    assert_eq!(got.bindings.iter().map(|binding| binding.tls).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn classes_are_judged_by_two_flags() {
    for (flags, without_class, by_name) in [
        (&[][..], true, true),
        (&["--strict-class"], false, false),
        (&["--strict-class", "--watch-ingress-without-class"], true, false),
    ] {
        let words: Vec<_> = ["check", "src"].into_iter().chain(flags.iter().copied()).collect();
        let Command::Check(args) = parse(&words) else { panic!("not check") };
        let options = settings::options(&args.ingress);
        assert_eq!((options.serve_without_class, options.class_by_name), (without_class, by_name), "{flags:?}");
    }
}
