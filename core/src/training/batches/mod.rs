//! From rows of a data set to batches: pictures are opened, questions put into the chat template, in a
//! thread of its own so that the model never waits for a disk.

mod foundation;
mod look_ups;
mod mixing;

pub use foundation::DenseLabels;
pub use mixing::{Conversation, Row, conversations};

use super::{TrainConfig, TrainError, config::Stage, sampler::Sampler};
use crate::answering::sightings::map_boxes;
use crate::benchmarks::pixel_box;
use crate::geometry::PixelBox;
use crate::model::device::unless_it_panics;
use crate::processor::{Content, Encoded, Message, PixelPatches, Processor, Role};
use crate::samples::{DataType, Dataset, GroundedBox, SpatialSample, prompts};
use crate::scenes::Dice;
use foundation::{caption_instruction, foundation_row};
use mixing::pictures;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// One sample, ready for the model.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub encoded: Encoded,
    /// In the foundation stage.
    pub labels: Option<DenseLabels>,
    /// In the reasoning stage: what is asked, for the rewards.
    pub question: Option<SpatialSample>,
}

/// How many frames of a video are a second: what the published model was trained with.
pub const FRAMES_PER_SECOND: f32 = 2.0;

/// A user turn of pictures and text, and the wanted answer.
pub fn conversation(images: usize, question: &str, answer: Option<&str>) -> Vec<Message> {
    let mut messages = vec![Message::user(0..images, question)];
    messages.extend(answer.map(Message::assistant));
    messages
}

/// The stage-1 answer as Qwen2.5-VL writes boxes: a fenced JSON list, one object a line, in pixels of
/// the resized picture.
pub fn localization_answer(answer: &[GroundedBox], patches: &PixelPatches) -> String {
    let frames = patches.box_frames();
    let lines: Vec<String> = answer
        .iter()
        .filter_map(|grounded| {
            let [x1, y1, x2, y2] = frames.to_model(pixel_box(grounded))?;
            let label = serde_json::Value::from(grounded.label.as_str());
            Some(format!("\t{{\"bbox_2d\": [{x1}, {y1}, {x2}, {y2}], \"label\": {label}}}"))
        })
        .collect();
    format!("```json\n[\n{}\n]\n```", lines.join(",\n"))
}

/// A thought and its answer with whatever boxes it gives in pixels of the resized pictures, which are all of one size.
fn thought_wanted(solution: &str, patches: &[PixelPatches]) -> String {
    let Some(first) = patches.first() else { return solution.to_owned() };
    let frames = first.box_frames();
    map_boxes(solution, |[x1, y1, x2, y2]| frames.to_model(PixelBox::new(x1, y1, x2, y2)))
}

/// Turns rows into [`Prepared`] samples.
pub struct Encoder {
    pub dataset: Arc<Dataset>,
    pub processor: Arc<Processor>,
    pub config: TrainConfig,
    /// Labels of the data set; category `i + 1` of the foundation stage is `categories[i]`.
    pub categories: Arc<Vec<String>>,
    /// What the run learns from.
    pub conversations: Arc<Vec<Conversation>>,
}

impl Encoder {
    /// A measure of how long a conversation becomes: its images above all.
    fn length(&self, rows: &[Row]) -> u32 {
        const IMAGE: usize = 1000;
        let train = &self.dataset.train;
        let images = rows.first().map_or(0, |row| match pictures(train, *row) {
            (images, DataType::Video) => images.len().div_ceil(self.processor.image.temporal_patch_size),
            (images, DataType::SingleImage | DataType::MultiView) => images.len(),
        });
        let text = |row: &Row| match *row {
            Row::Localization(at) => 60 * train.grounding[at as usize].answer.len(),
            Row::Spatial(at) => {
                let row = &train.spatial[at as usize];
                row.question.len() + row.options().iter().map(String::len).sum::<usize>()
            }
            Row::ColdStart(at) => {
                let row = &train.cold_start[at as usize];
                row.prompt.len() + row.solution.len()
            }
            Row::Foundation(_) => 0,
        };
        (images * IMAGE + rows.iter().map(text).sum::<usize>()) as u32
    }

