//! The foundation stage's samples: pictures with what is under each of their patches, and captions.

use super::{Conversation, Encoder, Prepared, Row, conversation, open_visuals};
use crate::processor::PixelPatches;
use crate::samples::{DataType, FoundationSample, Split, caption};
use crate::scenes::Dice;
use crate::training::TrainError;
use crate::training::config::Stage;

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

/// What the foundation stage asks before a caption.
pub(super) fn caption_instruction(pictures: usize) -> &'static str {
    if pictures > 1 { "Describe the pictures." } else { "Describe the image." }
}

pub(super) fn foundation_row(split: &Split, row: Row) -> Option<&FoundationSample> {
    match row {
        Row::Foundation(at) => split.foundation.get(at as usize),
        Row::Localization(_) | Row::Spatial(_) | Row::ColdStart(_) => None,
    }
}

/// Keeps the dice that put pictures together apart from those of samples.
const PICTURES_TOGETHER: u64 = 0x7069_6374;

impl Encoder {
    /// In the foundation stage, some batches show their pictures several at a time, as many in every sample of one but for
    /// what is left over.
    pub(super) fn put_together(&self, drawn: Vec<Conversation>, batch: u64) -> Vec<Conversation> {
        let config = &self.config.foundation;
        if self.config.stage != Stage::Foundation {
            return drawn;
        }
        let dice = &mut Dice::new(self.config.seed ^ PICTURES_TOGETHER, batch);
        if !dice.chance(config.several as f32) {
            return drawn;
        }
        let together = dice.count(2, config.most_pictures as u32) as usize;
        drawn.chunks(together).map(<[Conversation]>::concat).collect()
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

#[cfg(test)]
mod tests {
    use super::super::conversations;
    use super::*;
    use crate::model::bundled;
    use crate::samples::{Dataset, FoundationObject};
    use crate::training::TrainConfig;
    use crate::training::config::Preset;
    use std::sync::Arc;

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
}
