//! Measures animations before they are narrated, and corrects code that fails.

use reel_scene::look::Look;
use reel_scene::{Animation, Block, Scene};

use crate::code::{background_of, code_of};
use crate::correction::correct;
use crate::engine::{CodeFault, Engine, Error, Frame};
use crate::fallback::fallback;

/// A run of a scene's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub code: String,
    /// The fault of the code; `None` for code that runs.
    pub error: Option<String>,
}

/// The result of [`prepare`] for one scene.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Each run of code, in order.
    pub attempts: Vec<Attempt>,
    /// The reason why a page of ours stands for the animation now.
    pub not_drawn: Option<String>,
}

/// Measures the animation of a scene, and corrects its code at most `max_corrections` times. `correct_by_model` is asked where no rule
/// fits. If the code does not run in the end, the scene gets the page that stands for it. `None` for a scene without an animation.
pub fn prepare(
    engine: Result<&Engine, String>,
    scene: &mut Scene,
    (look, width, height, fps): (&Look, u32, u32, u32),
    max_corrections: u32,
    correct_by_model: &dyn Fn(&str, &CodeFault) -> Option<String>,
    is_cancelled: &(dyn Fn() -> bool + Sync),
) -> Option<Prepared> {
    let (animation, _) = scene.manim()?;
    let animation = animation.clone();
    let mut prepared = Prepared { attempts: vec![], not_drawn: None };
    let engine = match engine {
        Ok(engine) => engine,
        Err(reason) => {
            prepared.not_drawn = Some(reason);
            scene.blocks = vec![fallback(&animation)];
            return Some(prepared);
        }
    };
    let frame = frame_of(&animation, look, (width, height), fps);
    let mut code = code_of(&animation, look);
    for correction in 0..=max_corrections {
        let result = engine.count_frames(&code, frame, is_cancelled);
        let error = result.as_ref().err().map(ToString::to_string);
        prepared.attempts.push(Attempt { code: code.clone(), error: error.clone() });
        let fault = match result {
            Ok(timing) => {
                let animation = match animation {
                    Animation::Code { .. } => Animation::Code { code },
                    template => template,
                };
                let duration_ms = (u64::from(timing.frames) * 1000).div_ceil(u64::from(fps.max(1))) as u32;
                prepared.not_drawn = None;
                scene.blocks = vec![Block::Manim { animation, duration_ms: Some(duration_ms) }];
                return Some(prepared);
            }
            Err(error) => error,
        };
        prepared.not_drawn = error;
        let Error::Code(fault) = fault else { break };
        if correction == max_corrections {
            break;
        }
        match correct(&code, &fault).or_else(|| correct_by_model(&code, &fault)) {
            Some(corrected) => code = corrected,
            None => break,
        }
    }
    scene.blocks = vec![fallback(&animation)];
    Some(prepared)
}

/// Returns the frame that an animation is drawn in.
pub fn frame_of(animation: &Animation, look: &Look, (width, height): (u32, u32), fps: u32) -> Frame {
    let fits_page = !matches!(animation, Animation::Code { .. });
    Frame { width, height, fps, background: background_of(animation, look), fits_page }
}
