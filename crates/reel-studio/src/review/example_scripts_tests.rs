//! Plans and reviews the scripts in `examples/scripts`, as a person would make videos of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use reel_scene::look::Look;

use super::{FaultKind, PageChoice, Report, review};
use crate::layout::images::Images;

/// Faults that are known, of each kind, over all scripts. Lower them when pages get better; never raise them.
const KNOWN_FAULTS: [(FaultKind, usize); 9] = [
    (FaultKind::SmallText, 0),
    (FaultKind::SmallLabel, 0),
    (FaultKind::LowContrast, 0),
    (FaultKind::UsedArea, 5),
    (FaultKind::CutOff, 0),
    (FaultKind::Overlap, 0),
    (FaultKind::MissingGlyph, 0),
    (FaultKind::SameComposition, 0),
    (FaultKind::Still, 0),
];

fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scripts");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn review_script(file: &Path) -> Report {
    let script = std::fs::read_to_string(file).unwrap();
    let topic = file.file_stem().unwrap().to_string_lossy().replace('-', " ");
    let request = reel_planner::Request {
        topic: &topic,
        context: None,
        script: Some(&script),
        title: None,
        duration_ms: None,
    };
    let plan = reel_planner::plan(&request).unwrap();
    review(&plan.scenes, &Look::default(), &Images::default(), &[], PageChoice::Last).unwrap()
}

/// Reviews all files, several at a time.
fn review_scripts(files: &[PathBuf]) -> BTreeMap<&Path, Report> {
    let reports = Mutex::new(BTreeMap::new());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            let report = review_script(file);
            reports.lock().unwrap().insert(file.as_path(), report);
        }
    };
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    reports.into_inner().unwrap()
}

#[test]
fn the_example_scripts_have_no_more_faults_than_are_known() {
    let files = scripts();
    assert!(files.len() >= 30, "{files:?}");
    let reports = review_scripts(&files);
    assert_eq!(reports.len(), files.len());
    let mut counts: BTreeMap<FaultKind, usize> = BTreeMap::new();
    let mut listed = String::new();
    for (file, report) in &reports {
        assert!(serde_json::to_string(report).unwrap().contains("\"used_percent\""));
        for fault in report.faults() {
            *counts.entry(fault.kind).or_default() += 1;
            listed.push_str(&format!("{}: {fault}\n", file.file_name().unwrap().to_string_lossy()));
        }
    }
    let is_known = |kind: FaultKind| {
        let known = KNOWN_FAULTS.iter().find(|(known, _)| *known == kind).unwrap().1;
        counts.get(&kind).copied().unwrap_or_default() <= known
    };
    assert!(FaultKind::ALL.into_iter().all(is_known), "{listed}{counts:?}");
}
