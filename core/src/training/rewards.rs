//! The verifiable rewards of stage 3: is the answer right, and has the completion the form asked for.

use crate::answering::parse::parse;
use crate::benchmarks::mean_relative_accuracy;
use crate::samples::SpatialSample;
use serde::Serialize;

/// What a completion earned.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Rewards {
    /// 1 or 0 for a choice, the mean relative accuracy for a number.
    pub accuracy: f64,
    /// 1 where the whole completion is one thought and one answer, else 0.
    pub format: f64,
}

impl Rewards {
    /// `strict_choice`: a letter with anything behind it is wrong, as in the published code.
    pub fn of(completion: &str, question: &SpatialSample, strict_choice: bool) -> Self {
        Self { accuracy: accuracy(completion, question, strict_choice), format: format(completion) }
    }
}

/// Whether the text is exactly `<think>…</think>` and `<answer>…</answer>`, with nothing but space between.
pub fn format(text: &str) -> f64 {
    let whole = || {
        let (thought, rest) = text.strip_prefix("<think>")?.split_once("</think>")?;
        let answer = rest.trim_start().strip_prefix("<answer>")?.strip_suffix("</answer>")?;
        let tags = ["<think>", "</think>", "<answer>", "</answer>"];
        (!tags.iter().any(|tag| thought.contains(tag) || answer.contains(tag))).then_some(())
    };
    f64::from(u8::from(whole().is_some()))
}

/// How right the answer is: what stands in the last pair of answer tags, or, without them, all but the thought.
pub fn accuracy(text: &str, question: &SpatialSample, strict_choice: bool) -> f64 {
    let answer = parse(text).answer;
    let answer = answer.trim();
    if question.question_type.is_choice() {
        let said = answer.trim_end_matches('.').to_lowercase();
        let letter = question.answer.trim().to_lowercase();
        let named = said.split_once('.').map_or(said.as_str(), |(letter, _)| letter.trim());
        return f64::from(u8::from(said == letter || (!strict_choice && named == letter)));
    }
    let (Ok(said), Ok(truth)) =
        (answer.trim_end_matches('.').parse::<f64>(), question.answer.trim().parse::<f64>())
    else {
        return 0.0;
    };
    // The measure is relative to the truth; where that is nothing, only nothing is right.
    mean_relative_accuracy(said, truth).unwrap_or(if said == truth { 1.0 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{DataType, QuestionType};

    fn question(options: Option<&[&str]>, answer: &str) -> SpatialSample {
        SpatialSample {
            question_id: 1,
            question: "Which?".into(),
            options: options.map(|options| options.iter().map(|&option| option.to_owned()).collect()),
            answer: answer.into(),
            image: Vec::new(),
            question_type: if options.is_some() {
                QuestionType::RelativeDirection
            } else {
                QuestionType::AbsoluteDistance
            },
            data_type: DataType::SingleImage,
        }
    }

    #[test]
    fn the_form_is_one_thought_and_one_answer() {
        for (text, reward) in [
            ("<think>so</think><answer>A</answer>", 1.0),
            ("<think>so</think>\n<answer>A</answer>", 1.0),
            ("<think>so</think> then <answer>A</answer>", 0.0),
            ("<think>so</think><answer>A</answer>.", 0.0),
            (" <think>so</think><answer>A</answer>", 0.0),
            ("<think>a</think><think>b</think><answer>A</answer>", 0.0),
            ("<think>a</think><answer>A</answer><answer>B</answer>", 0.0),
            ("<think>a</think><answer>A", 0.0),
            ("<answer>A</answer>", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(format(text), reward, "{text:?}");
        }
    }

    #[test]
    fn letters_are_exact_and_numbers_are_relative() {
        let choice = question(Some(&["A. left", "B. chair"]), "B");
        let of = |text: &str, strict| accuracy(text, &choice, strict);
        assert_eq!(of("<think>A</think><answer>b.</answer>", true), 1.0);
        assert_eq!(of("<answer>A</answer><answer>B</answer>", true), 1.0);
        assert_eq!(of("<answer>B. chair</answer>", true), 0.0);
        assert_eq!(of("<answer>B. chair</answer>", false), 1.0);
        assert_eq!(of("<answer>Bed</answer>", false), 0.0);
        assert_eq!(of("<answer>A</answer>", false), 0.0);
        assert_eq!(of("B", false), 1.0);

        let number = question(None, "2.0");
        for (text, reward) in
            [("2", 1.0), ("<answer>2.11</answer>", 0.9), ("1.0", 0.1), ("two", 0.0), ("", 0.0)]
        {
            assert_eq!(accuracy(text, &number, false), reward, "{text}");
        }
        let nothing = question(None, "0");
        assert_eq!((accuracy("0.0", &nothing, false), accuracy("0.1", &nothing, false)), (1.0, 0.0));
    }
}
