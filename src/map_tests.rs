//! `docs/MAP.md` leads back from what is met at run time to the file that owns it. This keeps it complete.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::api;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Everything between back quotes in the map.
fn quoted(map: &str) -> BTreeSet<&str> {
    map.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[track_caller]
fn assert_listed(map: &str, what: &str, names: impl IntoIterator<Item = String>) {
    let listed = quoted(map);
    let names: BTreeSet<String> = names.into_iter().collect();
    assert!(!names.is_empty(), "no {what} was found to look for");
    let missing: Vec<&String> = names.iter().filter(|name| !listed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/MAP.md lists no {what} {missing:?}");
}

/// What follows each `before`, as far as `fits`.
fn after<'a>(text: &'a str, before: &'a str, fits: fn(char) -> bool) -> impl Iterator<Item = &'a str> {
    text.split(before).skip(1).map(move |rest| &rest[..rest.find(|next| !fits(next)).unwrap_or(rest.len())])
}

fn is_name(next: char) -> bool {
    next.is_ascii_alphanumeric() || next == '_'
}

#[test]
fn every_file_of_the_map_exists() {
    let map = read("docs/MAP.md");
    let is_path =
        |text: &&str| ["src/", "crates/", "migrations/"].iter().any(|start| text.starts_with(start));
    let files: Vec<&str> = quoted(&map).into_iter().filter(is_path).collect();
    assert!(files.len() > 30);
    for file in files {
        assert!(root().join(file).exists(), "docs/MAP.md names {file}, which does not exist");
    }
}

#[test]
fn every_route_is_on_the_map() {
    let routes = api::routes();
    let routes = routes.iter().filter(|route| route.method != salvo::http::Method::HEAD);
    assert_listed(
        &read("docs/MAP.md"),
        "route",
        routes.map(|route| format!("{} /{}", route.method, route.path)),
    );
}

#[test]
fn every_metric_is_on_the_map() {
    let names = api::metrics::ALL.iter().map(|metric| metric.name.to_owned());
    assert_listed(&read("docs/MAP.md"), "metric", names);
}

#[test]
fn every_redis_key_is_on_the_map() {
    let keys = read("src/events/keys.rs");
    let functions = keys.split("\n    pub fn ").skip(1).filter_map(|function| {
        let (name, rest) = function.split_once('(')?;
        rest.split('{').next()?.contains("-> String").then(|| name.to_owned())
    });
    assert_listed(&read("docs/MAP.md"), "Redis key", functions);
}

#[test]
fn every_table_is_on_the_map() {
    let mut tables = BTreeSet::new();
    let mut migrations: Vec<PathBuf> =
        std::fs::read_dir(root().join("migrations")).unwrap().map(|entry| entry.unwrap().path()).collect();
    migrations.sort();
    for migration in migrations {
        let sql = std::fs::read_to_string(migration).unwrap();
        for line in sql.lines() {
            if let Some(dropped) = line.strip_prefix("drop table ") {
                dropped.trim_end_matches(';').split(", ").for_each(|table| {
                    tables.remove(table);
                });
            }
            let created = after(line, "create table ", |next| is_name(next) || next == '.');
            tables.extend(created.map(str::to_owned));
        }
    }
    assert!(!tables.contains("videos"), "tables that were dropped are left out: {tables:?}");
    assert_listed(&read("docs/MAP.md"), "table", tables);
}

#[test]
fn every_setting_is_on_the_map() {
    let map = read("docs/MAP.md");
    let sources = [
        "src/config.rs",
        "src/config/api.rs",
        "src/config/clerk.rs",
        "src/config/models.rs",
        "src/config/webhooks.rs",
        "src/telemetry/mod.rs",
        "src/telemetry/traces.rs",
        "src/crash.rs",
        "src/cli/mod.rs",
    ]
    .map(read);
    let is_variable = |name: &&str| {
        name.contains('_') && name.len() > 5 && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
    };
    let variables: BTreeSet<String> = sources
        .iter()
        .flat_map(|source| source.split('"').filter(is_variable).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    assert_listed(&map, "environment variable", variables);

    let streams: toml::Table = read("streams.toml").parse().unwrap();
    let mut keys = BTreeSet::new();
    for (section, value) in &streams {
        match value.as_table() {
            None => drop(keys.insert(section.clone())),
            Some(stages) if section == "stages" => {
                let settings = stages.values().filter_map(toml::Value::as_table).flat_map(toml::Table::keys);
                keys.extend(settings.map(|key| format!("stages.<stage>.{key}")));
            }
            Some(table) => keys.extend(table.keys().map(|key| format!("{section}.{key}"))),
        }
    }
    assert_listed(&map, "key of streams.toml", keys);
}
