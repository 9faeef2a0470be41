//! Every group of flags: what it takes, what it makes of it, and that nothing is left without a variable.

use std::time::Duration;

use clap::FromArgMatches;
use portico_compile::Key;

use super::ingress::{BalanceArg, HostOwnershipArg};
use super::log::{AccessLogArg, LogFormat, LogLevel};
use super::tls::TlsVersionArg;
use super::*;

fn parse(line: &str) -> Result<Cli, String> {
    let words = std::iter::once("portico").chain(line.split_whitespace());
    command()
        .try_get_matches_from(words)
        .and_then(|matches| Cli::from_arg_matches(&matches))
        .map_err(|error| error.to_string())
}

fn serve(flags: &str) -> ServeArgs {
    match parse(&format!("serve --manifests m {flags}")).unwrap_or_else(|error| panic!("{error}")).command {
        Command::Serve(args) => *args,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_command_is_sound() {
    command().debug_assert();
}

#[test]
fn every_flag_of_serve_has_its_variable() {
    let command = command();
    let serve = command.find_subcommand("serve").unwrap();
    for flag in serve.get_arguments().filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version")) {
        let long = flag.get_long().unwrap_or_else(|| panic!("{} has no long name", flag.get_id()));
        let expected = format!("PORTICO_{}", long.replace('-', "_").to_ascii_uppercase());
        assert_eq!(flag.get_env().and_then(|name| name.to_str()), Some(expected.as_str()), "--{long}");
        assert!(flag.get_help().is_some() && flag.get_help_heading().is_some(), "--{long} has no help or heading");
    }
}

#[test]
fn source() {
    let args = serve("--manifests a b --hold-off 0");
    assert_eq!(args.source.manifests, ["m", "a", "b"].map(PathBuf::from));
    assert_eq!(args.source.hold_off, Pause(Duration::ZERO));
    assert_eq!(serve("").source.hold_off, Pause(Duration::from_millis(100)));
}

#[test]
fn cluster() {
    let Command::Serve(args) = parse("serve").expect("a cluster is the default").command else { unreachable!() };
    assert_eq!((args.source.manifests.len(), args.cluster.watch_namespace.len()), (0, 0));
    let line =
        "serve --watch-namespace a,b --publish-service portico/portico --publish-status-address 192.0.2.1,lb.test";
    let Command::Serve(args) = parse(line).unwrap_or_else(|error| panic!("{error}")).command else { unreachable!() };
    assert_eq!(args.cluster.watch_namespace, ["a", "b"]);
    assert_eq!(args.cluster.publish_service, Some(Key::new("portico", "portico")));
    let shown: Vec<_> = args.cluster.publish_status_address.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["192.0.2.1", "lb.test"]);
    for flags in
        ["--manifests m --kubeconfig k", "--manifests m --no-status", "--watch-namespace a --strict-class", "--lease"]
    {
        assert!(parse(&format!("serve {flags}")).is_err(), "{flags}");
    }
    serve("--pod-name p --pod-namespace n --node-name m --secret-refresh 10s");
}

