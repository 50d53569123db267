//! From rows of a data set to batches: pictures are opened, questions put into the chat template, in a
//! thread of its own so that the model never waits for a disk.

use super::{TrainConfig, TrainError, config::Stage, sampler::Sampler};
use crate::benchmarks::pixel_box;
use crate::processor::{Encoded, Message, PixelPatches, Processor};
use crate::samples::{Dataset, FoundationSample, GroundedBox, GroundingSample, prompts};
use crate::scenes::Dice;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

/// What the dense heads of the foundation stage are to predict; lengths follow the image tokens in order.
#[derive(Debug, Clone, Default)]
pub struct DenseLabels {
    /// Category under the centre of each patch; 0 is "no object". `[tokens * 4]`
    pub category: Vec<i32>,
    /// x1, y1, x2, y2 of the object under each patch, in shares of the image. `[tokens * 4, 4]`
    pub bounds: Vec<f32>,
    /// 1 where there is an object, else 0. `[tokens * 4]`
    pub on_object: Vec<f32>,
    /// Centre of each merged token, in shares of the image. `[tokens, 2]`
    pub position: Vec<f32>,
}

/// What the foundation stage asks before a caption.
const CAPTION_INSTRUCTION: &str = "Describe the image.";

impl DenseLabels {
    /// The labels of a batch's pictures after one another.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        parts.fold(Self::default(), |mut all, part| {
            all.category.extend_from_slice(&part.category);
            all.bounds.extend_from_slice(&part.bounds);
            all.on_object.extend_from_slice(&part.on_object);
            all.position.extend_from_slice(&part.position);
            all
        })
    }
}

/// One sample, ready for the model.
#[derive(Debug, Clone)]
pub struct Prepared {
    pub encoded: Encoded,
    pub labels: Option<DenseLabels>,
}

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

/// Turns rows into [`Prepared`] samples.
pub struct Encoder {
    pub dataset: Arc<Dataset>,
    pub processor: Arc<Processor>,
    pub config: TrainConfig,
    /// Labels of the foundation stage's categories; category `i + 1` is `categories[i]`.
    pub categories: Arc<Vec<String>>,
}

impl Encoder {
    /// Rows of the stage.
    pub fn samples(&self) -> usize {
        match self.config.stage {
            Stage::Foundation => self.dataset.train.foundation.len(),
            Stage::Perception => self.dataset.train.grounding.len(),
        }
    }

    /// Row `index`, as the sample numbered `draw` of the run: whatever varies between epochs follows from it.
    pub fn prepare(&self, index: usize, draw: u64) -> Result<Prepared, TrainError> {
        match self.config.stage {
            Stage::Foundation => {
                let dice = &mut Dice::new(self.config.seed, draw);
                self.prepare_foundation(&self.dataset.train.foundation[index], Some(dice))
            }
            Stage::Perception => self.prepare_grounding(&self.dataset.train.grounding[index]),
        }
    }

    fn open(&self, image: &str) -> Result<PixelPatches, TrainError> {
        open_patches(&self.dataset.image_path(image), &self.processor)
    }

    fn prepare_grounding(&self, row: &GroundingSample) -> Result<Prepared, TrainError> {
        let images = row.image.iter().map(|image| self.open(image)).collect::<Result<Vec<_>, _>>()?;
        let first = images.first().ok_or_else(|| {
            TrainError::Data(format!("question {} has no image; run `data check`", row.question_id))
        })?;
        let mut truth = row.answer.clone();
        if self.config.faults.boxes_scaled_for_one_resize {
            for grounded in &mut truth {
                grounded.bbox_2d[0] = grounded.bbox_2d[0] * 364 / 336;
                grounded.bbox_2d[2] = grounded.bbox_2d[2] * 364 / 336;
            }
        }
        let mut answer = localization_answer(&truth, first);
        if self.config.faults.double_encoded_answers {
            answer = serde_json::to_string(&answer).unwrap_or(answer);
        }
        let question = prompts::stage1(&row.question);
        let mut encoded =
            self.processor.encode(&conversation(images.len(), &question, Some(&answer)), images, false)?;
        if self.config.faults.prompt_in_loss {
            // Everything but the picture counts; position 0 is never predicted.
            let pad = self.processor.tokenizer.special().image_pad;
            encoded.answer_spans = (1..encoded.token_ids.len())
                .filter(|at| encoded.token_ids[*at] != pad)
                .map(|at| at..at + 1)
                .collect();
        }
        Ok(Prepared { encoded, labels: None })
    }