    /// A conversation, as the sample numbered `draw` of the run: whatever varies between epochs follows from it.
    pub fn prepare(&self, rows: &[Row], draw: u64) -> Result<Prepared, TrainError> {
        let train = &self.dataset.train;
        let dice = &mut Dice::new(self.config.seed, draw);
        match *rows {
            [Row::Foundation(_), ..] => {
                let rows: Vec<_> = rows.iter().filter_map(|row| foundation_row(train, *row)).collect();
                self.prepare_foundation(&rows, Some(dice))
            }
            [Row::Spatial(at)] if self.config.stage == Stage::Reasoning => {
                self.prepare_prompt(&train.spatial[at as usize])
            }
            _ => {
                let mut rows = rows.to_vec();
                dice.shuffle(&mut rows);
                self.supervised(&rows)
            }
        }
    }

    /// What is asked and what is wanted.
    fn turn(&self, row: Row, patches: &[PixelPatches]) -> Result<(String, String), TrainError> {
        let train = &self.dataset.train;
        match row {
            Row::Localization(at) => {
                let row = &train.grounding[at as usize];
                let first = patches.first().ok_or_else(|| {
                    TrainError::Data(format!("question {} has no image; run `data check`", row.question_id))
                })?;
                Ok((prompts::stage1(&row.question), self.boxes_wanted(&row.answer, first)))
            }
            Row::Spatial(at) => {
                let row = &train.spatial[at as usize];
                Ok((prompts::stage2(&row.question, row.options()), row.answer.clone()))
            }
            Row::ColdStart(at) => {
                let row = &train.cold_start[at as usize];
                Ok((row.prompt.clone(), thought_wanted(&row.solution, patches)))
            }
            Row::Foundation(at) => {
                let row = &train.foundation[at as usize];
                Ok((caption_instruction(1).to_owned(), row.caption.clone()))
            }
        }
    }

    fn boxes_wanted(&self, truth: &[GroundedBox], patches: &PixelPatches) -> String {
        let mut truth = truth.to_vec();
        if self.config.faults.boxes_scaled_for_one_resize {
            for grounded in &mut truth {
                grounded.bbox_2d[0] = grounded.bbox_2d[0] * 364 / 336;
                grounded.bbox_2d[2] = grounded.bbox_2d[2] * 364 / 336;
            }
        }
        let answer = localization_answer(&truth, patches);
        if self.config.faults.double_encoded_answers {
            return serde_json::to_string(&answer).unwrap_or(answer);
        }
        answer
    }

    /// A prompt for the model to answer by itself.
    fn prepare_prompt(&self, row: &SpatialSample) -> Result<Prepared, TrainError> {
        let images = open_visuals(&self.dataset, &row.image, row.data_type, &self.processor)?;
        let text = prompts::stage3(&row.question, row.options());
        let mut messages = conversation(images.len(), &text, None);
        if self.config.faults.text_before_video && row.data_type == DataType::Video {
            let content = vec![Content::Text(text), Content::Image(0)];
            messages = vec![Message { role: Role::User, content }];
        }
        let encoded = self.processor.encode(&messages, images, true)?;
        Ok(Prepared { encoded, labels: None, question: Some(row.clone()) })
    }

    /// Pictures, and questions about them with their answers.
    fn supervised(&self, rows: &[Row]) -> Result<Prepared, TrainError> {
        let (paths, data_type) =
            rows.first().map_or((&[][..], DataType::SingleImage), |row| pictures(&self.dataset.train, *row));
        let images = open_visuals(&self.dataset, paths, data_type, &self.processor)?;
        let mut messages = Vec::with_capacity(2 * rows.len());
        for row in rows {
            let (question, answer) = self.turn(*row, &images)?;
            let shown = if messages.is_empty() { images.len() } else { 0 };
            messages.extend(conversation(shown, &question, Some(&answer)));
        }
        let mut encoded = self.processor.encode(&messages, images, false)?;
        if self.config.faults.prompt_in_loss {
            // Everything but what stands for an image counts; position 0 is never predicted.
            let pad = self.processor.tokenizer.special().image_pad;
            encoded.answer_spans = (1..encoded.token_ids.len())
                .filter(|at| encoded.token_ids[*at] != pad)
                .map(|at| at..at + 1)
                .collect();
        }
        Ok(Prepared { encoded, labels: None, question: None })
    }
}

