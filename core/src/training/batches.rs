//! From rows of a data set to batches: pictures are opened, questions put into the chat template, in a
//! thread of its own so that the model never waits for a disk.

use super::{TrainConfig, TrainError, config::Mixture, config::Stage, sampler::Sampler};
use crate::benchmarks::pixel_box;
use crate::processor::{Content, Encoded, Message, PixelPatches, Processor, Role};
use crate::samples::{
    ColdStartSample, DataType, Dataset, FoundationSample, GroundedBox, GroundingSample, SpatialSample, Split,
    prompts,
};
use crate::scenes::Dice;
use rayon::prelude::*;
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
    /// In the foundation stage.
    pub labels: Option<DenseLabels>,
    /// In the reasoning stage: what is asked, for the rewards.
    pub question: Option<SpatialSample>,
}

/// A row of a data set's part by its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Row {
    Localization(u32),
    Spatial(u32),
    ColdStart(u32),
    Foundation(u32),
}

/// The rows that a stage takes from a part of a data set, each as often as the mixture says.
pub fn rows(split: &Split, stage: Stage, mixture: &Mixture) -> Vec<Row> {
    let count = |rows: usize| 0..rows as u32;
    if stage == Stage::Foundation {
        return count(split.foundation.len()).map(Row::Foundation).collect();
    }
    let spatial = |data_type: DataType| -> Vec<Row> {
        count(split.spatial.len())
            .filter(|at| split.spatial[*at as usize].data_type == data_type)
            .map(Row::Spatial)
            .collect()
    };
    let pools = [
        (mixture.localization, count(split.grounding.len()).map(Row::Localization).collect()),
        (mixture.single_image, spatial(DataType::SingleImage)),
        (mixture.multi_view, spatial(DataType::MultiView)),
        (mixture.video, spatial(DataType::Video)),
        (mixture.cold_start, count(split.cold_start.len()).map(Row::ColdStart).collect::<Vec<_>>()),
    ];
    let mut rows = Vec::new();
    for (weight, pool) in pools {
        // So that row `at` of every copy stands at `at / weight`: evenly spread where some are left out.
        let wanted = (weight * pool.len() as f64).round() as usize;
        rows.extend((0..wanted).map(|at| pool[(at as f64 / weight) as usize % pool.len()]));
    }
    rows
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

/// Turns rows into [`Prepared`] samples.
pub struct Encoder {
    pub dataset: Arc<Dataset>,
    pub processor: Arc<Processor>,
    pub config: TrainConfig,
    /// Labels of the foundation stage's categories; category `i + 1` is `categories[i]`.
    pub categories: Arc<Vec<String>>,
    /// What the run learns from.
    pub rows: Arc<Vec<Row>>,
}

impl Encoder {
    /// A measure of how long a row becomes: its images above all.
    fn length(&self, row: Row) -> u32 {
        const IMAGE: usize = 1000;
        let train = &self.dataset.train;
        let images = |images: usize, data_type: DataType| match data_type {
            DataType::Video => images.div_ceil(2),
            DataType::SingleImage | DataType::MultiView => images,
        };
        let length = match row {
            Row::Localization(at) => {
                let row = &train.grounding[at as usize];
                row.image.len() * IMAGE + 60 * row.answer.len()
            }
            Row::Spatial(at) => {
                let row = &train.spatial[at as usize];
                let options: usize = row.options().iter().map(String::len).sum();
                images(row.image.len(), row.data_type) * IMAGE + row.question.len() + options
            }
            Row::ColdStart(at) => {
                let row = &train.cold_start[at as usize];
                images(row.image.len(), row.data_type) * IMAGE + row.prompt.len() + row.solution.len()
            }
            Row::Foundation(_) => IMAGE,
        };
        length as u32
    }

    /// Row `row`, as the sample numbered `draw` of the run: whatever varies between epochs follows from it.
    pub fn prepare(&self, row: Row, draw: u64) -> Result<Prepared, TrainError> {
        let train = &self.dataset.train;
        match row {
            Row::Foundation(at) => {
                let dice = &mut Dice::new(self.config.seed, draw);
                self.prepare_foundation(&train.foundation[at as usize], Some(dice))
            }
            Row::Localization(at) => self.prepare_grounding(&train.grounding[at as usize]),
            Row::Spatial(at) if self.config.stage == Stage::Reasoning => {
                self.prepare_prompt(&train.spatial[at as usize])
            }
            Row::Spatial(at) => {
                let row = &train.spatial[at as usize];
                let question = prompts::stage2(&row.question, row.options());
                self.prepare_answer(&row.image, row.data_type, &question, &row.answer)
            }
            Row::ColdStart(at) => {
                let ColdStartSample { prompt, solution, image, data_type, .. } =
                    &train.cold_start[at as usize];
                self.prepare_answer(image, *data_type, prompt, solution)
            }
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
        self.supervised(images, &question, &answer)
    }

    fn prepare_answer(
        &self,
        images: &[String],
        data_type: DataType,
        question: &str,
        answer: &str,
    ) -> Result<Prepared, TrainError> {
        let images = open_visuals(&self.dataset, images, data_type, &self.processor)?;
        self.supervised(images, question, answer)
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

    fn supervised(
        &self,
        images: Vec<PixelPatches>,
        question: &str,
        answer: &str,
    ) -> Result<Prepared, TrainError> {
        let messages = conversation(images.len(), question, Some(answer));
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
        Ok(Prepared { encoded, labels: Some(labels), question: None })
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
    let (sender, receiver) = sync_channel(AHEAD);
    std::thread::spawn(move || {
        let (batch, total) = (encoder.config.batch_size, encoder.config.steps);
        let accumulation = encoder.config.accumulation as u64;
        let seed = encoder.config.seed;
        let mut sampler = if encoder.config.group_by_length {
            let lengths = encoder.rows.iter().map(|row| encoder.length(*row)).collect();
            Sampler::by_length(seed, lengths, batch)
        } else {
            Sampler::new(seed, encoder.rows.len())
        };
        for micro_step in first_step * accumulation..total * accumulation {
            let first = micro_step * batch as u64;
            let prepared = sampler
                .take(first, batch)
                .into_par_iter()
                .enumerate()
                .map(|(at, index)| encoder.prepare(encoder.rows[index], first + at as u64))
                .collect::<Result<Vec<_>, _>>();
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

    fn split() -> Split {
        let spatial = |data_type| SpatialSample {
            question_id: 0,
            question: String::new(),
            options: None,
            answer: "1".into(),
            image: Vec::new(),
            question_type: crate::samples::QuestionType::ObjectCount,
            data_type,
        };
        let mut split = Split::default();
        for data_type in [DataType::SingleImage, DataType::Video, DataType::SingleImage, DataType::MultiView]
        {
            split.spatial.push(spatial(data_type));
        }
        split
    }

    #[test]
    fn a_mixture_draws_each_kind_as_often_as_it_says() {
        let mixture =
            Mixture { localization: 3.0, single_image: 2.0, multi_view: 0.0, video: 1.0, cold_start: 1.0 };
        let found = rows(&split(), Stage::Understanding, &mixture);
        let count = |at| found.iter().filter(|row| **row == Row::Spatial(at)).count();
        assert_eq!([0, 1, 2, 3].map(count), [2, 1, 2, 0]);
        assert_eq!(found.len(), 5);
        let half = Mixture { single_image: 0.5, video: 0.0, ..mixture };
        assert_eq!(rows(&split(), Stage::Understanding, &half).len(), 1);
    }
}
