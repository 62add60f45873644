//! What deploys Reelstream names settings, ports, probes, volumes and streams. This keeps them those of the code.
//!
//! Schemas are looked at by scripts/manifests; scripts/image-test builds and runs the image.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_norway::Value;

use crate::api;
use crate::cli::Arguments;
use crate::config::Streams;
use crate::events::{Keys, Stage};

/// A role hands its work back, and ends its requests, within two seconds each; with room for a busy machine.
const STOP_SECONDS: u64 = 10;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn files_under(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut files = vec![];
    for entry in std::fs::read_dir(root().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_under(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// All documents of a YAML file, with aliases and merges resolved.
fn documents(path: impl AsRef<Path>) -> Vec<Value> {
    let text = read(path);
    serde_norway::Deserializer::from_str(&text)
        .map(|document| {
            let mut value: Value = serde::Deserialize::deserialize(document).unwrap();
            value.apply_merge().unwrap();
            value
        })
        .collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no `{key}` in {value:?}"))
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_sequence().map_or(&[], Vec::as_slice)
}

fn words(value: &[Value]) -> Vec<String> {
    value.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// A file of `NAME=value` lines.
fn settings(path: impl AsRef<Path>) -> BTreeMap<String, String> {
    let text = read(path);
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The resources of Kubernetes, each with its file.
fn resources() -> Vec<(PathBuf, Value)> {
    let mut resources = vec![];
    for file in files_under(Path::new("deploy/kubernetes"), ".yaml") {
        resources.extend(documents(&file).into_iter().map(|document| (file.clone(), document)));
    }
    assert!(resources.len() > 15);
    resources
}

/// The pods that resources make, by the name of their resource.
fn pods() -> Vec<(String, Value)> {
    let with_pods = ["Deployment", "StatefulSet"];
    let is_workload = |resource: &Value| with_pods.contains(&text(resource, "kind"));
    let found = resources().into_iter().map(|(_, resource)| resource).filter(is_workload);
    found.map(|resource| (text(&resource["metadata"], "name").to_owned(), resource["spec"].clone())).collect()
}

fn is_role(name: &str) -> bool {
    ["api", "worker", "projector"].contains(&name)
}

fn compose() -> Value {
    documents("docker-compose.yml").remove(0)
}

fn services() -> Vec<(String, Value)> {
    let compose = compose();
    let services = compose["services"].as_mapping().unwrap();
    services.iter().map(|(name, service)| (name.as_str().unwrap().to_owned(), service.clone())).collect()
}

/// Settings that the process reads: every one stands between quotation marks in a source.
fn assert_settings_exist(place: &str, names: impl IntoIterator<Item = String>) {
    let mut sources = files_under(Path::new("src"), ".rs");
    sources.retain(|path| !path.to_string_lossy().ends_with("tests.rs"));
    let code: String = sources.iter().map(read).collect();
    let names: Vec<String> = names.into_iter().collect();
    assert!(!names.is_empty(), "{place} has no settings");
    for name in names {
        let read = [name.as_str(), name.strip_suffix("_FILE").unwrap_or(&name)];
        assert!(
            read.iter().any(|name| code.contains(&format!("\"{name}\""))),
            "{place} sets {name}, which nothing reads"
        );
    }
}

/// Of the operating system.
fn is_ours(name: &String) -> bool {
    name != "LANG"
}

#[test]
fn every_setting_of_a_deployment_is_read() {
    for (name, service) in services().into_iter().filter(|(name, _)| is_role(name)) {
        let environment = service["environment"].as_mapping().unwrap();
        assert_settings_exist(&name, environment.keys().map(|key| key.as_str().unwrap().to_owned()));
    }
    for folder in ["deploy/kubernetes", "deploy/systemd"] {
        for file in files_under(Path::new(folder), ".env") {
            assert_settings_exist(&file.display().to_string(), settings(&file).into_keys());
        }
    }
    for (name, spec) in pods().into_iter().filter(|(name, _)| is_role(name)) {
        for container in list(&spec["template"]["spec"], "containers") {
            let names: Vec<String> =
                list(container, "env").iter().map(|variable| text(variable, "name").to_owned()).collect();
            if !names.is_empty() {
                assert_settings_exist(&name, names);
            }
        }
    }
    let image = read("Dockerfile");
    let lines = image.lines().filter_map(|line| line.strip_prefix("ENV "));
    let names =
        lines.flat_map(str::split_whitespace).filter_map(|word| Some(word.split_once('=')?.0.to_owned()));
    assert_settings_exist("Dockerfile", names.filter(is_ours));
}

fn assert_command(place: &str, words: &[String]) {
    let command = std::iter::once("reel".to_owned()).chain(words.iter().cloned());
    if let Err(error) = Arguments::try_parse_from(command) {
        panic!("{place} runs `reel {}`: {error}", words.join(" "));
    }
}

/// The arguments of a command that begins with the path of reel.
fn of_reel(words: Vec<String>) -> Vec<String> {
    assert_eq!(words[0], "/usr/bin/reel", "{words:?}");
    words[1..].to_vec()
}

#[test]
fn every_command_of_a_deployment_exists() {
    for (name, service) in services().into_iter().filter(|(name, _)| is_role(name)) {
        assert_command(&name, &[text(&service, "command").to_owned()]);
        let mut check = words(list(&service["healthcheck"], "test"));
        assert_eq!(check.remove(0), "CMD");
        assert_command(&name, &of_reel(check));
    }
    for (name, spec) in pods().into_iter().filter(|(name, _)| is_role(name)) {
        for container in list(&spec["template"]["spec"], "containers") {
            assert_command(&name, &words(list(container, "args")));
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let command = words(list(&container[probe]["exec"], "command"));
                if !command.is_empty() {
                    assert_command(&name, &of_reel(command));
                }
            }
        }
    }
    for file in files_under(Path::new("deploy/systemd"), ".service") {
        let unit = read(&file);
        let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
        assert_command(
            &file.display().to_string(),
            &of_reel(line.split_whitespace().map(str::to_owned).collect()),
        );
    }
    assert!(read("Dockerfile").contains("ENTRYPOINT [\"/usr/bin/reel\"]"));
}

#[test]
fn probes_ask_routes_at_the_port_of_the_api() {
    let routes: BTreeSet<String> = api::routes().iter().map(|route| format!("/{}", route.path)).collect();
    let bind = settings("deploy/kubernetes/base/settings.env")["REEL_BIND"].clone();
    let port: u64 = bind.rsplit_once(':').unwrap().1.parse().unwrap();
    let mut probes = 0;
    for (name, spec) in pods().into_iter().filter(|(name, _)| is_role(name)) {
        for container in list(&spec["template"]["spec"], "containers") {
            for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
                let Some(path) = container[probe]["httpGet"]["path"].as_str() else { continue };
                probes += 1;
                assert!(routes.contains(path), "{name} is probed at {path}, which is no route");
                assert_eq!(container[probe]["httpGet"]["port"].as_str(), Some("http"));
                let ports = list(container, "ports");
                let http = ports.iter().find(|port| text(port, "name") == "http").unwrap();
                assert_eq!(http["containerPort"].as_u64(), Some(port), "{name}");
            }
        }
    }
    assert!(probes >= 3);
    let api = services().into_iter().find(|(name, _)| name == "api").unwrap().1;
    let bound = text(&api["environment"], "REEL_BIND").rsplit_once(':').unwrap().1.to_owned();
    assert!(words(list(&api, "ports"))[0].ends_with(&format!(":{bound}")));
}

/// Whether a path lies in a folder that is mounted.
fn is_mounted(path: &str, mounts: &[String]) -> bool {
    mounts.iter().any(|mount| Path::new(path).starts_with(mount))
}

#[test]
fn every_folder_of_a_pod_is_a_volume() {
    for (name, spec) in pods() {
        let pod = &spec["template"]["spec"];
        let volumes = list(pod, "volumes").iter().map(|volume| text(volume, "name").to_owned());
        let claims = list(&spec, "volumeClaimTemplates").iter();
        let claims = claims.map(|claim| text(&claim["metadata"], "name").to_owned());
        let volumes: BTreeSet<String> = volumes.chain(claims).collect();
        for container in list(pod, "containers") {
            let mounted: BTreeSet<String> =
                list(container, "volumeMounts").iter().map(|mount| text(mount, "name").to_owned()).collect();
            assert_eq!(mounted, volumes, "{name} mounts other volumes than it has");
            if !is_role(&name) {
                continue;
            }
            let mounts: Vec<String> = list(container, "volumeMounts")
                .iter()
                .map(|mount| text(mount, "mountPath").to_owned())
                .collect();
            for file in files_under(Path::new("deploy/kubernetes"), ".env") {
                for (setting, value) in settings(&file) {
                    let is_place = setting.ends_with("_FILE") || setting.ends_with("_ROOT");
                    assert!(
                        !is_place || is_mounted(&value, &mounts),
                        "{name}: {setting} is {value}, not mounted"
                    );
                }
            }
        }
    }
}

#[test]
fn every_folder_and_secret_of_a_service_is_mounted() {
    let compose = compose();
    let named = |key: &str| -> BTreeSet<String> {
        let names = compose[key].as_mapping().unwrap().keys();
        names.map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let (secrets, volumes) = (named("secrets"), named("volumes"));
    for (name, service) in services() {
        let mine = words(list(&service, "secrets"));
        let mut mounts: Vec<String> = mine.iter().map(|secret| format!("/run/secrets/{secret}")).collect();
        assert!(mine.iter().all(|secret| secrets.contains(secret)), "{name}: {mine:?}");
        for volume in words(list(&service, "volumes")) {
            let volume = volume.trim_end_matches(":ro");
            let (from, to) = volume.rsplit_once(':').unwrap();
            assert!(
                volumes.contains(from) || from.starts_with("${"),
                "{name} mounts {from}, which is no volume"
            );
            mounts.push(to.to_owned());
        }
        for (setting, value) in service["environment"].as_mapping().into_iter().flatten() {
            let (setting, value) = (setting.as_str().unwrap(), value.as_str().unwrap());
            let is_place = setting.ends_with("_FILE") || setting.ends_with("_ROOT");
            assert!(!is_place || is_mounted(value, &mounts), "{name}: {setting} is {value}, not mounted");
        }
    }
    // The image makes the folders that its user owns, and named volumes take over their owner.
    let image = read("Dockerfile");
    for folder in ["/volumes/media-root", "/volumes/archive"] {
        assert!(image.contains(folder), "the image has no {folder}");
    }
}

#[test]
fn every_service_and_pod_is_checked_and_confined() {
    for (name, service) in services() {
        assert!(!list(&service["healthcheck"], "test").is_empty(), "{name} has no health check");
        if is_role(&name) {
            assert_eq!(service["read_only"].as_bool(), Some(true), "{name}");
            assert_eq!(words(list(&service, "cap_drop")), ["ALL"], "{name}");
        }
    }
    for (name, spec) in pods() {
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true), "{name}");
        assert!(pod["terminationGracePeriodSeconds"].as_u64().unwrap() >= STOP_SECONDS, "{name}");
        for container in list(pod, "containers") {
            let security = &container["securityContext"];
            assert_eq!(security["readOnlyRootFilesystem"].as_bool(), Some(true), "{name}");
            assert_eq!(security["allowPrivilegeEscalation"].as_bool(), Some(false), "{name}");
            assert!(container["resources"]["requests"]["cpu"] != Value::Null, "{name} requests no CPU");
            assert!(container["readinessProbe"] != Value::Null, "{name} has no readiness probe");
        }
    }
    let budgets: BTreeSet<String> = resources()
        .iter()
        .filter(|(_, resource)| text(resource, "kind") == "PodDisruptionBudget")
        .map(|(_, resource)| text(&resource["metadata"], "name").to_owned())
        .collect();
    assert_eq!(budgets, BTreeSet::from(["api", "projector", "worker"].map(str::to_owned)));
}

#[test]
fn the_scaler_asks_streams_and_metrics_that_exist() {
    let streams = Streams::from_environment(&|_| None).unwrap();
    let keys = Keys::new("reel", streams.partitions);
    let scaled = resources().into_iter().map(|(_, resource)| resource);
    let scaled = scaled.filter(|resource| text(resource, "kind") == "ScaledObject").collect::<Vec<_>>();
    assert_eq!(scaled.len(), 1);
    let (mut asked, mut metrics) = (BTreeSet::new(), 0);
    for trigger in list(&scaled[0]["spec"], "triggers") {
        let metadata = &trigger["metadata"];
        match text(trigger, "type") {
            "redis-streams" => {
                assert_eq!(text(metadata, "consumerGroup"), streams.stage(Stage::Rendering).group);
                asked.insert(text(metadata, "stream").to_owned());
            }
            "metrics-api" => {
                metrics += 1;
                let (metric, labels) = text(metadata, "valueLocation").split_once('{').unwrap();
                assert_eq!(metric, api::metrics::QUEUE_WAITING.name);
                let stage =
                    labels.strip_prefix("stage=\"").and_then(|stage| stage.strip_suffix("\"}")).unwrap();
                assert!(Stage::ALL.iter().any(|known| known.name() == stage), "{stage}");
                assert!(text(metadata, "url").ends_with("/metrics"));
            }
            other => panic!("the test does not know triggers of the type {other}"),
        }
    }
    let streams: BTreeSet<String> =
        keys.partitions().map(|partition| keys.work(partition, Stage::Rendering)).collect();
    assert_eq!(asked, streams);
    assert!(metrics > 0);
}

#[test]
fn everything_that_is_packaged_is_in_the_repository() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    for asset in deb["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        // What scripts/release builds.
        if !source.starts_with("target/") {
            let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
            let ending = name.trim_start_matches('*');
            let found = std::fs::read_dir(root().join(folder)).unwrap();
            let count = found
                .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(ending))
                .count();
            assert!(count > 0, "the package lists {source}, which does not exist");
        }
    }
    for script in ["postinst", "prerm", "postrm"] {
        assert!(read(format!("deploy/deb/{script}")).starts_with("#!/bin/sh\nset -e\n"), "{script}");
    }
}
