//! Tells what changed between two versions of a video: which scene is the same as one before, and which was edited.

use reel_scene::look::Look;
use reel_scene::{Layout, Leave, Scene};
use reel_studio::layout::images::Images;

/// A digest of everything that a scene's still and clip are made of. `settings` are those of the whole process.
pub fn version(scene: &Scene, look: &Look, images: &Images, settings: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes()).update(bytes);
    };
    add(reel_studio::SOURCES.as_bytes());
    add(settings.as_bytes());
    // Numbers of a description may be written in several ways; how a value is shown for debugging tells all of it.
    add(format!("{scene:?}{look:?}").as_bytes());
    images.contents().for_each(&mut add);
    hasher.finalize().to_hex()[..32].to_owned()
}

/// Finds for each new scene the one before that it continues, as an index, so that a scene keeps its identity when others are
/// inserted or removed around it. Scenes of one version continue each other, in order; between those, scenes with the same
/// heading do, and then the rest in order.
pub fn match_scenes(before: &[(&str, &Scene)], now: &[(&str, &Scene)]) -> Vec<Option<usize>> {
    let mut matched = vec![None; now.len()];
    pair(&mut matched, (0, before.len()), (0, now.len()), &|old, new| before[old].0 == now[new].0);
    for_gaps(&mut matched, before.len(), |matched, old, new| {
        pair(matched, old, new, &|old, new| before[old].1.title == now[new].1.title);
    });
    for_gaps(&mut matched, before.len(), |matched, old, new| {
        pair(matched, old, new, &|_, _| true);
    });
    matched
}

/// Matches most of the scenes in two ranges that are the same, in order: a longest common subsequence.
fn pair(
    matched: &mut [Option<usize>],
    (old_start, old_end): (usize, usize),
    (new_start, new_end): (usize, usize),
    is_same: &dyn Fn(usize, usize) -> bool,
) {
    let (olds, news) = (old_end - old_start, new_end - new_start);
    // The length of the longest common subsequence of what follows each pair.
    let mut lengths = vec![vec![0_usize; news + 1]; olds + 1];
    for old in (0..olds).rev() {
        for new in (0..news).rev() {
            lengths[old][new] = match is_same(old_start + old, new_start + new) {
                true => lengths[old + 1][new + 1] + 1,
                false => lengths[old + 1][new].max(lengths[old][new + 1]),
            };
        }
    }
    let (mut old, mut new) = (0, 0);
    while old < olds && new < news {
        if is_same(old_start + old, new_start + new) {
            matched[new_start + new] = Some(old_start + old);
            old += 1;
            new += 1;
        } else if lengths[old + 1][new] >= lengths[old][new + 1] {
            old += 1;
        } else {
            new += 1;
        }
    }
}

/// Calls `visit` with each pair of ranges, of old and of new scenes, between those that are matched.
fn for_gaps(
    matched: &mut [Option<usize>],
    olds: usize,
    visit: impl Fn(&mut [Option<usize>], (usize, usize), (usize, usize)),
) {
    let mut anchors: Vec<(usize, usize)> =
        matched.iter().enumerate().filter_map(|(new, old)| Some(((*old)?, new))).collect();
    anchors.push((olds, matched.len()));
    let mut start = (0, 0);
    for (old, new) in anchors {
        visit(matched, (start.0, old), (start.1, new));
        start = (old + 1, new + 1);
    }
}

/// Returns the scene that the author edited, as an index: the first that is new, or says or shows something else than before.
/// Cards come last, because they repeat what stands elsewhere.
pub fn find_edited(
    before: &[(&str, &Scene)],
    now: &[(&str, &Scene)],
    matched: &[Option<usize>],
) -> Option<usize> {
    let is_edited = |index: &usize| match matched[*index] {
        None => true,
        Some(old) => !has_same_content(before[old].1, now[*index].1),
    };
    let edited = || (0..now.len()).filter(is_edited);
    edited().find(|index| now[*index].1.layout == Layout::Content).or_else(|| edited().next())
}

/// Compares everything but how scenes come and go, which follows from their neighbours.
fn has_same_content(left: &Scene, right: &Scene) -> bool {
    let content = |scene: &Scene| {
        let mut scene = Scene { leave: Leave::default(), ..scene.clone() };
        scene.steps.iter_mut().for_each(|step| step.enter = None);
        scene
    };
    content(left) == content(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::{Entrance, Step};

    fn scene(title: &str, narration: &str) -> Scene {
        Scene { title: title.into(), steps: vec![Step::new(narration, vec![])], ..Scene::default() }
    }

    /// Scenes as `heading:narration`, with that as their version.
    fn compare(before: &[&str], now: &[&str]) -> (Vec<Option<usize>>, Option<usize>) {
        let scenes = |texts: &[&str]| -> Vec<Scene> {
            texts.iter().map(|text| text.split_once(':').map(|(a, b)| scene(a, b)).unwrap()).collect()
        };
        let (old, new) = (scenes(before), scenes(now));
        let old: Vec<(&str, &Scene)> = before.iter().copied().zip(&old).collect();
        let new: Vec<(&str, &Scene)> = now.iter().copied().zip(&new).collect();
        let matched = match_scenes(&old, &new);
        let edited = find_edited(&old, &new, &matched);
        (matched, edited)
    }

    #[test]
    fn scenes_keep_their_identity() {
        let before = ["A:a", "B:b", "C:c"];
        assert_eq!(compare(&before, &before), (vec![Some(0), Some(1), Some(2)], None));
        let inserted = compare(&before, &["A:a", "X:x", "B:b", "C:c"]);
        assert_eq!(inserted, (vec![Some(0), None, Some(1), Some(2)], Some(1)));
        assert_eq!(compare(&before, &["A:a", "C:c"]), (vec![Some(0), Some(2)], None));
        let edited = compare(&before, &["A:a", "B:other", "C:c"]);
        assert_eq!(edited, (vec![Some(0), Some(1), Some(2)], Some(1)));
        let inserted_and_edited = compare(&before, &["A:a", "X:x", "B:other", "C:c"]);
        assert_eq!(inserted_and_edited.0, [Some(0), None, Some(1), Some(2)]);
        let renamed = compare(&before, &["A:a", "Y:b", "C:c"]);
        assert_eq!(renamed, (vec![Some(0), Some(1), Some(2)], Some(1)));
        assert_eq!(compare(&[], &before).0, [None, None, None]);
        assert!(compare(&before, &[]).0.is_empty());
        let doubled = compare(&["A:a", "A:a"], &["A:a", "A:a", "A:a"]);
        assert_eq!(doubled.0, [Some(0), Some(1), None]);
    }

    #[test]
    fn how_scenes_come_and_go_is_no_edit() {
        let before = scene("A", "a");
        let mut now = Scene { leave: Leave::Wipe, ..before.clone() };
        now.steps[0].enter = Some(Entrance::Slide);
        assert_eq!(find_edited(&[("1", &before)], &[("2", &now)], &[Some(0)]), None);
        let (look, images) = (Look::default(), Images::default());
        let version = |scene| version(scene, &look, &images, "");
        assert_ne!(version(&before), version(&now), "but it makes another clip");
    }
}
