//! Imports within this crate go one way. This reads the sources, because the compiler would allow any.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What each module may use of this crate; `app`, `cli` and `main` see everything.
const ALLOWED: &[(&str, &[&str])] = &[
    ("alerts", &["telemetry", "webhooks"]),
    ("controls", &["config", "domain", "events", "execute", "ids", "telemetry"]),
    ("byte_lru", &[]),
    ("clock", &[]),
    ("crash", &[]),
    ("error_codes", &[]),
    ("ids", &[]),
    ("telemetry", &[]),
    ("signing", &[]),
    ("events", &["crash", "ids", "signing", "storage", "telemetry"]),
    ("domain", &["events", "ids"]),
    ("vault", &[]),
    ("webhooks", &[]),
    ("clerk", &["config", "webhooks"]),
    (
        "erasure",
        &["consumers", "domain", "events", "execute", "ids", "projections", "storage", "telemetry", "vault"],
    ),
    // What the handlers of stages call a file, and how they describe it, is the same for what is taken over.
    (
        "import",
        &["consumers", "crash", "domain", "error_codes", "events", "execute", "ids", "storage", "telemetry"],
    ),
    // A backup holds what the others keep, and a restore has all of them take it back.
    (
        "backup",
        &[
            "audit",
            "consumers",
            "domain",
            "erasure",
            "events",
            "execute",
            "ids",
            "projections",
            "signing",
            "storage",
            "telemetry",
            "vault",
        ],
    ),
    ("postgres", &[]),
    ("audit", &["events", "ids", "projections", "signing", "telemetry"]),
    ("execute", &["byte_lru", "clock", "domain", "events", "ids", "vault"]),
    ("uploads", &["events"]),
    ("config", &["events", "signing", "storage", "uploads", "vault", "webhooks"]),
    ("storage", &["ids", "telemetry"]),
    (
        "projections",
        &["alerts", "byte_lru", "crash", "domain", "events", "execute", "ids", "postgres", "telemetry"],
    ),
    (
        "consumers",
        &[
            "alerts",
            "config",
            "controls",
            "crash",
            "domain",
            "error_codes",
            "events",
            "execute",
            "ids",
            "storage",
            "telemetry",
            "webhooks",
        ],
    ),
    // Health counts the running workers, whose heartbeats the runtime writes.
    (
        "api",
        &[
            "alerts",
            "audit",
            "clerk",
            "config",
            "consumers",
            "controls",
            "crash",
            "domain",
            "error_codes",
            "events",
            "execute",
            "ids",
            "projections",
            "storage",
            "telemetry",
            "uploads",
            "webhooks",
        ],
    ),
    // What is to go is asked of the catalog, and noted in the job.
    ("retention", &["domain", "events", "execute", "ids", "projections", "storage", "telemetry"]),
    ("dev", &[]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension() == Some("rs".as_ref()) {
            found.push(path);
        }
    }
}

/// The first names after `crate::`, one by one or in braces.
fn uses(source: &str) -> BTreeSet<String> {
    let name_of =
        |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for rest in source.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            Some(list) => {
                let list = list.split("};").next().unwrap_or_default();
                names.extend(list.split(',').map(|item| name_of(item.trim())));
            }
            None => {
                names.insert(name_of(rest));
            }
        }
    }
    names.remove("");
    names
}

#[test]
fn imports_go_one_way() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    sources(&root, &mut files);
    assert!(files.len() > 50, "the sources were found");
    let mut wrong = vec![];
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        if ["app", "cli", "deploy_tests", "fuzzing", "lib", "main", "layering_tests", "map_tests"]
            .contains(&module)
        {
            continue;
        }
        let (_, allowed) =
            ALLOWED.iter().find(|(name, _)| *name == module).expect("every module has its rule");
        for used in uses(&std::fs::read_to_string(&file).unwrap()) {
            if used != module && !allowed.contains(&used.as_str()) {
                wrong.push(format!("{} uses {used}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn uses_are_found_in_all_forms() {
    let source =
        "use crate::ids::JobId;\nuse crate::{\n    clock::Clock, events,\n};\nlet x = reel_scene::Scene;";
    assert_eq!(uses(source).into_iter().collect::<Vec<_>>(), ["clock", "events", "ids"]);
}

/// Endpoints about the jobs of all users, for those whose role lets them see these.
const OF_ALL_USERS: [&str; 2] = ["audit.rs", "system.rs"];

/// Policies hide other users' rows only from who reads as a user (`projections::reader`).
#[test]
fn the_api_reads_rows_as_the_caller() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut files = vec![];
    sources(&root, &mut files);
    let mut wrong = vec![];
    for file in files {
        let name = file.strip_prefix(&root).unwrap().display().to_string();
        let source = std::fs::read_to_string(&file).unwrap();
        for model in ["state.catalog", "state.library"] {
            let unbound = source.split(model).skip(1).filter(|rest| !rest.starts_with(".seen_by(")).count();
            // `catalog_of` gives admins all.
            let allowed = usize::from(name == "mod.rs");
            if unbound > allowed && !OF_ALL_USERS.contains(&name.as_str()) {
                wrong.push(format!("{name} reads {model} as nobody: take catalog_of or seen_by"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