#[test]
fn addresses() {
    let args = serve("").listen;
    let shown = [args.http, args.https, args.status, args.admin].map(|address| address.to_string());
    assert_eq!(shown, ["[::]:8080", "[::]:8443", "[::]:9090", "127.0.0.1:9091"]);
    assert_eq!(args.workers, None);
    assert!(!args.h2c && !args.preserve_header_case && !args.allow_underscores);
    let args = serve("--workers 4 --trusted-proxies 10.0.0.0/8,::1 --proxy-protocol-from 192.0.2.1 --h2c").listen;
    assert_eq!(args.workers, Some(4));
    assert_eq!(args.trusted_proxies.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    assert_eq!(args.proxy_protocol_from.len(), 1);
    assert!(args.h2c);
}

#[test]
fn ingress() {
    let args = serve("").ingress;
    assert_eq!((&*args.ingress_class, &*args.controller_name), ("portico", "portico.dev/ingress-controller"));
    assert_eq!((args.host_ownership, args.balance), (HostOwnershipArg::Shared, BalanceArg::LeastRequest));
    assert_eq!((args.https_redirect_port, args.hsts_max_age), (443, 31_536_000));
    let args = serve(
        "--default-backend-service web/site:80 --default-tls-secret web/tls --host-ownership namespace \
         --balance round-robin --hsts --hsts-include-subdomains --zone a --strict-class",
    )
    .ingress;
    assert_eq!(args.default_backend_service.and_then(|backend| backend.port), Some(80));
    assert_eq!(args.default_tls_secret.map(|key| key.to_string()).as_deref(), Some("web/tls"));
    assert_eq!((args.host_ownership, args.balance), (HostOwnershipArg::Namespace, BalanceArg::RoundRobin));
    assert!(args.hsts && args.hsts_include_subdomains && args.strict_class);
    assert_eq!(args.zone.as_deref(), Some("a"));
}

#[test]
fn tls() {
    assert_eq!(serve("").tls.tls_min_version, TlsVersionArg::V1_2);
    let args = serve("--tls-min-version 1.3 --tls-cipher-suites TLS13_AES_128_GCM_SHA256,X --strict-sni").tls;
    assert_eq!(args.tls_min_version, TlsVersionArg::V1_3);
    assert_eq!(args.tls_cipher_suites, ["TLS13_AES_128_GCM_SHA256", "X"]);
    assert!(args.strict_sni);
}

#[test]
fn limits() {
    let args = serve("--max-connections 10 --max-body-size 1Mi --max-head-size 64Ki --h2-max-streams 7").limits;
    assert_eq!(args.max_connections, Some(10));
    assert_eq!(args.max_body_size.map(|size| size.0), Some(1 << 20));
    assert_eq!((args.max_head_size.0, args.h2_max_streams), (65_536, 7));
    assert_eq!(serve("").limits.max_connections_per_client, None);
}

#[test]
fn timers() {
    let args = serve("--drain-delay 0 --keep-alive-timeout 90 --request-head-timeout 1500ms").timers;
    assert_eq!(args.drain_delay.0, Duration::ZERO);
    assert_eq!(args.park_after.0, Duration::from_secs(2));
    assert_eq!(args.keep_alive_timeout.0, Duration::from_secs(90));
    assert_eq!(args.request_head_timeout.0, Duration::from_millis(1500));
    assert_eq!(args.drain_timeout.0, Duration::from_secs(30));
}

#[test]
fn upstreams() {
    let args =
        serve("--retries 0 --retry-budget 50% --eject-after 0 --upstream-ca ca.pem --resolver 10.96.0.10").upstream;
    assert_eq!((args.retries, args.retry_budget.0, args.eject_after), (0, 50, 0));
    assert_eq!(args.upstream_ca, Some(PathBuf::from("ca.pem")));
    assert_eq!(args.resolver.map(|address| address.to_string()).as_deref(), Some("10.96.0.10:53"));
}

#[test]
fn logs() {
    let args = serve("").log;
    assert_eq!(
        (args.access_log, args.log_level, args.log_format),
        (AccessLogArg::Json, LogLevel::Info, LogFormat::Text)
    );
    let args = serve("--access-log off --log-level debug --log-format json").log;
    assert_eq!(
        (args.access_log, args.log_level, args.log_format),
        (AccessLogArg::Off, LogLevel::Debug, LogFormat::Json)
    );
}

#[test]
fn other_verbs() {
    let Command::Explain(args) =
        parse("explain http://a.test/ dir -X POST -H A:b -H C:d --format json --strict-class").unwrap().command
    else {
        panic!("not explain")
    };
    assert_eq!((args.method.as_str(), args.headers.len(), args.format), ("POST", 2, Format::Json));
    assert!(args.ingress.strict_class);
    for (line, told) in [
        ("explain http://a.test/", "PATH"),
        ("routes", "PATH"),
        ("check", "PATH"),
        ("routes dir --admin http://127.0.0.1:9091", "cannot be used with"),
    ] {
        assert!(parse(line).unwrap_err().contains(told), "{line}");
    }
    let Command::Routes(args) = parse("routes --admin http://127.0.0.1:9091").unwrap().command else {
        panic!("not routes")
    };
    assert!(args.admin.is_some() && args.paths.is_empty());
    assert!(matches!(parse("demo").unwrap().command, Command::Demo(_)));
    assert!(matches!(parse("completions bash").unwrap().command, Command::Completions { .. }));
}
