//! The directory while it changes: every way in which files change, and never a request lost over it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portico_tests::client::{Call, Connection, get};
use portico_tests::manifest::join;
use portico_tests::{Echo, Ingress, Portico, Service, wait_until};

use crate::portico;
use crate::site::{Site, one};

async fn two() -> (Echo, Echo) {
    (Echo::start("one").await, Echo::start("two").await)
}

#[tokio::test]
async fn an_edit_in_place() {
    let (first, second) = two().await;
    let portico = portico().manifests(one(first.address)).start().await;
    portico.answers("a.test", "/", "one").await;
    std::fs::write(portico.directory().join("manifests.yaml"), join(one(second.address))).unwrap();
    portico.answers("a.test", "/", "two").await;
}

#[tokio::test]
async fn an_atomic_rename() {
    let (first, second) = two().await;
    let portico = portico().manifests(one(first.address)).start().await;
    portico.apply(one(second.address));
    portico.answers("a.test", "/", "two").await;
}

#[tokio::test]
async fn a_new_file_a_new_directory_and_their_deletion() {
    let site = Site::new(&["web", "more"]).await;
    let portico = site.serve([Ingress::new("web").host("a.test", "web")]).await;
    for name in ["more.yaml", "deep/er/more.yml", "more.json"] {
        portico.write(name, &Ingress::new("more").host("b.test", "more").to_string());
        portico.answers("b.test", "/", "more").await;
        portico.remove(name);
        portico.answers_status("b.test", "/", 404).await;
    }
    std::fs::remove_dir_all(portico.directory().join("deep")).unwrap();
    portico.answers("a.test", "/", "web").await;
}

#[tokio::test]
async fn files_that_are_no_manifests_are_left_alone() {
    let site = Site::new(&["web"]).await;
    let portico = site.serve([Ingress::new("web").host("a.test", "web")]).await;
    for name in ["README.md", ".hidden.yaml", "notes.yaml.swp", "backup.yaml~"] {
        portico.write(name, &Ingress::new("stray").host("b.test", "web").to_string());
    }
    // A change that counts shows that the others were looked at before.
    portico.write("last.yaml", &Ingress::new("last").host("c.test", "web").to_string());
    portico.answers("c.test", "/", "web").await;
    assert_eq!(get(portico.http(), "b.test", "/").await.unwrap().status, 404);
}

/// ConfigMaps and Secrets are mounted as links through `..data`, which is flipped to a new directory.
#[tokio::test]
async fn a_flip_of_the_data_link() {
    use std::os::unix::fs::symlink;
    let (first, second) = two().await;
    let setup = portico();
    let directory = setup.directory();
    let version = |name: &str, text: String| {
        std::fs::create_dir(directory.join(name)).unwrap();
        std::fs::write(directory.join(name).join("site.yaml"), text).unwrap();
    };
    version("..2026_01", join(one(first.address)));
    symlink("..2026_01", directory.join("..data")).unwrap();
    symlink("..data/site.yaml", directory.join("site.yaml")).unwrap();
    let portico = setup.start().await;
    portico.answers("a.test", "/", "one").await;
    let flip = |name: &str| {
        symlink(name, directory.join("..data_tmp")).unwrap();
        std::fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    version("..2026_02", join(one(second.address)));
    flip("..2026_02");
    std::fs::remove_dir_all(directory.join("..2026_01")).unwrap();
    portico.answers("a.test", "/", "two").await;
    version("..2026_03", join(one(first.address)));
    flip("..2026_03");
    std::fs::remove_dir_all(directory.join("..2026_02")).unwrap();
    portico.answers("a.test", "/", "one").await;
}

#[tokio::test]
async fn a_half_written_file_keeps_the_last_good_one_and_says_so() {
    let (first, second) = two().await;
    let portico = portico().manifests(one(first.address)).start().await;
    let whole = join(one(second.address));
    std::fs::write(portico.directory().join("manifests.yaml"), &whole[..whole.len() / 2]).unwrap();
    let kept = portico.diagnostic("LastGoodKept").await;
    assert!(kept["location"]["file"].as_str().unwrap().ends_with("manifests.yaml"), "{kept}");
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("one"));
    std::fs::write(portico.directory().join("manifests.yaml"), &whole).unwrap();
    portico.answers("a.test", "/", "two").await;
    assert!(portico.diagnostics().await.is_empty());
}

/// An object that breaks a rule after it was fine stays as it was; its neighbours in the file change.
#[tokio::test]
async fn a_broken_object_keeps_its_last_good_version() {
    let site = Site::new(&["web", "other"]).await;
    let good = Ingress::new("good").host("a.test", "web");
    let portico = site.serve([good.to_string(), Ingress::new("next").host("b.test", "web").to_string()]).await;
    portico.answers("a.test", "/", "web").await;
    let broken = good.to_string().replace("\"Prefix\"", "\"Wrong\"");
    portico.apply(site.documents([broken, Ingress::new("next").host("b.test", "other").to_string()]));
    portico.answers("b.test", "/", "other").await;
    assert_eq!(get(portico.http(), "a.test", "/").await.unwrap().backend(), Some("web"));
    portico.diagnostic("ObjectInvalid").await;
    portico.diagnostic("LastGoodKept").await;
}

