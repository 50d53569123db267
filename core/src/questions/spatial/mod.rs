//! Spatial questions: the seven dimensions, one file each, over one picture, several views, or a video.
//!
//! A dimension looks at a [`Showing`], the pictures that a question may be about and the objects in them that
//! can be told apart, and gives [`Candidate`]s: questions with their answers, the geometry behind these, and a
//! thought that leads to them. Which candidates become rows, and in which order their options stand, is decided
//! when the data set is composed.

mod absolute_distance;
mod appearance_order;
mod candidate;
mod object_count;
mod object_size;
mod relative_direction;
mod relative_distance;
mod room_size;
mod showing;
mod thoughts;

pub use candidate::{Candidate, CandidateAnswer};
pub use relative_direction::{clockwise_angle, direction_word, sectors};
pub use showing::{Showing, Sights};
pub use thoughts::{Choice, LetterFrom, Thought, conclusion, letter, solution};
pub(super) use thoughts::{LIST_SEPARATOR, comes};

use super::QuestionConfig;
use crate::samples::DataType;
use crate::scenes::Dice;

/// All questions that the pictures of a scene allow, at most as many as the config says.
pub fn ask_all(sights: &Sights, config: &QuestionConfig, dice: &mut Dice) -> Vec<Candidate> {
    let spatial = &config.spatial;
    let mut candidates = Vec::new();
    if spatial.single_image {
        for &camera in &sights.stills {
            let showing = Showing::single_image(sights, config, camera);
            let limit = spatial.max_per_image_and_type;
            candidates.extend(absolute_distance::ask(&showing, limit, dice));
            candidates.extend(relative_distance::ask(&showing, limit, dice));
            candidates.extend(object_size::ask(&showing, limit, dice));
            candidates.extend(relative_direction::ask_by_camera(&showing, limit, dice));
        }
    }
    let mut together = Vec::new();
    if spatial.multi_view {
        together.push(Showing::multi_view(sights, config));
    }
    if spatial.video && !sights.video.is_empty() {
        together.push(Showing::video(sights, config));
    }
    for showing in &together {
        let limit = spatial.max_per_scene_and_type;
        candidates.extend(absolute_distance::ask(showing, limit, dice));
        candidates.extend(relative_distance::ask(showing, limit, dice));
        candidates.extend(object_size::ask(showing, limit, dice));
        candidates.extend(relative_direction::ask_by_object(showing, limit, dice));
        candidates.extend(object_count::ask(showing, limit, dice));
        if showing.data_type == DataType::Video {
            candidates.extend(room_size::ask(showing, dice));
            candidates.extend(appearance_order::ask(showing, limit, dice));
        }
    }
    candidates
}

#[cfg(test)]
mod tests;
