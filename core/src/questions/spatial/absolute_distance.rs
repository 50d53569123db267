//! How far two objects are from one another: closest point to closest point, metres, one decimal.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::samples::{QuestionType, Reason, Segment};
use crate::scenes::Dice;

/// Questions about different pairs, at most `limit`.
pub(super) fn ask(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let objects = showing.nameable();
    let mut pairs: Vec<(usize, usize)> =
        (0..objects.len()).flat_map(|i| (i + 1..objects.len()).map(move |j| (i, j))).collect();
    dice.shuffle(&mut pairs);
    let mut candidates = Vec::new();
    for (i, j) in pairs {
        if candidates.len() >= limit {
            break;
        }
        let (one, other) = if dice.chance(0.5) { (objects[i], objects[j]) } else { (objects[j], objects[i]) };
        let (from, to) = one.bounds.closest_points(&other.bounds);
        let shortest = Segment { from, to };
        if shortest.length() < showing.config.spatial.min_distance_m {
            continue;
        }
        let Some(cameras) = showing.cameras_for(&[one.id, other.id], dice) else {
            continue;
        };
        let answer = format!("{:.1}", shortest.length());
        let telling = Telling::new(showing, &cameras);
        candidates.push(Candidate {
            visibility: showing.sights.visibility(&[one.id, other.id], &cameras),
            data_type: showing.data_type,
            question_type: QuestionType::AbsoluteDistance,
            question: format!(
                "Measuring from the closest point of each object, what is the distance between the {} and the {} \
                 (in meters)?",
                one.category, other.category
            ),
            thought: thoughts::absolute_distance(&telling, [one, other], &shortest, dice).into(),
            answer: CandidateAnswer::Number(answer),
            reason: Reason::AbsoluteDistance { objects: [one.id, other.id], shortest },
            boxes: showing.boxes(&[one, other]),
            cameras,
        });
    }
    candidates
}
