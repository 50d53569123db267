//! Which of several objects is closest to another.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::samples::{QuestionType, Reason, Segment};
use crate::scenes::{Dice, Object};

/// Draws of candidates for each target before it is given up.
const TRIES: usize = 6;

/// Questions about different sets of objects, at most `limit`.
pub(super) fn ask(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let config = &showing.config.spatial;
    let objects = showing.nameable();
    let mut candidates: Vec<Candidate> = Vec::new();
    if objects.len() <= config.distance_options {
        return candidates;
    }
    let wide = showing.sights.scene.room.area > config.wide_room_m2;
    let min_gap = if wide { config.wide_min_gap_m } else { config.min_gap_m };
    let mut targets: Vec<&Object> = objects.clone();
    dice.shuffle(&mut targets);
    for target in targets {
        if candidates.len() >= limit {
            break;
        }
        let mut others: Vec<&Object> =
            objects.iter().copied().filter(|other| other.id != target.id).collect();
        for _ in 0..TRIES {
            dice.shuffle(&mut others);
            let Some((chosen, shortest)) = spread(target, &others, config.distance_options, min_gap) else {
                continue;
            };
            let Some(nearest) = (0..chosen.len())
                .min_by(|&i, &j| shortest[i].length().total_cmp(&shortest[j].length()))
                .filter(|&i| shortest[i].length() >= config.min_nearest_m)
            else {
                continue;
            };
            let ids: Vec<u16> = std::iter::once(target.id).chain(chosen.iter().map(|o| o.id)).collect();
            let Some(cameras) = showing.cameras_for(&ids, dice) else {
                continue;
            };
            let names: Vec<&str> = chosen.iter().map(|object| object.category.as_str()).collect();
            let telling = Telling::new(showing, &cameras);
            let named: Vec<&Object> = chosen.iter().copied().chain([target]).collect();
            candidates.push(Candidate {
            visibility: showing.sights.visibility(&ids, &cameras),
                data_type: showing.data_type,
                question_type: QuestionType::RelativeDistance,
                question: format!(
                    "Measuring from the closest point of each object, which of these objects ({}) is the closest \
                     to the {}?",
                    names.join(", "),
                    target.category
                ),
                thought: thoughts::relative_distance(&telling, target, &chosen, &shortest, dice),
                answer: CandidateAnswer::Choice {
                    options: names.iter().map(|&name| name.to_owned()).collect(),
                    correct: nearest,
                    fixed_order: false,
                },
                boxes: showing.boxes(&named),
                reason: Reason::RelativeDistance {
                    target: target.id,
                    candidates: chosen.iter().map(|object| object.id).collect(),
                    shortest,
                },
                cameras,
            });
            break;
        }
    }
    candidates
}

/// The first `count` objects whose distances from the target all differ by more than `min_gap` metres.
fn spread<'a>(
    target: &Object,
    objects: &[&'a Object],
    count: usize,
    min_gap: f32,
) -> Option<(Vec<&'a Object>, Vec<Segment>)> {
    let (mut chosen, mut shortest): (Vec<&Object>, Vec<Segment>) = (Vec::new(), Vec::new());
    for object in objects {
        let (from, to) = target.bounds.closest_points(&object.bounds);
        let way = Segment { from, to };
        if shortest.iter().all(|other| (other.length() - way.length()).abs() > min_gap) {
            chosen.push(object);
            shortest.push(way);
        }
        if chosen.len() == count {
            return Some((chosen, shortest));
        }
    }
    None
}