    /// With `dice`, a caption drawn anew.
    pub fn prepare_foundation(
        &self,
        row: &FoundationSample,
        dice: Option<&mut Dice>,
    ) -> Result<Prepared, TrainError> {
        let patches = self.open(&row.image)?;
        let labels = self.dense_labels(row, &patches)?;
        let caption = row.caption_for(patches.resized_size, dice);
        let messages = conversation(1, CAPTION_INSTRUCTION, Some(&caption));
        let encoded = self.processor.encode(&messages, vec![patches], false)?;
        Ok(Prepared { encoded, labels: Some(labels) })
    }

    fn dense_labels(
        &self,
        row: &FoundationSample,
        patches: &PixelPatches,
    ) -> Result<DenseLabels, TrainError> {
        let path = self.dataset.image_path(&row.instances);
        let instances = image::open(&path)
            .map_err(|error| TrainError::Data(format!("{}: {error}; run `data check`", path.display())))?
            .into_luma8();
        let (width, height) = (instances.width() as f32, instances.height() as f32);
        let merge = self.processor.image.merge_size;
        let [_, rows, columns] = patches.grid_thw;
        let mut by_instance = [None; 256];
        for object in &row.objects {
            let category = self.categories.iter().position(|label| *label == object.label);
            let [x1, y1, x2, y2] = object.bbox_2d.map(|v| v as f32);
            let bounds = [x1 / width, y1 / height, x2 / width, y2 / height];
            by_instance[usize::from(object.instance)] = category.map(|category| (category, bounds));
        }
        let mut labels = DenseLabels::default();
        // The order of the processor: merged tokens row by row, the patches of one together.
        for token in 0..rows / merge * (columns / merge) {
            let (token_row, token_column) = (token / (columns / merge), token % (columns / merge));
            for patch in 0..merge * merge {
                let x = (token_column * merge + patch % merge) as f32 + 0.5;
                let y = (token_row * merge + patch / merge) as f32 + 0.5;
                let pixel = instances.get_pixel(
                    ((x / columns as f32 * width) as u32).min(instances.width() - 1),
                    ((y / rows as f32 * height) as u32).min(instances.height() - 1),
                );
                let object = by_instance[usize::from(pixel.0[0])];
                labels.category.push(object.map_or(0, |(category, _)| category as i32 + 1));
                labels.bounds.extend(object.map_or([0.0; 4], |(_, bounds)| bounds));
                labels.on_object.push(if object.is_some() { 1.0 } else { 0.0 });
            }
            labels.position.push((token_column as f32 + 0.5) * merge as f32 / columns as f32);
            labels.position.push((token_row as f32 + 0.5) * merge as f32 / rows as f32);
        }
        Ok(labels)
    }
}

/// Opens and preprocesses one picture.
pub fn open_patches(path: &Path, processor: &Processor) -> Result<PixelPatches, TrainError> {
    let image = crate::processor::images::load(path)?;
    Ok(processor.image.preprocess(&image)?)
}

/// Prepares the batches of steps `first_step..` in a thread, a few ahead. The thread ends with the receiver.
pub fn spawn(encoder: Encoder, first_step: u64) -> Receiver<Result<Vec<Prepared>, TrainError>> {
    const AHEAD: usize = 4;
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let (batch, total) = (encoder.config.batch_size, encoder.config.steps);
        let accumulation = encoder.config.accumulation as u64;
        let mut sampler = Sampler::new(encoder.config.seed, encoder.samples());
        for micro_step in first_step * accumulation..total * accumulation {
            let first = micro_step * batch as u64;
            let prepared = sampler
                .take(first, batch)
                .into_iter()
                .zip(first..)
                .map(|(index, draw)| encoder.prepare(index, draw))
                .collect::<Result<Vec<_>, _>>();
            let failed = prepared.is_err();
            if sender.send(prepared).is_err() || failed {
                return;
            }
        }
    });
    receiver
}
