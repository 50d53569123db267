//! A model and its processor together: pictures and a question in, an answer with boxes out. The one
//! way in which the terminal, the window and the page ask.

use super::parse::{self, LabelledBox};
use super::sightings::sightings;
use super::{AnswerError, Ending, GenerationOptions, GenerationTime, Memory, generate};
use crate::model::Qwen2_5Vl;
use crate::processor::boxes::BoxFrames;
use crate::processor::{Encoded, Message, PixelPatches, Processor};
use crate::samples::{GroundedBox, prompts};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};
use web_time::Instant;
#[cfg(not(target_arch = "wasm32"))]
use {
    super::{AnswerForm, Constraint, generate_blocking},
    crate::model::qwen2_5_vl::peft,
    crate::model::{ModelError, bundled},
    burn::tensor::Device,
};

/// What is put around the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// Stage 1: find the objects and give their boxes as JSON.
    #[default]
    Localization,
    /// Stage 2: the letter of an option, or a number, and nothing else.
    Direct,
    /// Stage 3: think between `<think>` tags, then answer between `<answer>` tags.
    Thinking,
    /// Nothing.
    Raw,
}

impl Prompt {
    /// The text of the user's turn, in the words that the stage is trained on. `options` are the answers to choose from, none for a number.
    pub fn fill(self, question: &str, options: &[String]) -> String {
        match self {
            Self::Localization => prompts::stage1(question),
            Self::Direct => prompts::stage2(question, options),
            Self::Thinking => prompts::stage3(question, options),
            Self::Raw => question.to_owned(),
        }
    }

    /// The form of the answer that it asks for.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn form(self, options: &[String]) -> Option<AnswerForm> {
        match self {
            Self::Localization => Some(AnswerForm::Boxes),
            Self::Direct | Self::Thinking if options.is_empty() => Some(AnswerForm::Number),
            Self::Direct | Self::Thinking => Some(AnswerForm::Letter(options.len())),
            Self::Raw => None,
        }
    }
}

