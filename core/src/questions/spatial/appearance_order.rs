//! In which order four things come into view in a video.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::samples::{QuestionType, Reason};
use crate::scenes::{Dice, Object};

/// Things an order is asked of.
const THINGS: usize = 4;
/// Draws of four things for each question wanted.
const TRIES: usize = 12;

/// When a thing comes into view.
#[derive(Debug, Clone, Copy)]
struct FirstSight<'a> {
    object: &'a Object,
    /// Place among the frames, and seconds, of the first frame with a pixel of it.
    frame: usize,
    time: f32,
    /// Place of the first frame that shows it well.
    clear: usize,
}

/// Questions about different sets of things, at most `limit`.
pub(super) fn ask(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let video = &showing.sights.video;
    let min_apart = showing.config.spatial.min_apart_s;
    let mut sights: Vec<FirstSight> =
        showing.nameable().into_iter().filter_map(|object| first_sight(showing, object)).collect();
    let mut candidates: Vec<Candidate> = Vec::new();
    if sights.len() < THINGS {
        return candidates;
    }
    let mut asked: Vec<Vec<u16>> = Vec::new();
    for _ in 0..TRIES * limit {
        if candidates.len() >= limit {
            break;
        }
        dice.shuffle(&mut sights);
        let mut order: Vec<FirstSight> = Vec::new();
        for sight in &sights {
            if order.len() < THINGS && order.iter().all(|other| follow(other, sight, min_apart)) {
                order.push(*sight);
            }
        }
        let shuffled: Vec<&str> = order.iter().map(|sight| sight.object.category.as_str()).collect();
        let question = format!(
            "What will be the first-time appearance order of the following categories in the video: {}?",
            shuffled.join(", ")
        );
        let asked_for: Vec<(&Object, usize)> =
            order.iter().map(|sight| (sight.object, sight.frame)).collect();
        order.sort_by_key(|sight| sight.frame);
        let ids: Vec<u16> = order.iter().map(|sight| sight.object.id).collect();
        if ids.len() < THINGS || asked.contains(&ids) {
            continue;
        }
        let names: Vec<&str> = order.iter().map(|sight| sight.object.category.as_str()).collect();
        let options = permutations(&names, showing.config.spatial.order_options, dice);
        let telling = Telling::new(showing, video);
        let first_frames: Vec<usize> = order.iter().map(|sight| sight.frame).collect();
        candidates.push(Candidate {
            visibility: showing.sights.visibility(&ids, video),
            data_type: showing.data_type,
            question_type: QuestionType::AppearanceOrder,
            question,
            thought: thoughts::appearance_order(&telling, &asked_for, dice).into(),
            answer: CandidateAnswer::Choice { options, correct: 0, fixed_order: false },
            reason: Reason::AppearanceOrder { objects: ids.clone(), first_frames },
            boxes: Vec::new(),
            cameras: video.clone(),
        });
        asked.push(ids);
    }
    candidates
}

fn first_sight<'a>(showing: &Showing, object: &'a Object) -> Option<FirstSight<'a>> {
    let (sights, config) = (showing.sights, showing.config);
    let seen = |camera: &usize| sights.observation(*camera, object.id);
    let frame = sights.video.iter().position(|camera| seen(camera).is_some())?;
    let clear = sights
        .video
        .iter()
        .position(|camera| seen(camera).is_some_and(|observation| observation.is_clear(config)))?;
    let camera = sights.scene.cameras.get(sights.video[frame])?;
    Some(FirstSight { object, frame, time: camera.time?, clear })
}

/// Whether the order of the two is beyond doubt: more than so many seconds apart, and the same whether the first
/// glimpse counts or the first clear view.
fn follow(one: &FirstSight, other: &FirstSight, min_apart_s: f32) -> bool {
    let apart = (one.time - other.time).abs() > min_apart_s;
    apart && (one.frame < other.frame) == (one.clear < other.clear) && one.clear != other.clear
}

/// The names in their order, then in other orders, `count` in all and no two alike.
fn permutations(names: &[&str], count: usize, dice: &mut Dice) -> Vec<String> {
    let mut options = vec![names.join(", ")];
    let mut shuffled = names.to_vec();
    let possible: usize = (1..=names.len()).product();
    while options.len() < count.min(possible) {
        dice.shuffle(&mut shuffled);
        let order = shuffled.join(", ");
        if !options.contains(&order) {
            options.push(order);
        }
    }
    options
}
