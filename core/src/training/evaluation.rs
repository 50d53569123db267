//! Held-out evaluation: greedy answers to questions about rooms never trained on.

use super::batches::{conversation, open_visuals};
use super::{TrainError, rewards};
use crate::answering::generate_batch;
use crate::answering::parse::{LabelledBox, parse};
use crate::answering::sightings::sightings;
use crate::benchmarks::blind::{Blind, quality};
use crate::benchmarks::{AverageBox, LocalizationScore, score_localization};
use crate::geometry::PixelBox;
use crate::model::Qwen2_5Vl;
use crate::processor::{Encoded, Processor};
use crate::samples::{DataType, Dataset, GroundedBox, GroundingSample, SpatialSample, prompts};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Questions answered at once: wide enough for matrix products to dominate, narrow enough for memory.
const BATCH: usize = 32;
/// Longest list of boxes, and longest direct answer.
const BOX_TOKENS: usize = 160;
const DIRECT_TOKENS: usize = 16;

/// How questions are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Where are things: boxes, as in stage 1.
    Localization,
    /// A letter or a number at once, as in stage 2.
    Direct,
    /// After a thought of so many tokens at most, as in stage 3.
    Thinking { max_new_tokens: usize },
}

/// One question, what was wanted and what was said.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HeldOutAnswer {
    pub question_id: u64,
    pub scene: String,
    /// The first of the question's images.
    pub image: String,
    pub question: String,
    /// `localization`, or the modality and type of a spatial question: `video/room size`.
    pub kind: String,
    /// The boxes wanted; of a spatial question the letter or number.
    pub truth: Truth,
    /// The model's words.
    pub text: String,
    /// The boxes in them, those of a thought included, in pixels of the stored image.
    pub boxes: Vec<(String, PixelBox)>,
    /// Whether the answer has the form asked for.
    pub parsed: bool,
    /// Mean overlap of the boxes wanted; accuracy of a choice; mean relative accuracy of a number.
    pub score: f64,
    #[serde(skip)]
    localization: Option<LocalizationScore>,
}

/// What the answer should have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Truth {
    Boxes(Vec<GroundedBox>),
    Text(String),
}

/// The score of the questions of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct KindScore {
    pub questions: usize,
    pub score: f64,
}

/// Mean scores over the questions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Evaluation {
    /// Over localization questions, where there are any.
    pub mean_iou: Option<f64>,
    pub accuracy_50: Option<f64>,
    /// Mean over the kinds of spatial questions, each weighing the same.
    pub score: Option<f64>,
    /// Share of answers in the form asked for: boxes that can be read, a letter or number alone, or one thought and one
    /// answer.
    pub parsed: f64,
    pub kinds: BTreeMap<String, KindScore>,
    #[serde(skip)]
    pub answers: Vec<HeldOutAnswer>,
}

impl Evaluation {
    fn new(answers: Vec<HeldOutAnswer>) -> Self {
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
        let some = |values: Vec<f64>| (!values.is_empty()).then(|| mean(&values));
        let boxes = || answers.iter().filter_map(|answer| answer.localization.as_ref());
        let mut by_kind: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for answer in &answers {
            by_kind.entry(answer.kind.clone()).or_default().push(answer.score);
        }
        let kinds: BTreeMap<String, KindScore> = by_kind
            .into_iter()
            .map(|(kind, scores)| (kind, KindScore { questions: scores.len(), score: mean(&scores) }))
            .collect();
        let spatial = kinds.iter().filter(|(kind, _)| *kind != LOCALIZATION).map(|(_, kind)| kind.score);
        let parsed: Vec<f64> = answers.iter().map(|answer| f64::from(u8::from(answer.parsed))).collect();
        Self {
            mean_iou: some(boxes().map(LocalizationScore::mean_iou).collect()),
            accuracy_50: some(boxes().map(LocalizationScore::accuracy_50).collect()),
            score: some(spatial.collect()),
            parsed: mean(&parsed),
            kinds,
            answers,
        }
    }

    /// The score of each question, in their order, weighed so that their mean is the mean over the kinds.
    pub fn scores(&self) -> Vec<f64> {
        let even = self.answers.len() as f64 / self.kinds.len().max(1) as f64;
        let weight = |kind: &str| self.kinds.get(kind).map_or(1.0, |found| even / found.questions as f64);
        self.answers.iter().map(|answer| answer.score * weight(&answer.kind)).collect()
    }

    /// The scene of each question, in their order.
    pub fn scenes(&self) -> Vec<String> {
        self.answers.iter().map(|answer| answer.scene.clone()).collect()
    }

    /// What says best how good the model is: the mean of the kinds' scores, or the mean overlap.
    pub fn headline(&self) -> f64 {
        self.score.or(self.mean_iou).unwrap_or(0.0)
    }
}