/// Opens and preprocesses one picture.
pub fn open_patches(path: &Path, processor: &Processor) -> Result<PixelPatches, TrainError> {
    let image = crate::processor::images::load(path)?;
    Ok(processor.image.preprocess(&image)?)
}

/// The images of a question: each by itself, or all as the frames of one video.
pub fn open_visuals(
    dataset: &Dataset,
    images: &[String],
    data_type: DataType,
    processor: &Processor,
) -> Result<Vec<PixelPatches>, TrainError> {
    let paths = images.iter().map(|image| dataset.image_path(image));
    match data_type {
        DataType::Video => {
            let frames =
                paths.map(|path| crate::processor::images::load(&path)).collect::<Result<Vec<_>, _>>()?;
            Ok(vec![processor.image.preprocess_video(&frames, FRAMES_PER_SECOND)?])
        }
        DataType::SingleImage | DataType::MultiView => {
            paths.map(|path| open_patches(&path, processor)).collect()
        }
    }
}

/// Prepares the batches of steps `first_step..` in a thread, a few ahead. The thread ends with the receiver.
pub fn spawn(encoder: Encoder, first_step: u64) -> Receiver<Result<Vec<Prepared>, TrainError>> {
    const AHEAD: usize = 4;
    // A step takes all of its batches at once.
    let (sender, receiver) = sync_channel(AHEAD.max(encoder.config.accumulation));
    std::thread::spawn(move || {
        let (batch, total) = (encoder.config.batch_size, encoder.config.steps);
        let accumulation = encoder.config.accumulation as u64;
        let seed = encoder.config.seed;
        let mut sampler = if encoder.config.group_by_length {
            let lengths = encoder.conversations.iter().map(|rows| encoder.length(rows)).collect();
            Sampler::by_length(seed, lengths, batch)
        } else {
            Sampler::new(seed, encoder.conversations.len())
        };
        for micro_step in first_step * accumulation..total * accumulation {
            let first = micro_step * batch as u64;
            let drawn: Vec<Conversation> = sampler
                .take(first, batch)
                .into_iter()
                .map(|index| encoder.conversations[index].clone())
                .collect();
            let prepare_all = || {
                if encoder.is_look_up(micro_step) {
                    return encoder.look_ups(micro_step);
                }
                let samples = encoder.put_together(drawn, micro_step);
                let prepare = |(at, rows): (usize, &Conversation)| encoder.prepare(rows, first + at as u64);
                samples.par_iter().enumerate().map(prepare).collect::<Result<Vec<_>, _>>()
            };
            let prepared = unless_it_panics(prepare_all).unwrap_or_else(|message| {
                let number = micro_step + 1;
                Err(TrainError::Data(format!(
                    "batch {number} of the run cannot be prepared: {message}. This is a bug"
                )))
            });
            let failed = prepared.is_err();
            if sender.send(prepared).is_err() || failed {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundled;

    #[test]
    fn boxes_of_a_thought_are_those_of_the_picture_that_the_model_sees() {
        let processor = bundled::processor().unwrap();
        let image = image::RgbImage::new(320, 240);
        let patches = processor.image.preprocess(&image).unwrap();
        assert_eq!(patches.resized_size, (224, 168));
        let solution = "<think>The bed is at (0, 10, 320, 240), on the left.</think><answer>A</answer>";
        let wanted = "<think>The bed is at (0, 7, 224, 168), on the left.</think><answer>A</answer>";
        assert_eq!(thought_wanted(solution, &[patches]), wanted);
        assert_eq!(thought_wanted(solution, &[]), solution);
    }
}
