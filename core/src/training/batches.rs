//! From rows of a data set to batches: pictures are opened, questions put into the chat template, in a
//! thread of its own so that the model never waits for a disk.

use super::evaluation::kind;
use super::{TrainConfig, TrainError, config::Mixture, config::Stage, sampler::Sampler};
use crate::answering::sightings::{map_boxes, sightings};
use crate::benchmarks::pixel_box;
use crate::geometry::PixelBox;
use crate::processor::{Content, Encoded, Message, PixelPatches, Processor, Role};
use crate::samples::{
    DataType, Dataset, FoundationSample, GroundedBox, SpatialSample, Split, caption, prompts,
};
use crate::scenes::Dice;
use rayon::prelude::*;
use std::collections::HashMap;
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
    /// Metres to the object under each patch, along the camera's axis. `[tokens * 4]`
    pub distance: Vec<f32>,
    /// Centre of each merged token, in shares of the image. `[tokens, 2]`
    pub position: Vec<f32>,
}

/// What the foundation stage asks before a caption.
fn caption_instruction(pictures: usize) -> &'static str {
    if pictures > 1 { "Describe the pictures." } else { "Describe the image." }
}

impl DenseLabels {
    /// The labels of a batch's pictures after one another.
    pub fn concat<'a>(parts: impl Iterator<Item = &'a Self>) -> Self {
        parts.fold(Self::default(), |mut all, part| {
            all.category.extend_from_slice(&part.category);
            all.bounds.extend_from_slice(&part.bounds);
            all.on_object.extend_from_slice(&part.on_object);
            all.distance.extend_from_slice(&part.distance);
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

fn foundation_row(split: &Split, row: Row) -> Option<&FoundationSample> {
    match row {
        Row::Foundation(at) => split.foundation.get(at as usize),
        Row::Localization(_) | Row::Spatial(_) | Row::ColdStart(_) => None,
    }
}

/// Rows about the same pictures, asked one after the other; in the foundation stage pictures that are shown together.
pub type Conversation = Vec<Row>;

/// What a stage takes from a part of a data set, up to `turns` rows together, each conversation as often as the mixture
/// says.
pub fn conversations(split: &Split, stage: Stage, mixture: &Mixture, turns: usize) -> Vec<Conversation> {
    let count = |rows: usize| 0..rows as u32;
    if stage == Stage::Foundation {
        return count(split.foundation.len()).map(|at| vec![Row::Foundation(at)]).collect();
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
    let pools: Vec<(f64, Vec<Row>)> = pools.into_iter().filter(|(weight, _)| *weight > 0.0).collect();
    let rows = pools.iter().flat_map(|(_, pool)| pool.iter().copied());
    let kinds = if mixture.even_kinds { KindWeights::of(split, rows) } else { KindWeights::default() };
    let mut all = Vec::new();
    for (weight, pool) in pools {
        // Every conversation goes on where the one before stopped, so that what fractions leave out is evenly spread.
        let mut wanted = 0.0_f64;
        for conversation in about_the_same_pictures(split, &pool, turns) {
            let before = wanted.ceil();
            wanted += weight * kinds.weight(split, &conversation);
            all.extend(std::iter::repeat_n(conversation, (wanted.ceil() - before) as usize));
        }
    }
    all
}

/// How often rows are to be drawn so that as much is asked of every kind as of the others, directly and with thoughts. Empty
/// where they come as they are.
#[derive(Default)]
struct KindWeights {
    weights: HashMap<(bool, String), f64>,
    /// Kinds of the questions that have thoughts.
    of_thoughts: HashMap<u64, String>,
}

impl KindWeights {
    fn of(split: &Split, rows: impl Iterator<Item = Row>) -> Self {
        let of_thoughts = match split.cold_start.len() {
            0 => HashMap::new(),
            _ => split.spatial.iter().map(|row| (row.question_id, kind(row))).collect(),
        };
        let mut found = Self { weights: HashMap::new(), of_thoughts };
        for name in rows.filter_map(|row| found.name(split, row)).collect::<Vec<_>>() {
            *found.weights.entry(name).or_default() += 1.0;
        }
        for thought in [false, true] {
            let alike =
                || found.weights.iter().filter(move |((of, _), _)| *of == thought).map(|(_, rows)| *rows);
            let each = alike().sum::<f64>() / alike().count().max(1) as f64;
            for (_, rows) in found.weights.iter_mut().filter(|((of, _), _)| *of == thought) {
                *rows = each / *rows;
            }
        }
        found
    }

    /// Whether a row is a thought, and what kind of question it is about.
    fn name(&self, split: &Split, row: Row) -> Option<(bool, String)> {
        match row {
            Row::Spatial(at) => Some((false, kind(&split.spatial[at as usize]))),
            Row::ColdStart(at) => {
                let row = &split.cold_start[at as usize];
                // Thoughts of others may be about questions that are not in the set.
                let known = self.of_thoughts.get(&row.question_id).cloned();
                Some((true, known.unwrap_or_else(|| row.data_type.name().to_owned())))
            }
            Row::Localization(_) | Row::Foundation(_) => None,
        }
    }

    /// That of a conversation is the mean of its rows'.
    fn weight(&self, split: &Split, conversation: &[Row]) -> f64 {
        if self.weights.is_empty() {
            return 1.0;
        }
        let of = |row: &Row| {
            self.name(split, *row).and_then(|name| self.weights.get(&name).copied()).unwrap_or(1.0)
        };
        conversation.iter().map(of).sum::<f64>() / conversation.len().max(1) as f64
    }
}

/// Gathers rows about the same pictures, `turns` at most together, but none whose answer another one of them gives away.
fn about_the_same_pictures(split: &Split, rows: &[Row], turns: usize) -> Vec<Conversation> {
    let mut found: Vec<Conversation> = Vec::new();
    let mut by_pictures: HashMap<&[String], Vec<usize>> = HashMap::new();
    for &row in rows {
        let places = by_pictures.entry(pictures(split, row).0).or_default();
        let fits = |conversation: &Conversation| {
            conversation.len() < turns && !conversation.iter().any(|other| gives_away(split, *other, row))
        };
        match places.iter().copied().find(|place| fits(&found[*place])) {
            Some(place) => found[place].push(row),
            None => {
                places.push(found.len());
                found.push(vec![row]);
            }
        }
    }
    found
}

/// Whether the answer to one row holds that to the other.
fn gives_away(split: &Split, one: Row, other: Row) -> bool {
    match (one, other) {
        (Row::Localization(one), Row::Localization(other)) => {
            let [one, other] = [one, other].map(|at| &split.grounding[at as usize].answer);
            one.iter().any(|found| other.iter().any(|wanted| wanted.label == found.label))
        }
        // Where a thing is could be copied from the thought before instead of looked for.
        (Row::ColdStart(one), Row::ColdStart(other)) => {
            let [one, other] = [one, other].map(|at| sightings(&split.cold_start[at as usize].solution));
            one.iter().any(|seen| other.iter().any(|wanted| wanted.found.label == seen.found.label))
        }
        _ => false,
    }
}

/// The pictures of a row, as paths within the data set.
fn pictures(split: &Split, row: Row) -> (&[String], DataType) {
    match row {
        Row::Localization(at) => (&split.grounding[at as usize].image, DataType::SingleImage),
        Row::Spatial(at) => {
            let row = &split.spatial[at as usize];
            (&row.image, row.data_type)
        }
        Row::ColdStart(at) => {
            let row = &split.cold_start[at as usize];
            (&row.image, row.data_type)
        }
        Row::Foundation(at) => {
            (std::slice::from_ref(&split.foundation[at as usize].image), DataType::SingleImage)
        }
    }
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

/// Keeps the dice that put pictures together apart from those of samples.
const PICTURES_TOGETHER: u64 = 0x7069_6374;

/// Turns rows into [`Prepared`] samples.
pub struct Encoder {
    pub dataset: Arc<Dataset>,
    pub processor: Arc<Processor>,
    pub config: TrainConfig,
    /// Labels of the foundation stage's categories; category `i + 1` is `categories[i]`.
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

    /// In the foundation stage, some batches show their pictures several at a time, as many in all the samples of one.
    fn put_together(&self, drawn: Vec<Conversation>, batch: u64) -> Vec<Conversation> {
        let config = &self.config.foundation;
        if self.config.stage != Stage::Foundation || config.most_pictures < 2 {
            return drawn;
        }
        let dice = &mut Dice::new(self.config.seed ^ PICTURES_TOGETHER, batch);
        if !dice.chance(config.several as f32) {
            return drawn;
        }
        let together = dice.count(2, config.most_pictures as u32) as usize;
        drawn.chunks(together).map(<[Conversation]>::concat).collect()
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

    /// Pictures and their caption. With `dice`, one drawn anew, and several pictures of one size are the frames of a video half
    /// the time, if a frame is a patch by itself: as images their numbers are told, as frames it is their time that tells
    /// them apart.
    pub fn prepare_foundation(
        &self,
        rows: &[&FoundationSample],
        mut dice: Option<&mut Dice>,
    ) -> Result<Prepared, TrainError> {
        let size = |row: &&FoundationSample| (row.width, row.height);
        let may_be_video = rows.len() > 1
            && self.processor.image.temporal_patch_size == 1
            && rows.windows(2).all(|pair| size(&pair[0]) == size(&pair[1]));
        let data_type = match rows {
            [_] => DataType::SingleImage,
            _ if may_be_video && dice.as_mut().is_some_and(|dice| dice.chance(0.5)) => DataType::Video,
            _ => DataType::MultiView,
        };
        let paths: Vec<String> = rows.iter().map(|row| row.image.clone()).collect();
        let images = open_visuals(&self.dataset, &paths, data_type, &self.processor)?;
        let seen = |at: usize| images.get(at).or(images.first());
        let mut labels = Vec::with_capacity(rows.len());
        let mut captioned = Vec::with_capacity(rows.len());
        for (at, row) in rows.iter().enumerate() {
            let Some(patches) = seen(at) else { continue };
            labels.push(self.dense_labels(row, patches)?);
            captioned.push(row.captioned(patches.resized_size));
        }
        let caption = caption(&captioned, dice);
        let messages = conversation(images.len(), caption_instruction(rows.len()), Some(&caption));
        let encoded = self.processor.encode(&messages, images, false)?;
        Ok(Prepared { encoded, labels: Some(DenseLabels::concat(labels.iter())), question: None })
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
            by_instance[usize::from(object.instance)] =
                category.map(|category| (category, bounds, object.distance_m));
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
                labels.category.push(object.map_or(0, |(category, ..)| category as i32 + 1));
                labels.bounds.extend(object.map_or([0.0; 4], |(_, bounds, _)| bounds));
                labels.on_object.push(if object.is_some() { 1.0 } else { 0.0 });
                labels.distance.push(object.map_or(0.0, |(.., distance)| distance));
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
            let prepared = encoder
                .put_together(drawn, micro_step)
                .par_iter()
                .enumerate()
                .map(|(at, rows)| encoder.prepare(rows, first + at as u64))
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
    use crate::model::bundled;
    use crate::samples::{ColdStartSample, FoundationObject, GroundingSample};
    use crate::training::config::Preset;

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
        let mixture = Mixture {
            localization: 3.0,
            single_image: 2.0,
            multi_view: 0.0,
            video: 1.0,
            cold_start: 1.0,
            even_kinds: false,
        };
        let found = conversations(&split(), Stage::Understanding, &mixture, 1);
        let count = |at| found.iter().filter(|rows| **rows == [Row::Spatial(at)]).count();
        assert_eq!([0, 1, 2, 3].map(count), [2, 1, 2, 0]);
        assert_eq!(found.len(), 5);
        let half = Mixture { single_image: 0.5, video: 0.0, ..mixture };
        assert_eq!(conversations(&split(), Stage::Understanding, &half, 1).len(), 1);
    }

    #[test]
    fn kinds_are_drawn_alike_where_wanted() {
        let mut split = split();
        // Of single images six more, of another kind.
        for _ in 0..6 {
            let question_type = crate::samples::QuestionType::ObjectSize;
            let row = SpatialSample { question_type, ..split.spatial[0].clone() };
            split.spatial.push(row);
        }
        let config = TrainConfig::new(Stage::Reasoning, Preset::Corrected, "data".into(), "tiny".into());
        assert!(config.mixture.even_kinds);
        let mut drawn: HashMap<String, usize> = HashMap::new();
        for rows in conversations(&split, Stage::Reasoning, &config.mixture, 1) {
            let [Row::Spatial(at)] = rows[..] else { panic!("{rows:?}") };
            *drawn.entry(kind(&split.spatial[at as usize])).or_default() += 1;
        }
        // Ten rows of four kinds: two and a half of each.
        assert_eq!(drawn.len(), 4);
        assert!(drawn.values().all(|count| (2..=3).contains(count)), "{drawn:?}");
        let as_they_come = Mixture { even_kinds: false, ..config.mixture };
        assert_eq!(conversations(&split, Stage::Reasoning, &as_they_come, 1).len(), 10);

        // Thoughts about all of them, and one about a question of which nothing is known.
        let thought = |question_id: u64, image: &[String], data_type| ColdStartSample {
            question_id,
            prompt: String::new(),
            solution: String::new(),
            image: image.to_vec(),
            data_type,
        };
        for (id, row) in split.spatial.iter_mut().enumerate() {
            row.question_id = id as u64;
        }
        split.cold_start =
            split.spatial.iter().map(|row| thought(row.question_id, &row.image, row.data_type)).collect();
        split.cold_start.push(thought(99, &["a.jpg".to_owned()], DataType::Video));
        let config = TrainConfig::new(Stage::ColdStart, Preset::Corrected, "data".into(), "tiny".into());
        let mixture = Mixture { even_kinds: true, localization: 0.0, ..config.mixture };
        let found = conversations(&split, Stage::ColdStart, &mixture, 1);
        let mut drawn: HashMap<String, usize> = HashMap::new();
        for rows in &found {
            let [Row::ColdStart(at)] = rows[..] else { panic!("{rows:?}") };
            let name = split.spatial.get(at as usize).map_or_else(|| "unknown".to_owned(), kind);
            *drawn.entry(name).or_default() += 1;
        }
        // Eleven rows of five kinds.
        assert_eq!(drawn.len(), 5);
        assert!(drawn.values().all(|count| (2..=3).contains(count)), "{drawn:?}");
    }

    #[test]
    fn a_conversation_is_about_the_same_pictures_and_gives_nothing_away() {
        let mut split = split();
        for row in &mut split.spatial {
            row.image = vec![format!("{:?}.jpg", row.data_type)];
        }
        let localization = |image: &str, labels: &[&str]| GroundingSample {
            question_id: 0,
            question: String::new(),
            answer: labels
                .iter()
                .map(|label| GroundedBox { bbox_2d: [0, 0, 9, 9], label: (*label).to_owned() })
                .collect(),
            image: vec![image.to_owned()],
            data_type: DataType::SingleImage,
        };
        split.grounding = vec![
            localization("a.jpg", &["tv", "bed"]),
            localization("b.jpg", &["tv"]),
            localization("a.jpg", &["lamp", "bed"]),
            localization("a.jpg", &["lamp"]),
        ];
        let mixture = Mixture {
            localization: 1.0,
            single_image: 1.0,
            multi_view: 0.0,
            video: 0.0,
            cold_start: 0.0,
            even_kinds: false,
        };
        let found = conversations(&split, Stage::Understanding, &mixture, 3);
        let row = Row::Localization;
        let boxes = [vec![row(0), row(3)], vec![row(1)], vec![row(2)]];
        assert_eq!(found, [boxes.to_vec(), vec![vec![Row::Spatial(0), Row::Spatial(2)]]].concat());
        let single = conversations(&split, Stage::Understanding, &mixture, 1);
        assert!(single.iter().all(|conversation| conversation.len() == 1));

        let thought = |label: &str| ColdStartSample {
            question_id: 0,
            prompt: String::new(),
            solution: format!("<think>I see the {label} at (0, 0, 9, 9).</think><answer>A</answer>"),
            image: vec!["a.jpg".to_owned()],
            data_type: DataType::SingleImage,
        };
        split.cold_start = ["bed", "lamp", "bed"].map(thought).to_vec();
        let mixture = Mixture { cold_start: 1.0, localization: 0.0, single_image: 0.0, ..mixture };
        let found = conversations(&split, Stage::ColdStart, &mixture, 3);
        assert_eq!(found, [vec![Row::ColdStart(0), Row::ColdStart(1)], vec![Row::ColdStart(2)]]);
    }

    #[test]
    fn pictures_of_the_foundation_are_put_together() {
        let dir = tempfile::tempdir().unwrap();
        let size = (56, 56);
        image::RgbImage::new(size.0, size.1).save(dir.path().join("room.png")).unwrap();
        image::GrayImage::from_pixel(size.0, size.1, image::Luma([1]))
            .save(dir.path().join("room_instances.png"))
            .unwrap();
        let row = |label: &str| FoundationSample {
            image: "room.png".into(),
            width: size.0,
            height: size.1,
            instances: "room_instances.png".into(),
            objects: vec![FoundationObject {
                instance: 1,
                label: label.into(),
                bbox_2d: [0, 0, 56, 56],
                distance_m: 2.0,
            }],
            caption: String::new(),
        };
        let labels = ["bed", "tv", "lamp", "chair", "sofa"];
        let mut config = TrainConfig::new(Stage::Foundation, Preset::Corrected, "data".into(), "tiny".into());
        config.foundation.several = 1.0;
        config.foundation.most_pictures = 3;
        let train = Split { foundation: labels.map(row).to_vec(), ..Split::default() };
        let dataset = Dataset {
            root: dir.path().to_owned(),
            info: None,
            train,
            validation: Split::default(),
            evidence: Vec::new(),
        };
        let conversations = conversations(&dataset.train, Stage::Foundation, &config.mixture, 1);
        let mut encoder = Encoder {
            dataset: Arc::new(dataset),
            processor: Arc::new(bundled::processor().unwrap()),
            config,
            categories: Arc::new(labels.map(str::to_owned).to_vec()),
            conversations: Arc::new(conversations.clone()),
        };
        let of_videos = (0..40)
            .filter(|batch| {
                let together = encoder.put_together(conversations.clone(), *batch);
                assert_eq!(together.concat(), conversations.concat());
                assert!(together.iter().all(|rows| rows.len() <= 3) && together[0].len() > 1);
                let prepared = encoder.prepare(&together[0], *batch).unwrap();
                let text = encoder.processor.decode(&prepared.encoded.token_ids);
                let video = prepared.encoded.images[0].is_video();
                assert_eq!(
                    text.matches(" at (0, 0, 56, 56) of picture ").count(),
                    together[0].len(),
                    "{text}"
                );
                for (label, number) in labels.iter().zip(1..=together[0].len()) {
                    assert!(
                        text.contains(&format!("{label} at (0, 0, 56, 56) of picture {number}")),
                        "{text}"
                    );
                }
                assert_eq!(prepared.encoded.images.len(), if video { 1 } else { together[0].len() });
                // Four patches of a token, four tokens of a picture.
                let labels = prepared.labels.unwrap();
                assert_eq!(labels.category.len(), 16 * together[0].len());
                assert_eq!([labels.category[0], labels.category[16]], [1, 2]);
                video
            })
            .count();
        assert!((8..32).contains(&of_videos), "{of_videos}");
        encoder.config.foundation.several = 0.0;
        assert_eq!(encoder.put_together(conversations.clone(), 0), conversations);
    }

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
