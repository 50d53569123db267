//! How long the longest dimension of an object is: centimetres, a whole number.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::samples::{QuestionType, Reason, Segment};
use crate::scenes::Dice;

/// Questions about different objects, at most `limit`.
pub(super) fn ask(showing: &Showing, limit: usize, dice: &mut Dice) -> Vec<Candidate> {
    let mut objects = showing.nameable();
    dice.shuffle(&mut objects);
    let mut candidates = Vec::new();
    for object in objects {
        if candidates.len() >= limit {
            break;
        }
        let (from, to) = object.bounds.longest_axis();
        let longest = Segment { from, to };
        let centimetres = libm::roundf(object.bounds.size().max_element() * 100.0) as i64;
        let Some(cameras) = showing.cameras_for(&[object.id], dice).filter(|_| centimetres > 0) else {
            continue;
        };
        let telling = Telling::new(showing, &cameras);
        candidates.push(Candidate {
            visibility: showing.sights.visibility(&[object.id], &cameras),
            data_type: showing.data_type,
            question_type: QuestionType::ObjectSize,
            question: format!(
                "What is the length of the longest dimension (length, width, or height) of the {}, measured in \
                 centimeters?",
                object.category
            ),
            thought: thoughts::object_size(&telling, object, dice).into(),
            answer: CandidateAnswer::Number(centimetres.to_string()),
            reason: Reason::ObjectSize { object: object.id, longest },
            boxes: showing.boxes(&[object]),
            cameras,
        });
    }
    candidates
}
