//! What a run was made on and with, for people who read its tables later.

use std::fmt::Write as _;
use std::fs;

use anyhow::Result;

use crate::args::Settings;
use crate::process;

/// A page of Markdown.
pub(crate) async fn describe(settings: &Settings, arguments: &[String]) -> Result<String> {
    let mut page = String::from("# Setup\n\n| what | which |\n|---|---|\n");
    let mut row = |what: &str, which: &str| writeln!(page, "| {what} | {} |", which.trim());
    row("date", &said(settings, "date -u '+%Y-%m-%d %H:%M UTC'").await?)?;
    row("kernel", &said(settings, "uname -srm").await?)?;
    row("processors", &processors()?)?;
    row("memory", &memory()?)?;
    row(
        "checkout",
        &said(settings, "git -C \"$BENCH\" describe --always --dirty --abbrev=12 2>/dev/null || echo unknown").await?,
    )?;
    for kind in &settings.peers {
        row(kind.name(), &kind.version(settings).await?)?;
    }
    row("wrk", &said(settings, "wrk -v 2>&1 | head -n 1 | cut -d ' ' -f 1-3").await?)?;
    row("h2load", &said(settings, "h2load --version").await?)?;
    row("oha", &said(settings, "\"$CACHE/oha\" --version").await?)?;
    row("OpenSSL of nginx, HAProxy, wrk, h2load", &said(settings, "openssl version | cut -d ' ' -f 1-2").await?)?;
    row("proxies on processor", &settings.proxy_cpu)?;
    row("drivers and backends on", &settings.load_cpu)?;
    row("hosts in Portico's table", &settings.hosts.to_string())?;
    row("rounds", &format!("{} of {} s", settings.rounds, settings.seconds))?;
    row("idle connections", &format!("{}, after {} s", settings.idle_connections, settings.idle_seconds))?;
    row("flags", &flags(arguments))?;
    row("load of the machine before", &fs::read_to_string("/proc/loadavg")?)?;
    Ok(page)
}

/// What people typed, without where things lie.
fn flags(arguments: &[String]) -> String {
    let mut shown = Vec::new();
    let mut rest = arguments.iter();
    while let Some(flag) = rest.next() {
        if matches!(flag.as_str(), "--bench" | "--cache" | "--portico") {
            rest.next();
        } else {
            shown.push(flag.as_str());
        }
    }
    if shown.is_empty() { "none".to_owned() } else { format!("`{}`", shown.join(" ")) }
}

async fn said(settings: &Settings, script: &str) -> Result<String> {
    let script = format!("BENCH='{}' CACHE='{}'; {script}", settings.bench.display(), settings.cache.display());
    process::output(&settings.load_cpu, &["sh".to_owned(), "-c".to_owned(), script]).await
}

fn processors() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let models: Vec<_> = text.lines().filter(|line| line.starts_with("model name")).collect();
    let model = models.first().and_then(|line| line.split_once(": ")).map_or("unknown", |(_, model)| model);
    Ok(format!("{} x {model}", models.len()))
}

fn memory() -> Result<String> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes: u64 = kilobytes.and_then(|field| field.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or_default();
    Ok(format!("{} GiB", kilobytes >> 20))
}
