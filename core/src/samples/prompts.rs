//! The prompt strings of SpatialLadder: interface constants of the released checkpoint, which answers
//! best when asked in exactly the words it was trained on. Spaces and line ends are part of them.
//!
//! Source: repository `ZJU-REAL/SpatialLadder` (commit 87320be). Training scripts in
//! `VLM-R1/src/open-r1-multimodal/src/open_r1/`: `sft_spld_stage1.py`, `sft_spld_stage2.py`,
//! `grpo_spld_stage3.py`. Evaluation in `eval_spld/data_utils/`: `vsi_utils.py`, `vsibench.py`.

/// System message of all supervised stages. Stage 3 and the evaluation send none of their own, so that
/// the chat template puts in [`DEFAULT_SYSTEM`].
pub const SUPERVISED_SYSTEM: &str = "You are a helpful assistant";

/// What Qwen2.5-VL's chat template says when a conversation has no system message.
pub const DEFAULT_SYSTEM: &str = "You are a helpful assistant.";

const STAGE1_INSTRUCTION: &str = "Please carefully observe the image first to identify the object(s) referred to in the question. \
     Note that each object type appears only once in the image. \
     Please provide the 2D bounding box coordinates and labels of the related objects in JSON format. ";

const STAGE2_CHOICE: &str = "Please answer with the option's letter from the given choices directly.";
const DIRECT_CHOICE: &str =
    "Please answer with the option's letter from the given choices (e.g., A, B, etc.) directly.";
const DIRECT_NUMBER: &str = "Please answer the question using a numerical value (e.g., 42 or 3.1) directly.";

const STAGE3_PONDER: &str = "Please Think about this question as if you were a human pondering deeply. ";
const EVALUATION_PONDER: &str = "Please think about this question as if you were a human pondering deeply. ";
const DIALOGUE: &str = "Engage in an internal dialogue using expressions such as 'let me think', 'wait', 'Hmm', 'oh, I see', 'let's break it down', etc, or other natural language thought expressions \
     It's encouraged to include self-reflection or verification in the reasoning process. \n";
const THINKING_CHOICE: &str = "Please provide your detailed reasoning between the <think> </think> tags, \
     and then answer the question with the option's letter from the given choices (e.g., A, B, etc.) within the <answer> </answer> tags.";
const THINKING_NUMBER: &str = "Please provide your detailed reasoning between the <think> </think> tags, \
     and then answer the question with a numerical value (e.g., 42 or 3.1) within the <answer> </answer> tags.";

/// Stage 1, localization: the user text after the image.
pub fn stage1(question: &str) -> String {
    format!("Question: {question}\n{STAGE1_INSTRUCTION}")
}

/// Stage 2, direct answers: the user text after the images. `options` is empty for a numeric question.
/// The published code puts no line end before `Options:`, and an empty line before the instruction.
pub fn stage2(question: &str, options: &[String]) -> String {
    if options.is_empty() {
        format!("Question: {question}\n\n{DIRECT_NUMBER}")
    } else {
        format!("Question: {question}Options:\n{}\n\n{STAGE2_CHOICE}", options.join("\n"))
    }
}

/// Stage 3, reinforcement with thinking: the user text after the images.
pub fn stage3(question: &str, options: &[String]) -> String {
    let instruction = if options.is_empty() { THINKING_NUMBER } else { THINKING_CHOICE };
    let question = with_options(question, options);
    format!("Question: {question} \n{STAGE3_PONDER}{DIALOGUE}{instruction}")
}

/// Evaluation: the user text after the video or the images, with or without room to think.
pub fn evaluation(question: &str, options: &[String], thinking: bool) -> String {
    let question = with_options(question, options);
    let instruction = match (thinking, options.is_empty()) {
        (true, true) => THINKING_NUMBER,
        (true, false) => THINKING_CHOICE,
        (false, true) => DIRECT_NUMBER,
        (false, false) => DIRECT_CHOICE,
    };
    if thinking {
        format!("Question: {question}\n{EVALUATION_PONDER}{DIALOGUE}\n{instruction}")
    } else {
        format!("Question: {question}\n\n{instruction}")
    }
}

fn with_options(question: &str, options: &[String]) -> String {
    if options.is_empty() {
        question.to_owned()
    } else {
        format!("{question}\nOptions:\n{}", options.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage1_keeps_the_published_spaces() {
        assert_eq!(
            stage1("Where is the tv?"),
            "Question: Where is the tv?\nPlease carefully observe the image first to identify the \
             object(s) referred to in the question. Note that each object type appears only once in the \
             image. Please provide the 2D bounding box coordinates and labels of the related objects in \
             JSON format. "
        );
    }

    #[test]
    fn options_go_where_the_published_code_puts_them() {
        let options = ["A. left".to_owned(), "B. right".to_owned()];
        assert!(stage2("Which side?", &options).starts_with("Question: Which side?Options:\nA. left\nB."));
        assert!(
            stage3("Which side?", &options).contains("Which side?\nOptions:\nA. left\nB. right \nPlease")
        );
        assert!(evaluation("How far?", &[], true).contains("process. \n\nPlease provide"));
        assert!(evaluation("How far?", &[], false).ends_with("directly."));
    }
}