#[tokio::test]
async fn several_paths_and_single_files_are_watched() {
    let (first, second) = two().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let file = elsewhere.path().join("one.yaml");
    std::fs::write(&file, join(one(first.address))).unwrap();
    let setup = portico();
    let directory = setup.directory();
    let flags = ["--manifests", directory.to_str().unwrap(), file.to_str().unwrap()];
    let portico = setup.args(&flags).start().await;
    portico.answers("a.test", "/", "one").await;
    let ingress = Ingress::new("two").host("b.test", "two").to_string();
    portico.apply([ingress, Service::new("two").with(&[second.address])]);
    portico.answers("b.test", "/", "two").await;
    // A single file is followed through a rename over it.
    let next = elsewhere.path().join("next");
    std::fs::write(&next, join(one(second.address))).unwrap();
    std::fs::rename(&next, &file).unwrap();
    portico.answers("a.test", "/", "two").await;
}

#[tokio::test]
async fn an_edit_that_changes_nothing_swaps_nothing() {
    let (first, second) = two().await;
    let portico = portico().manifests(one(first.address)).start().await;
    let before = portico.metric("portico_table_generation", &[]).await;
    let mut moved = vec!["# only a comment, which moves every line\n".to_owned()];
    moved.extend(one(first.address));
    portico.apply(moved);
    // A change that counts is seen afterwards, one generation later.
    portico.write(
        "more.yaml",
        &join([Ingress::new("more").host("b.test", "more").to_string(), Service::new("more").with(&[second.address])]),
    );
    portico.answers("b.test", "/", "two").await;
    let after = portico.metric("portico_table_generation", &[]).await;
    assert!(after > before && after <= before + 2.0, "{before} to {after}");
}

/// Drives one kept connection after the other until told to stop; returns requests and failures.
async fn drive(portico: &Portico, stop: Arc<AtomicBool>, requests: Arc<AtomicUsize>) -> Vec<String> {
    let address = portico.http();
    let mut failures = Vec::new();
    let mut drivers = tokio::task::JoinSet::new();
    for driver in 0..6 {
        let (stop, requests) = (stop.clone(), requests.clone());
        drivers.spawn(async move {
            let mut failures = Vec::new();
            let mut kept = None;
            while !stop.load(Ordering::SeqCst) {
                let call = Call::get("/x").host("a.test");
                let answer = if driver % 2 == 0 {
                    call.to(address).await
                } else {
                    if kept.is_none() {
                        kept = Connection::plain(address).await.ok();
                    }
                    match &mut kept {
                        Some(connection) => connection.send(call.request()).await,
                        None => Err("no connection".into()),
                    }
                };
                requests.fetch_add(1, Ordering::SeqCst);
                match answer {
                    Ok(answer) if answer.status == 200 => {}
                    Ok(answer) => failures.push(answer.to_string()),
                    Err(error) => failures.push(error.to_string()),
                }
            }
            failures
        });
    }
    while let Some(result) = drivers.join_next().await {
        failures.extend(result.expect("no driver panics"));
    }
    failures
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_quick_edits_under_load_fail_nobody() {
    let echoes = [Echo::start("one").await, Echo::start("two").await, Echo::start("three").await];
    let portico = portico().workers(2).manifests(one(echoes[0].address)).start().await;
    let (stop, requests) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let edits = async {
        for round in 0..20 {
            let echo = &echoes[round % 3];
            let mut documents = one(echo.address);
            documents.push(Ingress::new("more").host(&format!("more-{round}.test"), "web").to_string());
            portico.apply(documents);
            let target = requests.load(Ordering::SeqCst) + 50;
            wait_until("50 more requests", async || {
                if requests.load(Ordering::SeqCst) >= target { Ok(()) } else { Err("fewer") }
            })
            .await;
        }
        let last = ["one", "two", "three"][19 % 3];
        portico.answers("a.test", "/", last).await;
        stop.store(true, Ordering::SeqCst);
    };
    let (failures, ()) = tokio::join!(drive(&portico, stop.clone(), requests.clone()), edits);
    assert!(failures.is_empty(), "{} of {}: {:?}", failures.len(), requests.load(Ordering::SeqCst), &failures[0]);
}

#[tokio::test]
async fn a_burst_of_edits_ends_in_the_last_one() {
    let (first, second) = two().await;
    let portico = portico().manifests(one(first.address)).start().await;
    for round in 0..50 {
        portico.apply(one(if round % 2 == 0 { first.address } else { second.address }));
    }
    portico.answers("a.test", "/", "two").await;
    let generations = portico.metric("portico_table_generation", &[]).await;
    assert!(generations <= 30.0, "the hold-off gathers changes: {generations} generations");
}
