//! How large the room is: square metres, one decimal.

use super::thoughts::{self, Telling};
use super::{Candidate, CandidateAnswer, Showing};
use crate::samples::{QuestionType, Reason};
use crate::scenes::Dice;

/// The question, where the size is known.
pub(super) fn ask(showing: &Showing, dice: &mut Dice) -> Option<Candidate> {
    let room = &showing.sights.scene.room;
    let answer = format!("{:.1}", room.area);
    let known = room.area.is_finite() && answer.parse::<f32>().is_ok_and(|area| area > 0.0);
    let cameras = showing.cameras_for(&[], dice).filter(|_| known)?;
    let telling = Telling::new(showing, &cameras);
    Some(Candidate {
        visibility: None,
        data_type: showing.data_type,
        question_type: QuestionType::RoomSize,
        question: "What is the size of this room (in square meters)? \
                   If multiple rooms are shown, estimate the size of the combined space."
            .to_owned(),
        thought: thoughts::room_size(&telling, dice).into(),
        answer: CandidateAnswer::Number(answer),
        reason: Reason::RoomSize { outlines: vec![room.outline.clone()], floor: room.floor },
        boxes: Vec::new(),
        cameras,
    })
}