const LOCALIZATION: &str = "localization";

/// `video/room size`.
pub fn kind(question: &SpatialSample) -> String {
    format!("{}/{}", question.data_type.name(), question.question_type.name())
}

enum Asked {
    Boxes(GroundingSample),
    Spatial(Box<SpatialSample>),
}

struct Question {
    asked: Asked,
    encoded: Encoded,
}

/// The held-out questions, encoded once and asked at every evaluation.
pub struct Evaluator<'a> {
    processor: &'a Processor,
    task: Task,
    questions: Vec<Question>,
}

impl<'a> Evaluator<'a> {
    /// Takes `count` of the data set's held-out questions, evenly spread over its scenes; of spatial questions the same
    /// number of each kind, as far as there are so many.
    pub fn new(
        dataset: &Dataset,
        processor: &'a Processor,
        task: Task,
        count: usize,
    ) -> Result<Self, TrainError> {
        let asked: Vec<Asked> = match task {
            Task::Localization => {
                spread(&dataset.validation.grounding, count).cloned().map(Asked::Boxes).collect()
            }
            Task::Direct | Task::Thinking { .. } => {
                let mut kinds: BTreeMap<String, Vec<&SpatialSample>> = BTreeMap::new();
                for row in &dataset.validation.spatial {
                    kinds.entry(kind(row)).or_default().push(row);
                }
                let each = count.div_ceil(kinds.len().max(1));
                kinds
                    .values()
                    .flat_map(|rows| spread(rows, each))
                    .map(|row| Asked::Spatial(Box::new((*row).clone())))
                    .collect()
            }
        };
        let encode = |asked: Asked| {
            let (images, data_type, text) = match &asked {
                Asked::Boxes(row) => (&row.image, DataType::SingleImage, prompts::stage1(&row.question)),
                Asked::Spatial(row) => {
                    let text = match task {
                        Task::Thinking { .. } => prompts::stage3(&row.question, row.options()),
                        _ => prompts::stage2(&row.question, row.options()),
                    };
                    (&row.image, row.data_type, text)
                }
            };
            let images = open_visuals(dataset, images, data_type, processor)?;
            let messages = conversation(images.len(), &text, None);
            Ok(Question { encoded: processor.encode(&messages, images, true)?, asked })
        };
        let questions = asked.into_iter().map(encode).collect::<Result<Vec<_>, TrainError>>()?;
        Ok(Self { processor, task, questions })
    }

    pub fn len(&self) -> usize {
        self.questions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// Asks `model` everything; `None` when it was to `stop` meanwhile.
    pub fn run(
        &self,
        model: &Qwen2_5Vl,
        stop: &dyn Fn() -> bool,
        mut progress: impl FnMut(usize),
    ) -> Result<Option<Evaluation>, TrainError> {
        let most = match self.task {
            Task::Localization => BOX_TOKENS,
            Task::Direct => DIRECT_TOKENS,
            Task::Thinking { max_new_tokens } => max_new_tokens,
        };
        let mut answers = Vec::with_capacity(self.questions.len());
        for chunk in self.questions.chunks(BATCH) {
            let prompts: Vec<&Encoded> = chunk.iter().map(|question| &question.encoded).collect();
            let Some(replies) = generate_batch(model, self.processor, &prompts, most, stop)? else {
                return Ok(None);
            };
            for (question, text) in chunk.iter().zip(replies) {
                answers.push(question.grade(text, self.task));
            }
            progress(answers.len());
        }
        Ok(Some(Evaluation::new(answers)))
    }

    /// The blind baseline of localization on the same questions: the average training box of each category asked for.
    pub fn average_box(&self, dataset: &Dataset) -> Result<Evaluation, TrainError> {
        let mut average = AverageBox::default();
        for row in &dataset.train.grounding {
            if let Some(image) = row.image.first() {
                let path = dataset.image_path(image);
                let (width, height) = image::image_dimensions(&path)
                    .map_err(|error| TrainError::Data(format!("{}: {error}", path.display())))?;
                row.answer.iter().for_each(|truth| average.add(truth, width.into(), height.into()));
            }
        }
        let answers = self.questions.iter().filter_map(|question| {
            let Asked::Boxes(row) = &question.asked else { return None };
            let (width, height) =
                question.encoded.images.first().map_or((1, 1), |patches| patches.original_size);
            let boxes = row
                .answer
                .iter()
                .filter_map(|truth| {
                    let answer = average.answer(&truth.label, width.into(), height.into())?;
                    Some((truth.label.clone(), answer))
                })
                .collect();
            Some(graded_boxes(row, String::new(), boxes, true))
        });
        Ok(Evaluation::new(answers.collect()))
    }
}

/// `count` of the rows, evenly spread.
fn spread<T>(rows: &[T], count: usize) -> impl Iterator<Item = &T> {
    let count = count.min(rows.len());
    (0..count).map(move |i| &rows[i * rows.len() / count])
}

/// The best that is reached without looking on the held-out spatial questions, by kind.
pub fn blind_scores(dataset: &Dataset) -> BTreeMap<String, f64> {
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for found in quality(dataset).types {
        let (Blind::NotSolved(scores) | Blind::Solved(scores)) = &found.blind else { continue };
        let Some(best) = scores.best() else { continue };
        let kind = format!("{}/{}", found.data_type.name(), found.question_type.name());
        // Directions are reported by how they are divided; here they are one kind again.
        let sum = sums.entry(kind).or_default();
        sum.0 += best.score * scores.scored as f64;
        sum.1 += scores.scored as f64;
    }
    sums.into_iter().map(|(kind, (sum, count))| (kind, sum / count.max(1.0))).collect()
}

impl Question {
    fn grade(&self, text: String, task: Task) -> HeldOutAnswer {
        match &self.asked {
            Asked::Boxes(row) => {
                let parsed = parse(&text);
                let boxes = self.on_first_picture(parsed.boxes);
                let readable = !boxes.is_empty() && parsed.problems.is_empty();
                graded_boxes(row, text, boxes, readable)
            }
            Asked::Spatial(row) => {
                let parsed = match task {
                    Task::Thinking { .. } => rewards::format(&text) == 1.0,
                    _ => is_direct(&text, row),
                };
                let score = rewards::accuracy(&text, row, false);
                let seen = sightings(&text).into_iter().filter(|sighting| sighting.picture == 0);
                let boxes = self.on_first_picture(seen.map(|sighting| sighting.found).collect());
                let image = row.image.first().cloned().unwrap_or_default();
                HeldOutAnswer {
                    question_id: row.question_id,
                    scene: scene(&image),
                    image,
                    question: row.question.clone(),
                    kind: kind(row),
                    truth: Truth::Text(row.answer.clone()),
                    text,
                    boxes,
                    parsed,
                    score,
                    localization: None,
                }
            }
        }
    }

