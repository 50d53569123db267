//! Cold-start rows: the form of the solution, and that it gives the answer of the question it is about.

use super::images::image_count_fault;
use crate::samples::{ColdStartSample, SpatialSample};

/// What is wrong with the row, apart from its id and the files it names. `question` is the spatial row of the
/// same id, where there is one.
pub fn faults(sample: &ColdStartSample, question: Option<&SpatialSample>) -> Vec<String> {
    let mut messages = Vec::new();
    if sample.prompt.trim().is_empty() {
        messages.push("the prompt is empty".to_owned());
    }
    messages.extend(image_count_fault(sample.image.len(), sample.data_type));
    match solution_answer(&sample.solution) {
        Err(message) => messages.push(message.to_owned()),
        Ok(answer) => {
            if let Some(question) = question.filter(|question| question.answer != answer) {
                messages.push(format!(
                    "the solution answers {answer:?}, but the spatial row with question_id {} is answered {:?}",
                    sample.question_id, question.answer
                ));
            }
        }
    }
    messages
}

/// The answer in `<think>…</think>` then `<answer>…</answer>`: each tag once, nothing else outside of them but
/// white space, and neither part empty.
fn solution_answer(solution: &str) -> Result<&str, &'static str> {
    const TAGS: [&str; 4] = ["<think>", "</think>", "<answer>", "</answer>"];
    if TAGS.iter().any(|tag| solution.matches(tag).count() != 1) {
        return Err("the solution does not have each of <think>, </think>, <answer> and </answer> once");
    }
    let parts = (|| {
        let (thought, rest) = solution.trim().strip_prefix("<think>")?.split_once("</think>")?;
        let answer = rest.trim_start().strip_prefix("<answer>")?.strip_suffix("</answer>")?;
        Some((thought.trim(), answer.trim()))
    })();
    match parts {
        None => Err("the solution is not <think>…</think> followed by <answer>…</answer> and nothing else"),
        Some(("", _)) => Err("the thought is empty"),
        Some((_, "")) => Err("the solution's answer is empty"),
        Some((_, answer)) => Ok(answer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_is_one_thought_and_one_answer() {
        assert_eq!(solution_answer("<think>It is left.</think>\n<answer>A</answer>"), Ok("A"));
        for broken in [
            "A",
            "<think>x</think>",
            "<answer>A</answer><think>x</think>",
            "<think>x</think><answer>A</answer><answer>B</answer>",
            "<think>x</think> so <answer>A</answer>",
            "<think>x</think><answer>A</answer>.",
            "<think></think><answer>A</answer>",
            "<think>x</think><answer> </answer>",
            "<think>x<answer>A</answer></think>",
        ] {
            assert!(solution_answer(broken).is_err(), "{broken}");
        }
    }
}
