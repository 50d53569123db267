//! Answers that can only have the form asked for: a letter among the options, a number, or boxes as JSON, after as much
//! thought as the model likes. Which tokens may come next is worked out by `llguidance` from a grammar.

use crate::processor::Tokenizer;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use std::sync::Arc;

/// What an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerForm {
    /// The letter of one of so many options: A, B, …
    Letter(usize),
    /// Digits, with a sign and a fraction where there is one.
    Number,
    /// The fenced JSON list of stage 1: one or more of `{"bbox_2d": [x1, y1, x2, y2], "label": "…"}`.
    Boxes,
}

impl AnswerForm {
    /// The form as rules of a Lark grammar, `value` on top.
    fn rules(self) -> String {
        match self {
            Self::Letter(count) => {
                let letters: Vec<String> =
                    ('A'..='Z').take(count.max(1)).map(|letter| format!("\"{letter}\"")).collect();
                format!("value: {}", letters.join(" | "))
            }
            Self::Number => r"value: /-?[0-9]{1,7}(\.[0-9]{1,4})?/".to_owned(),
            Self::Boxes => {
                let number = "[0-9]{1,5}";
                let numbers = [number; 4].join(", ");
                // With a tab before each object or without, as Qwen2.5-VL writes both.
                [
                    r#"value: "```json\n[\n" box (",\n" box)* "\n]\n```""#.to_owned(),
                    format!(
                        r#"box: /\t?\{{"bbox_2d": \[{numbers}\], "label": "[^"\\\x00-\x1F]{{1,60}}"\}}/"#
                    ),
                ]
                .join("\n")
            }
        }
    }
}

/// A form, ready for a tokenizer. Cheap to clone.
#[derive(Clone)]
pub struct Constraint {
    form: AnswerForm,
    thinking: bool,
    matcher: Arc<Matcher>,
}

impl Constraint {
    /// `thinking`: the answer stands between `<answer>` tags, after a thought between `<think>` tags. `rows` is the size
    /// of the model's output layer, which may be larger than the vocabulary.
    ///
    /// # Errors
    /// The library refuses the grammar or the tokenizer, saying why.
    pub fn new(tokenizer: &Tokenizer, rows: usize, form: AnswerForm, thinking: bool) -> Result<Self, String> {
        let special = tokenizer.special();
        let mut words: Vec<Vec<u8>> = (0..rows as u32).map(|id| tokenizer.token_bytes(id).to_vec()).collect();
        // The library's mark of tokens that are no text. Without one they could not be told from padding.
        if let Some(word) = words.get_mut(special.im_end as usize) {
            *word = [&[TokTrie::SPECIAL_TOKEN_MARKER], b"<|im_end|>".as_slice()].concat();
        }
        let trie = TokTrie::from(&TokRxInfo::new(rows as u32, special.im_end), &words);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let capabilities = InferenceCapabilities::default();
        let mut factory = ParserFactory::new(&env, capabilities, &[]).map_err(|error| error.to_string())?;
        factory.quiet();
        let start = if thinking {
            // Lazy: the thought ends with the first closing tag.
            "start: thought /[ \\n]?/ \"<answer>\" value \"</answer>\"\nthought[lazy]: /<think>(.|\\n)*<\\/think>/"
        } else {
            "start: value"
        };
        let grammar = TopLevelGrammar::from_lark(format!("{start}\n{}", form.rules()));
        let matcher = Matcher::new(factory.create_parser(grammar));
        match matcher.get_error() {
            Some(error) => Err(error),
            None => Ok(Self { form, thinking, matcher: Arc::new(matcher) }),
        }
    }

    /// Follows one answer from its beginning.
    pub(super) fn follow(&self) -> Guide {
        Guide { matcher: self.matcher.deep_clone() }
    }
}

impl PartialEq for Constraint {
    fn eq(&self, other: &Self) -> bool {
        (self.form, self.thinking) == (other.form, other.thinking)
    }
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").field("form", &self.form).field("thinking", &self.thinking).finish()
    }
}

/// Where an answer stands in its form.
pub(super) struct Guide {
    matcher: Matcher,
}

impl Guide {
    /// Makes tokens that may not come next impossible. Should the library fail, all stay possible: an answer out of form
    /// is better than none, and what reads it says so.
    pub fn mask(&mut self, logits: &mut [f32]) {
        match self.matcher.compute_mask_or_eos() {
            Ok(allowed) => {
                for (token, logit) in logits.iter_mut().enumerate() {
                    if !allowed.is_allowed(token as u32) {
                        *logit = f32::NEG_INFINITY;
                    }
                }
            }
            Err(error) => log::warn!("the answer is not held to its form: {error}"),
        }
    }

    pub fn push(&mut self, token: u32) {
        if !self.matcher.is_stopped()
            && let Err(error) = self.matcher.consume_token(token)
        {
            log::warn!("the answer is not held to its form: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Processor;
    use rand::{Rng as _, SeedableRng as _};

    /// Follows the grammar at random, as a model that knows nothing would.
    fn babble(form: AnswerForm, thinking: bool, seed: u64) -> String {
        let tokenizer = Processor::tiny().unwrap().tokenizer;
        let rows = tokenizer.vocab_size() + 7;
        let mut guide = Constraint::new(&tokenizer, rows, form, thinking).unwrap().follow();
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut said = Vec::new();
        // Of a thought or a list that goes on for ever, its end is made likely after a while.
        let closing: Vec<u32> =
            ["</think>", "\n]\n```", "\"}"].iter().flat_map(|text| tokenizer.encode(text).unwrap()).collect();
        for step in 0..400 {
            let mut logits: Vec<f32> = (0..rows).map(|_| random.random()).collect();
            if step > 30 {
                closing.iter().for_each(|token| logits[*token as usize] += 2.0);
            }
            guide.mask(&mut logits);
            let best = (0..rows).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap() as u32;
            if best == tokenizer.special().im_end {
                return tokenizer.decode(&said);
            }
            guide.push(best);
            said.push(best);
        }
        tokenizer.decode(&said)
    }

    #[test]
    fn whatever_the_model_says_has_the_form() {
        for seed in 0..8 {
            let letter = babble(AnswerForm::Letter(3), false, seed);
            assert!(["A", "B", "C"].contains(&letter.as_str()), "{letter:?}");
            let number = babble(AnswerForm::Number, false, seed);
            assert!(number.parse::<f64>().is_ok(), "{number:?}");
            let boxes = babble(AnswerForm::Boxes, false, seed);
            let list = boxes.strip_prefix("```json\n").and_then(|rest| rest.strip_suffix("\n```"));
            let list: Vec<serde_json::Value> = serde_json::from_str(list.unwrap_or_default()).unwrap();
            let numbers = |found: &serde_json::Value| found["bbox_2d"].as_array().map_or(0, Vec::len);
            assert!(!list.is_empty() && list.iter().all(|found| numbers(found) == 4), "{boxes:?}");
        }
    }

    #[test]
    fn a_thought_is_free_and_the_answer_is_not() {
        for seed in 0..4 {
            let text = babble(AnswerForm::Letter(4), true, seed);
            assert!(text.starts_with("<think>"), "{text:?}");
            let Some((_, answer)) = text.split_once("</think>") else { continue };
            let letter =
                answer.trim().strip_prefix("<answer>").and_then(|rest| rest.strip_suffix("</answer>"));
            assert!(letter.is_some_and(|letter| ["A", "B", "C", "D"].contains(&letter)), "{text:?}");
        }
    }
}
