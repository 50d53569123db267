//! A question that could be asked.

use crate::samples::{DataType, GroundedBox, QuestionType, Reason, SectorScheme};
use serde::{Deserialize, Serialize};

/// A question with its answer, not yet numbered; its options not yet lettered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    pub data_type: DataType,
    pub question_type: QuestionType,
    pub question: String,
    pub answer: CandidateAnswer,
    /// Cameras of the scene whose pictures belong to the question, in order.
    pub cameras: Vec<usize>,
    pub reason: Reason,
    /// See [`crate::samples::Evidence::visibility`].
    pub visibility: Option<f32>,
    /// Where the objects asked about are, in the order in which the question names them; only for single images.
    pub boxes: Vec<GroundedBox>,
    /// How one may come to the answer, up to but without naming it.
    pub thought: String,
}

/// The right answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CandidateAnswer {
    /// As the row writes it.
    Number(String),
    Choice {
        /// Without letters.
        options: Vec<String>,
        /// Index into `options`.
        correct: usize,
        /// The options always stand in this order.
        fixed_order: bool,
    },
}

impl Candidate {
    /// The answer in words.
    pub fn answer_text(&self) -> &str {
        match &self.answer {
            CandidateAnswer::Number(number) => number,
            CandidateAnswer::Choice { options, correct, .. } => {
                options.get(*correct).map_or("", String::as_str)
            }
        }
    }

    /// Which directions the question tells apart, where it asks for one.
    pub fn scheme(&self) -> Option<SectorScheme> {
        match &self.reason {
            Reason::RelativeDirection { scheme, .. } => Some(*scheme),
            _ => None,
        }
    }

    /// What answers should be spread over evenly: directions, counts, and the categories whose size is asked.
    pub fn balance_key(&self) -> String {
        match (&self.reason, self.question_type) {
            (_, QuestionType::RelativeDirection | QuestionType::ObjectCount) => self.answer_text().to_owned(),
            (_, QuestionType::ObjectSize) => self.question.clone(),
            _ => String::new(),
        }
    }
}
