//! A question that could be asked.

use super::Thought;
use crate::samples::{DataType, GroundedBox, QuestionType, Reason, SectorScheme};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    pub thought: Thought,
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

    /// What the text alone says about which option is right, as named numbers that average to zero over a set of
    /// questions that cannot be answered blind: how much more than by chance a direction goes with an object in its
    /// place in the question, and a candidate is the nearest, to this target or rather than another. `categories` are those of the scene's objects.
    pub fn hints(&self, categories: &BTreeMap<u16, String>) -> Vec<(String, f32)> {
        let CandidateAnswer::Choice { options, correct, .. } = &self.answer else {
            return Vec::new();
        };
        let surplus = |at: usize| f32::from(u8::from(at == *correct)) - 1.0 / options.len() as f32;
        match &self.reason {
            Reason::RelativeDirection { objects, .. } => {
                let named = objects.iter().filter_map(|id| categories.get(id)).enumerate();
                named
                    .flat_map(|(place, category)| {
                        let hint = move |(at, word)| (format!("{place} {category}: {word}"), surplus(at));
                        options.iter().enumerate().map(hint)
                    })
                    .collect()
            }
            Reason::RelativeDistance { target, .. } => {
                let target = categories.get(target).map_or("", String::as_str);
                let Some(nearest) = options.get(*correct) else {
                    return Vec::new();
                };
                let of_option = |(at, option): (usize, &String)| {
                    [(option.clone(), surplus(at)), (format!("{target}: {option}"), surplus(at))]
                };
                // Of two options, which is the nearest: the other way round it counts the other way.
                let of_pair = |option: &String| match nearest < option {
                    true => (format!("{nearest} or {option}"), 0.5),
                    false => (format!("{option} or {nearest}"), -0.5),
                };
                let others = options.iter().filter(|option| *option != nearest).map(of_pair);
                options.iter().enumerate().flat_map(of_option).chain(others).collect()
            }
            _ => Vec::new(),
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
