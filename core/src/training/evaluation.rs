//! Held-out evaluation: greedy answers to localization questions about rooms never trained on.

use super::{TrainError, batches};
use crate::answering::generate_batch;
use crate::answering::parse::parse;
use crate::benchmarks::{AverageBox, LocalizationScore, score_localization};
use crate::geometry::PixelBox;
use crate::model::Qwen2_5Vl;
use crate::processor::{Encoded, Processor};
use crate::samples::{Dataset, GroundedBox, GroundingSample, prompts};
use serde::Serialize;
use std::sync::atomic::{AtomicBool, Ordering};

/// Questions answered at once: wide enough for matrix products to dominate, narrow enough for memory.
const BATCH: usize = 32;
/// Longest answer: a dozen boxes of the tiny tokenizer.
const MAX_NEW_TOKENS: usize = 160;

/// One question, what was wanted and what was said.
#[derive(Debug, Clone, Serialize)]
pub struct HeldOutAnswer {
    pub question_id: u64,
    pub scene: String,
    pub image: String,
    pub question: String,
    pub truth: Vec<GroundedBox>,
    /// The model's words.
    pub text: String,
    /// The boxes in them, in pixels of the stored image.
    pub boxes: Vec<(String, PixelBox)>,
    pub parsed: bool,
    pub mean_iou: f64,
    #[serde(skip)]
    pub score: LocalizationScore,
}

/// Mean scores over the questions.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    pub mean_iou: f64,
    pub accuracy_50: f64,
    /// Share of answers that hold boxes in the form asked for.
    pub parsed: f64,
    #[serde(skip)]
    pub answers: Vec<HeldOutAnswer>,
}

impl Evaluation {
    fn new(answers: Vec<HeldOutAnswer>) -> Self {
        let mean = |value: &dyn Fn(&HeldOutAnswer) -> f64| {
            answers.iter().map(value).sum::<f64>() / answers.len().max(1) as f64
        };
        Self {
            mean_iou: mean(&|answer| answer.mean_iou),
            accuracy_50: mean(&|answer| answer.score.accuracy_50()),
            parsed: mean(&|answer| if answer.parsed { 1.0 } else { 0.0 }),
            answers,
        }
    }

    /// Mean overlap of each question, in their order.
    pub fn ious(&self) -> Vec<f64> {
        self.answers.iter().map(|answer| answer.mean_iou).collect()
    }

    /// The scene of each question, in their order.
    pub fn scenes(&self) -> Vec<String> {
        self.answers.iter().map(|answer| answer.scene.clone()).collect()
    }
}

struct Question {
    row: GroundingSample,
    encoded: Encoded,
    stored: (u32, u32),
}

/// The held-out questions, encoded once and asked at every evaluation.
pub struct Evaluator<'a> {
    processor: &'a Processor,
    questions: Vec<Question>,
}

impl<'a> Evaluator<'a> {
    /// Takes `count` of the data set's held-out questions, evenly spread over its scenes.
    pub fn new(dataset: &Dataset, processor: &'a Processor, count: usize) -> Result<Self, TrainError> {
        let rows = &dataset.validation.grounding;
        let count = count.min(rows.len());
        let questions = (0..count)
            .map(|i| {
                let row = rows[i * rows.len() / count].clone();
                let images = row
                    .image
                    .iter()
                    .map(|image| batches::open_patches(&dataset.image_path(image), processor))
                    .collect::<Result<Vec<_>, _>>()?;
                let stored = images.first().map_or((1, 1), |patches| patches.original_size);
                let messages = batches::conversation(images.len(), &prompts::stage1(&row.question), None);
                Ok(Question { encoded: processor.encode(&messages, images, true)?, row, stored })
            })
            .collect::<Result<Vec<_>, TrainError>>()?;
        Ok(Self { processor, questions })
    }

    pub fn len(&self) -> usize {
        self.questions.len()
    }

    pub fn is_empty(&self) -> bool {
        self.questions.is_empty()
    }

    /// Asks `model` everything; `None` when `stop` was set meanwhile.
    pub fn run(
        &self,
        model: &Qwen2_5Vl,
        stop: &AtomicBool,
        mut progress: impl FnMut(usize),
    ) -> Result<Option<Evaluation>, TrainError> {
        let mut answers = Vec::with_capacity(self.questions.len());
        for chunk in self.questions.chunks(BATCH) {
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            let prompts: Vec<&Encoded> = chunk.iter().map(|question| &question.encoded).collect();
            let replies = generate_batch(model, self.processor, &prompts, MAX_NEW_TOKENS)?;
            for (question, text) in chunk.iter().zip(replies) {
                answers.push(question.grade(text));
            }
            progress(answers.len());
        }
        Ok(Some(Evaluation::new(answers)))
    }

    /// The blind baseline on the same questions: the average training box of each category asked for.
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
        let answers = self.questions.iter().map(|question| {
            let (width, height) = question.stored;
            let boxes = question
                .row
                .answer
                .iter()
                .filter_map(|truth| {
                    let answer = average.answer(&truth.label, width.into(), height.into())?;
                    Some((truth.label.clone(), answer))
                })
                .collect();
            question.graded(String::new(), boxes, true)
        });
        Ok(Evaluation::new(answers.collect()))
    }
}

impl Question {
    fn grade(&self, text: String) -> HeldOutAnswer {
        let parsed = parse(&text);
        let boxes: Vec<(String, PixelBox)> = parsed
            .boxes
            .iter()
            .filter_map(|found| {
                let frames = self.encoded.images.first()?.box_frames();
                Some((found.label.clone(), frames.from_model(found.bbox_2d)))
            })
            .collect();
        let readable = !boxes.is_empty() && parsed.problems.is_empty();
        self.graded(text, boxes, readable)
    }

    fn graded(&self, text: String, boxes: Vec<(String, PixelBox)>, parsed: bool) -> HeldOutAnswer {
        let score = score_localization(&self.row.answer, &boxes);
        let image = self.row.image.first().cloned().unwrap_or_default();
        HeldOutAnswer {
            question_id: self.row.question_id,
            scene: image.rsplit_once('/').map_or(image.as_str(), |(scene, _)| scene).to_owned(),
            image,
            question: self.row.question.clone(),
            truth: self.row.answer.clone(),
            text,
            boxes,
            parsed,
            mean_iou: score.mean_iou(),
            score,
        }
    }
}
