//! `portico demo`: starts by itself, and what it prints works as printed.

use std::process::Command;

use portico_tests::wait_until;

use crate::portico;

#[tokio::test]
async fn the_commands_it_prints_work_as_printed() {
    let demo = portico().spawn_verb(&["demo", "--http", "127.0.0.1:0", "--https", "127.0.0.1:0"]);
    let text = wait_until("its words", async || {
        let text = demo.stdout();
        if text.contains("Ctrl-C") { Ok(text) } else { Err(format!("{text}{}", demo.stderr())) }
    })
    .await;
    let commands: Vec<_> =
        text.lines().filter(|line| line.starts_with("curl ") || line.contains(" --admin ")).collect();
    assert!(commands.len() >= 6, "{text}");
    let mut seen = String::new();
    for command in commands {
        let output = Command::new("bash").args(["-c", command]).output().expect("bash can be run");
        let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {out}{error}");
        seen.push_str(&out);
    }
    for word in ["hotel-service", "restaurant-service", "404", "portico_build_info", "hotel.example.com"] {
        assert!(seen.contains(word), "{word} in {seen}");
    }
}