/// What a question is about.
#[derive(Debug, Clone, Copy)]
pub enum Visuals<'a> {
    Images(&'a [RgbImage]),
    /// One video: frames of one size, and how many of them are a second.
    Video {
        frames: &'a [RgbImage],
        frames_per_second: f32,
    },
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct AskOptions {
    pub prompt: Prompt,
    /// Answers to choose from, each with its letter: `A. left` (see [`lettered`]).
    pub choices: Vec<String>,
    /// Texts that end the answer, which is cut before them.
    pub stop: Vec<String>,
    pub generation: GenerationOptions,
}

/// An answer; as JSON, what `ask --json` prints.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Everything the model said.
    pub text: String,
    /// What stands between `<think>` tags.
    pub thought: Option<String>,
    /// What stands between `<answer>` tags, or else all but the thought.
    pub answer: String,
    /// In pixels of the first picture as it was given.
    pub boxes: Vec<GroundedBox>,
    /// What the thought says that it sees in the first picture, in the same pixels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<GroundedBox>,
    pub token_ids: Vec<u32>,
    pub timings: Timings,
    /// What was wrong with the answer, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

impl Answer {
    /// What to draw over the first picture: the boxes of the answer, or without any those of the thought.
    pub fn boxes_to_show(&self) -> &[GroundedBox] {
        if self.boxes.is_empty() { &self.seen } else { &self.boxes }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Timings {
    /// Reading the model, seconds; the same for every answer of one `Answerer`.
    pub load_s: f64,
    /// Preparing the pictures and running the vision tower.
    pub encode_s: f64,
    /// Reading the prompt, up to the first token.
    pub prefill_s: f64,
    /// All tokens after the first.
    pub decode_s: f64,
    pub prompt_tokens: usize,
    pub new_tokens: usize,
    /// Tokens at the start of the prompt that were remembered from the last question.
    #[serde(default)]
    pub remembered_tokens: usize,
}

/// A model that can be asked.
#[derive(Debug)]
pub struct Answerer {
    pub model: Qwen2_5Vl,
    pub processor: Processor,
    load_s: f64,
    memory: Mutex<Memory>,
}

impl Answerer {
    /// Puts a model and a processor together.
    ///
    /// # Errors
    /// They belong to different models.
    pub fn new(model: Qwen2_5Vl, processor: Processor) -> Result<Self, AnswerError> {
        // Published models pad their embedding, so it may be larger than the vocabulary.
        let (known, rows) = (processor.tokenizer.vocab_size(), model.config().text.vocab_size);
        if known > rows {
            return Err(AnswerError::Vocabulary { tokenizer: known, model: rows });
        }
        Ok(Self { model, processor, load_s: 0.0, memory: Mutex::default() })
    }

    /// A model folder in Hugging Face form, the directory of a finished run, or one of the bundled models (`tiny:ladder`, …;
    /// `tiny` is the one that climbed the ladder).
    #[cfg(not(target_arch = "wasm32"))]
    pub fn load(name: &str, device: &Device) -> Result<Self, AnswerError> {
        let start = Instant::now();
        let name = if name == "tiny" { "tiny:ladder" } else { name };
        let answerer = match bundled::Bundled::from_name(name)? {
            Some(model) => Self::new(model.open(0, device)?, bundled::processor()?)?,
            None => {
                let dir = bundled::folder(name);
                // The config first: of a folder that is no model at all, it is what people miss.
                let model = Qwen2_5Vl::load(&dir, device)?;
                Self::new(model, Processor::load(&peft::processor_folder(&dir)?)?)?
            }
        };
        Ok(Self { load_s: start.elapsed().as_secs_f64(), ..answerer })
    }

    /// Asks about pictures or a video. `on_text` hears the answer as it comes and stops it by breaking.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn ask(
        &self,
        visuals: Visuals<'_>,
        question: &str,
        options: &AskOptions,
        mut on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, AnswerError> {
        let on_text = async |text: &str| on_text(text);
        burn::tensor::read_sync(self.ask_async(visuals, question, options, on_text))
    }

    /// [`Self::ask`] for the browser, where nothing may wait for the GPU.
    pub async fn ask_async(
        &self,
        visuals: Visuals<'_>,
        question: &str,
        options: &AskOptions,
        mut on_text: impl AsyncFnMut(&str) -> ControlFlow<()>,
    ) -> Result<Answer, AnswerError> {
        let start = Instant::now();
        let encoded = self.encode(visuals, question, options)?;
        let prepared_s = start.elapsed().as_secs_f64();

        let mut generation = options.generation.clone();
        let special = self.processor.tokenizer.special();
        generation.stop_tokens.extend([special.im_end, special.end_of_text]);
        let mut stream = self.processor.tokenizer.stream();
        let mut stopper = Stopper::new(&options.stop);
        let on_token = async |_, token| {
            let Some(text) = stream.push(token) else { return ControlFlow::Continue(()) };
            let (text, stopped) = stopper.push(&text);
            let heard = if text.is_empty() { ControlFlow::Continue(()) } else { on_text(&text).await };
            if stopped { ControlFlow::Break(()) } else { heard }
        };
        // Taken out for the time of the answer: two questions at once share nothing.
        let mut memory = std::mem::take(&mut *self.memory());
        let generated = generate(&self.model, &[&encoded], &generation, Some(&mut memory), on_token).await;
        *self.memory() = memory;
        let (generated, time) = generated?;
        let mut problems = Vec::new();
        let mut token_ids = Vec::new();
        for result in generated {
            if result.ending == Ending::Length {
                problems.push(format!("the answer was cut off after {} tokens", generation.max_new_tokens));
            }
            token_ids = result.token_ids;
        }
        let held_back = stopper.rest();
        if !held_back.is_empty() {
            // The answer is over, whatever the listener says.
            let _ = on_text(&held_back).await;
        }
        let timings = self.timings(prepared_s, time, encoded.token_ids.len(), token_ids.len());
        Ok(self.answer(token_ids, &encoded.images, timings, problems, &options.stop))
    }

    /// A constraint to the form that a prompt asks for.
    ///
    /// # Errors
    /// The prompt asks for none, or the tokenizer cannot be followed.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn constraint(&self, prompt: Prompt, choices: &[String]) -> Result<Constraint, AnswerError> {
        let form = prompt
            .form(choices)
            .ok_or_else(|| AnswerError::Constraint("a question sent as it is asks for no form".to_owned()))?;
        let rows = self.model.config().text.vocab_size;
        Constraint::new(&self.processor.tokenizer, rows, form, prompt == Prompt::Thinking)
            .map_err(AnswerError::Constraint)
    }

    /// A question with its pictures or video as the model takes it, the assistant's turn opened.
    pub fn encode(
        &self,
        visuals: Visuals<'_>,
        question: &str,
        options: &AskOptions,
    ) -> Result<Encoded, AnswerError> {
        let processor = &self.processor.image;
        let patches = match visuals {
            Visuals::Images(images) => {
                images.iter().map(|image| processor.preprocess(image)).collect::<Result<Vec<_>, _>>()?
            }
            Visuals::Video { frames, frames_per_second } => {
                vec![processor.preprocess_video(frames, frames_per_second)?]
            }
        };
        let message = Message::user(0..patches.len(), options.prompt.fill(question, &options.choices));
        let encoded = self.processor.encode(&[message], patches, true)?;
        let (tokens, limit) = (encoded.token_ids.len(), self.model.config().text.max_position_embeddings);
        if tokens >= limit { Err(AnswerError::TooLong { tokens, limit }) } else { Ok(encoded) }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // Whatever a thread that panicked left is only a memory of questions.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn timings(
        &self,
        prepared_s: f64,
        time: GenerationTime,
        prompt_tokens: usize,
        new_tokens: usize,
    ) -> Timings {
        Timings {
            load_s: self.load_s,
            encode_s: prepared_s + time.encode_s,
            prefill_s: time.prefill_s,
            decode_s: time.decode_s,
            prompt_tokens,
            new_tokens,
            remembered_tokens: time.remembered_tokens,
        }
    }

    fn answer(
        &self,
        token_ids: Vec<u32>,
        images: &[PixelPatches],
        timings: Timings,
        mut problems: Vec<String>,
        stop: &[String],
    ) -> Answer {
        let mut text = self.processor.decode(&token_ids);
        if let Some(at) = first_stop(&text, stop) {
            text.truncate(at);
        }
        let parsed = parse::parse(&text);
        problems.extend(parsed.problems);
        let sightings = parsed.thought.as_deref().map(sightings).unwrap_or_default();
        let seen = sightings.into_iter().filter(|sighting| sighting.picture == 0);
        let seen: Vec<LabelledBox> = seen.map(|sighting| sighting.found).collect();
        let (seen, boxes) = match images.first() {
            Some(image) => {
                let frames = image.box_frames();
                let seen = on_picture(frames, seen, " of the thought", &mut problems);
                (seen, on_picture(frames, parsed.boxes, "", &mut problems))
            }
            None => (Vec::new(), Vec::new()),
        };
        Answer {
            seen,
            boxes,
            thought: parsed.thought,
            answer: parsed.answer,
            text,
            token_ids,
            timings,
            problems,
        }
    }
}

/// Boxes that the model said, in pixels of the picture as it was given, clipped to it. One that lies outside is left out
/// and named among the problems; `of` says there what it is a box of.
fn on_picture(
    frames: BoxFrames,
    found: Vec<LabelledBox>,
    of: &str,
    problems: &mut Vec<String>,
) -> Vec<GroundedBox> {
    let (width, height) = frames.resized;
    let mut given = Vec::new();
    for LabelledBox { number, label, bbox_2d } in found {
        let [x1, y1, x2, y2] = bbox_2d;
        if x2 <= 0.0 || y2 <= 0.0 || x1 >= width as f32 || y1 >= height as f32 {
            problems.push(format!("box {number}{of} [{x1}, {y1}, {x2}, {y2}] lies outside the picture"));
            continue;
        }
        let inside = frames.from_model(bbox_2d);
        let bbox_2d = [inside.x1, inside.y1, inside.x2, inside.y2].map(|v| v.round() as i64);
        given.push(GroundedBox { bbox_2d, label });
    }
    given
}

/// Options with their letters, as [`AskOptions::choices`] has them.
///
/// # Errors
/// There are more options than letters.
pub fn lettered(options: &[impl AsRef<str>]) -> Result<Vec<String>, AnswerError> {
    if options.len() > 26 {
        return Err(AnswerError::TooManyOptions(options.len()));
    }
    Ok(('A'..='Z').zip(options).map(|(letter, option)| format!("{letter}. {}", option.as_ref())).collect())
}

/// Where the first of these texts begins.
fn first_stop(text: &str, stop: &[String]) -> Option<usize> {
    stop.iter().filter(|stop| !stop.is_empty()).filter_map(|stop| text.find(stop.as_str())).min()
}

/// Passes a text on piece by piece up to the first stop; what may be the beginning of one is held back.
struct Stopper<'a> {
    stop: &'a [String],
    held: String,
    stopped: bool,
}

impl<'a> Stopper<'a> {
    fn new(stop: &'a [String]) -> Self {
        Self { stop, held: String::new(), stopped: false }
    }

    /// What can be passed on now, and whether that was the last.
    fn push(&mut self, text: &str) -> (String, bool) {
        if self.stopped {
            return (String::new(), true);
        }
        self.held.push_str(text);
        if let Some(at) = first_stop(&self.held, self.stop) {
            self.stopped = true;
            self.held.truncate(at);
            return (std::mem::take(&mut self.held), true);
        }
        let begins = |from: &usize| {
            self.stop.iter().any(|stop| !stop.is_empty() && stop.starts_with(&self.held[*from..]))
        };
        let keep = self.held.char_indices().map(|(at, _)| at).find(begins).unwrap_or(self.held.len());
        let rest = self.held.split_off(keep);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// What was held back and turned out to be no stop.
    fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The likeliest answers to a batch of prompts, as text; `None` when it was to `stop` meanwhile.
#[cfg(not(target_arch = "wasm32"))]
pub fn generate_batch(
    model: &Qwen2_5Vl,
    processor: &Processor,
    prompts: &[&Encoded],
    max_new_tokens: usize,
    stop: &dyn Fn() -> bool,
) -> Result<Option<Vec<String>>, ModelError> {
    let special = processor.tokenizer.special();
    let stop_tokens = vec![special.im_end, special.end_of_text];
    let options = GenerationOptions { max_new_tokens, stop_tokens, ..Default::default() };
    let on_token = |_, _| if stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let (results, _) = generate_blocking(model, prompts, &options, on_token)?;
    let texts = || results.iter().map(|result| processor.decode(&result.token_ids)).collect();
    Ok((!stop()).then(texts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_stop_is_heard_within_a_token() {
        let model =
            crate::model::bundled::open_model("tiny:random", 3, &burn::tensor::Device::flex()).unwrap();
        let processor = crate::model::bundled::processor().unwrap();
        let prompt = processor.encode(&[Message::user(0..0, "Where is the bed?")], Vec::new(), true).unwrap();
        let asked = Cell::new(0);
        let answers = |until: usize| {
            asked.set(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() > until
            };
            generate_batch(&model, &processor, &[&prompt], 40, &stop).unwrap()
        };
        let whole = answers(usize::MAX).expect("nobody stopped it");
        assert!(whole.len() == 1 && asked.get() > 30, "{whole:?} {}", asked.get());
        assert_eq!(answers(5), None);
        assert!(asked.get() < 10, "{}", asked.get());
    }

    #[test]
    fn a_box_outside_the_picture_is_a_problem() {
        let frames = BoxFrames { original: (1296, 968), resized: (252, 196) };
        let text = r#"[{"bbox_2d": null}, {"bbox_2d": [252, 0, 300, 10], "label": "door"},
                       {"bbox_2d": [126, 98, 300, 300], "label": "bed"}]"#;
        let mut problems = Vec::new();
        let boxes = on_picture(frames, parse::parse(text).boxes, "", &mut problems);
        assert_eq!(boxes, [GroundedBox { bbox_2d: [648, 484, 1296, 968], label: "bed".into() }]);
        let seen = sightings("The sofa is at (1, 2, 3, 4). The tv is at (9, 196, 10, 200).");
        let seen = seen.into_iter().map(|sighting| sighting.found).collect();
        assert_eq!(on_picture(frames, seen, " of the thought", &mut problems).len(), 1);
        let expected = [
            "box 2 [252, 0, 300, 10] lies outside the picture",
            "box 2 of the thought [9, 196, 10, 200] lies outside the picture",
        ];
        assert_eq!(problems, expected);
    }

    #[test]
    fn every_option_gets_a_letter_or_none_does() {
        assert_eq!(lettered(&["left", "right"]).unwrap(), ["A. left", "B. right"]);
        assert_eq!(lettered(&["left"; 26]).unwrap()[25], "Z. left");
        let error = lettered(&["left"; 27]).unwrap_err().to_string();
        assert_eq!(error, "27 options: there are letters for 26");
    }

    #[test]
    fn a_stop_is_found_across_pieces_and_never_passed_on() {
        let stop = ["</answer>".to_owned(), "END".to_owned()];
        let mut stopper = Stopper::new(&stop);
        let mut heard = String::new();
        let mut ended = false;
        for piece in ["left <", "b> and </ans", "wer> then </answer", "> never"] {
            let (text, stopped) = stopper.push(piece);
            heard.push_str(&text);
            ended |= stopped;
        }
        assert_eq!((heard.as_str(), ended), ("left <b> and ", true));
        let mut stopper = Stopper::new(&stop);
        assert_eq!(stopper.push("so E").0, "so ");
        assert_eq!(stopper.push("xit E").0, "Exit ");
        assert_eq!(stopper.rest(), "E");
    }
}