    /// What the model said in pixels of the picture it saw, in those of the stored one.
    fn on_first_picture(&self, found: Vec<LabelledBox>) -> Vec<(String, PixelBox)> {
        let Some(image) = self.encoded.images.first() else { return Vec::new() };
        let frames = image.box_frames();
        found.into_iter().map(|found| (found.label, frames.from_model(found.bbox_2d))).collect()
    }
}

/// Whether a text is a letter of the options, or a number, and nothing else.
fn is_direct(text: &str, question: &SpatialSample) -> bool {
    if question.question_type.is_choice() {
        let mut letters = text.chars();
        let letter = letters.next().map_or(usize::MAX, |letter| (letter as usize).wrapping_sub('A' as usize));
        letters.next().is_none() && letter < question.options().len()
    } else {
        text.parse::<f64>().is_ok()
    }
}

fn scene(image: &str) -> String {
    image.rsplit_once('/').map_or(image, |(scene, _)| scene).to_owned()
}

fn graded_boxes(
    row: &GroundingSample,
    text: String,
    boxes: Vec<(String, PixelBox)>,
    parsed: bool,
) -> HeldOutAnswer {
    let score = score_localization(&row.answer, &boxes);
    let image = row.image.first().cloned().unwrap_or_default();
    HeldOutAnswer {
        question_id: row.question_id,
        scene: scene(&image),
        image,
        question: row.question.clone(),
        kind: LOCALIZATION.to_owned(),
        truth: Truth::Boxes(row.answer.clone()),
        text,
        boxes,
        parsed,
        score: score.mean_iou(),
        localization: Some(score),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_weighed_so_that_kinds_count_alike() {
        let answer = |kind: &str, score| HeldOutAnswer {
            question_id: 0,
            scene: "room".into(),
            image: String::new(),
            question: String::new(),
            kind: kind.into(),
            truth: Truth::Text("A".into()),
            text: String::new(),
            boxes: Vec::new(),
            parsed: true,
            score,
            localization: None,
        };
        let found =
            Evaluation::new(vec![answer("a", 1.0), answer("a", 0.0), answer("a", 0.5), answer("b", 0.1)]);
        let scores = found.scores();
        let mean = scores.iter().sum::<f64>() / scores.len() as f64;
        assert!((mean - 0.3).abs() < 1e-12 && found.score.is_some_and(|score| (mean - score).abs() < 1e-12));
        // Unweighed, the kind with more questions would count for more.
        assert!((scores[3] - 0.2).abs() < 1e-12, "{scores:?}");
    }
}
