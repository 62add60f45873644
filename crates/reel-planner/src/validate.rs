//! The rules of plans, besides those of all scene descriptions ([`check`]).

use reel_scene::check::{self, Fault};
use reel_scene::{Layout, SCENE_COUNT, Scene};

/// Returns the faults of a plan. Checks the number of scenes, the opening and closing cards, every scene, and that each block is
/// revealed.
pub fn validate(scenes: &[Scene]) -> Vec<Fault> {
    let fault =
        |scene: usize, message: String| Fault { path: vec!["scenes".into(), scene.to_string()], message };
    let mut faults = check::faults(scenes);
    if !SCENE_COUNT.contains(&scenes.len()) {
        faults.push(fault(0, format!("are {}, but must be {SCENE_COUNT:?}", scenes.len())));
    }
    for (index, scene) in scenes.iter().enumerate() {
        let expected = match index {
            0 => Layout::Title,
            last if last + 1 == scenes.len() => Layout::Closing,
            // A heading without a text.
            _ if scene.layout == Layout::Section && scene.blocks.is_empty() => Layout::Section,
            _ => Layout::Content,
        };
        if scene.layout != expected {
            faults.push(fault(index, format!("is a {:?} scene, but must be {expected:?}", scene.layout)));
        }
        let revealed = scene.steps.iter().map(|step| step.reveals.len()).sum::<usize>();
        let parts: usize = scene.blocks.iter().map(|block| block.parts().unwrap_or(1)).sum();
        if revealed != parts {
            faults.push(fault(index, format!("reveals {revealed} parts, but has {parts}")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;
    use reel_scene::{Block, Reveal, RichText, Step};

    fn video() -> Vec<Scene> {
        let scene = |layout| Scene {
            layout,
            title: "Title".into(),
            blocks: vec![Block::Paragraph { text: RichText::plain("Text.") }],
            steps: vec![Step::new("Text.", vec![Reveal { block: 0, part: None }])],
            ..Scene::default()
        };
        vec![scene(Layout::Title), scene(Layout::Content), scene(Layout::Closing)]
    }

    fn faults_after(change: fn(&mut Vec<Scene>)) -> Vec<String> {
        let mut scenes = video();
        change(&mut scenes);
        validate(&scenes).iter().map(Fault::to_string).collect()
    }

    #[test]
    fn a_sound_video_has_no_fault() {
        assert_eq!(faults_after(|_| ()), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_named() {
        assert_eq!(
            faults_after(|s| s[1].layout = Layout::Title),
            ["scenes.1: is a Title scene, but must be Content"]
        );
        assert_eq!(faults_after(|s| s[0].steps[0].reveals.clear()), ["scenes.0: reveals 0 parts, but has 1"]);
        assert_eq!(
            faults_after(|s| s[1].title = " ".into()),
            ["scenes.1.title: is blank, but must say something"]
        );
        assert!(faults_after(|s| drop(s.pop())).contains(&"scenes.0: are 2, but must be 3..=20".to_owned()));
        assert_eq!(
            faults_after(|s| s[0].steps[0].narration = "...".into()),
            ["scenes.0.steps.0.narration: is \"...\", but must have at least 1 letter or digit"]
        );
    }
}
