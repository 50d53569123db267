//! Dense supervision of the image tokens, which gives a model from random weights something to see with.
//!
//! Linear heads on the vision tower's output predict, for every patch of 14 × 14 pixels, the category
//! under its centre, that object's box and how far away it is, and for every merged token its own centre. The
//! heads are dropped afterwards: the checkpoint keeps the published architecture.

use super::batches::DenseLabels;
use super::config::FoundationConfig;
use crate::geometry::PixelBox;
use crate::model::qwen2_5_vl::safetensors::NamedTensor;
use crate::model::qwen2_5_vl::weights::{Init, Weights};
use crate::model::{ModelError, fused};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Patches a merged token stands for.
pub const PATCHES_PER_TOKEN: usize = 4;

/// The heads, used in training only.
#[derive(Module, Debug)]
pub struct DenseHeads {
    /// `[hidden, 4 * (categories + 1)]`; category 0 is "no object".
    category: Param<Tensor<2>>,
    /// `[hidden, 4 * 4]`: x1, y1, x2, y2 in shares of the image.
    bounds: Param<Tensor<2>>,
    /// `[hidden, 4]`: metres from the camera to the object's centre, along the camera's axis.
    distance: Param<Tensor<2>>,
    /// `[hidden, 2]`: x, y in shares of the image.
    position: Param<Tensor<2>>,
}

/// The losses of one batch, unweighted.
pub struct DenseLosses {
    pub category: Tensor<1>,
    pub bounds: Tensor<1>,
    pub distance: Tensor<1>,
    pub position: Tensor<1>,
}

impl DenseLosses {
    pub fn weighted(&self, weights: &FoundationConfig) -> Tensor<1> {
        self.category.clone().mul_scalar(weights.category)
            + self.bounds.clone().mul_scalar(weights.bounds)
            + self.distance.clone().mul_scalar(weights.distance)
            + self.position.clone().mul_scalar(weights.position)
    }
}

impl DenseHeads {
    /// Random heads (`Weights::random`), or those of a checkpoint.
    pub fn new(weights: &mut Weights<'_>, hidden: usize, categories: usize) -> Result<Self, ModelError> {
        let init = Init::Normal(1.0 / (hidden as f64).sqrt());
        Ok(Self {
            category: weights.get("category", [hidden, PATCHES_PER_TOKEN * (categories + 1)], init)?,
            bounds: weights.get("bounds", [hidden, PATCHES_PER_TOKEN * 4], init)?,
            distance: weights.get("distance", [hidden, PATCHES_PER_TOKEN], init)?,
            position: weights.get("position", [hidden, 2], init)?,
        })
    }

    /// The parameters by the names that [`Self::new`] asks for.
    pub fn named_tensors(&self) -> Vec<NamedTensor> {
        let named = |name: &str, param: &Param<Tensor<2>>| {
            let tensor = param.val().detach();
            NamedTensor {
                name: name.to_owned(),
                shape: tensor.dims().to_vec(),
                values: Box::new(move || tensor.clone().into_data().iter::<f32>().collect()),
            }
        };
        vec![
            named("category", &self.category),
            named("bounds", &self.bounds),
            named("distance", &self.distance),
            named("position", &self.position),
        ]
    }

    /// What the heads say of each patch: categories `[patches, categories + 1]` (logits) and boxes
    /// `[patches, 4]`.
    pub fn predict(&self, image_tokens: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
        let patches = image_tokens.dims()[0] * PATCHES_PER_TOKEN;
        let classes = self.category.val().dims()[1] / PATCHES_PER_TOKEN;
        (
            image_tokens.clone().matmul(self.category.val()).reshape([patches, classes]),
            image_tokens.clone().matmul(self.bounds.val()).reshape([patches, 4]),
        )
    }

    /// `image_tokens`: `[tokens, hidden]`, all images of a batch, or of a part of one, after one another,
    /// like `labels`. The sums are over the numbers of the whole batch.
    pub fn losses(
        &self,
        image_tokens: &Tensor<2>,
        labels: &DenseLabels,
        whole: &DenseCounts,
        device: &Device,
    ) -> DenseLosses {
        let [tokens, _] = image_tokens.dims();
        let patches = tokens * PATCHES_PER_TOKEN;
        let (logits, boxes) = self.predict(image_tokens);

        let truth: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(labels.category.clone(), [patches]), device);
        let category = fused::cross_entropy(logits, truth).sum().div_scalar(whole.patches.max(1) as f64);

        let truth: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.bounds.clone(), [patches, 4]), device);
        let on_object: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.on_object.clone(), [patches, 1]), device);
        let count = 4 * whole.on_object.max(1);
        let bounds = ((boxes - truth).abs() * on_object.clone()).sum().div_scalar(count as f64);

        let far = image_tokens.clone().matmul(self.distance.val()).reshape([patches, 1]);
        let truth: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.distance.clone(), [patches, 1]), device);
        let distance = ((far - truth).abs() * on_object).sum().div_scalar(whole.on_object.max(1) as f64);

        let own = image_tokens.clone().matmul(self.position.val());
        let truth: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.position.clone(), [tokens, 2]), device);
        let count = 2 * (whole.patches / PATCHES_PER_TOKEN).max(1);
        let position = (own - truth).abs().sum().div_scalar(count as f64);
        DenseLosses { category, bounds, distance, position }
    }
}

/// How many of everything a batch holds: what its losses are means over.
#[derive(Debug, Clone, Copy, Default)]
pub struct DenseCounts {
    pub patches: usize,
    /// Patches on an object.
    pub on_object: usize,
}

impl DenseCounts {
    pub fn of<'a>(parts: impl Iterator<Item = &'a DenseLabels>) -> Self {
        parts.fold(Self::default(), |all, part| Self {
            patches: all.patches + part.category.len(),
            on_object: all.on_object + part.category.iter().filter(|category| **category > 0).count(),
        })
    }
}

/// What the dense heads make of held-out pictures.
#[derive(Debug, Clone, Copy, Default)]
pub struct DenseScore {
    pub pictures: usize,
    /// Patches on an object, which the rest are means over.
    pub patches: usize,
    pub mean_iou: f64,
    /// Share of patches whose box overlaps the truth by at least 0.5.
    pub accuracy_50: f64,
    /// Share of patches given the right category.
    pub category_accuracy: f64,
}

impl DenseScore {
    /// Adds pictures: predictions as [`DenseHeads::predict`] gives them.
    pub fn add(&mut self, pictures: usize, (logits, boxes): (Tensor<2>, Tensor<2>), labels: &DenseLabels) {
        let classes = logits.dims()[1];
        let logits: Vec<f32> = logits.into_data().iter().collect();
        let boxes: Vec<f32> = boxes.into_data().iter().collect();
        let corners = |numbers: &[f32]| PixelBox {
            x1: numbers[0],
            y1: numbers[1],
            x2: numbers[2].max(numbers[0]),
            y2: numbers[3].max(numbers[1]),
        };
        let (mut ious, mut found, mut named, mut count) = (0.0, 0, 0, 0);
        let patches = logits.chunks_exact(classes).zip(boxes.chunks_exact(4));
        let truths = labels.category.iter().zip(labels.bounds.chunks_exact(4));
        for ((logits, guess), (category, truth)) in patches.zip(truths).filter(|(_, truth)| *truth.0 > 0) {
            let iou = corners(guess).iou(&corners(truth));
            let best = (0..classes).max_by(|a, b| logits[*a].total_cmp(&logits[*b]));
            ious += f64::from(iou);
            found += usize::from(iou >= 0.5);
            named += usize::from(best == usize::try_from(*category).ok());
            count += 1;
        }
        let all = (self.patches + count).max(1) as f64;
        let mix = |old: f64, sum: f64| (old * self.patches as f64 + sum) / all;
        self.mean_iou = mix(self.mean_iou, ious);
        self.accuracy_50 = mix(self.accuracy_50, found as f64);
        self.category_accuracy = mix(self.category_accuracy, named as f64);
        self.patches += count;
        self.pictures += pictures;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_patches_on_objects_are_scored() {
        let device = Device::flex();
        let labels = DenseLabels {
            category: vec![0, 2, 1],
            bounds: vec![0.0, 0.0, 0.0, 0.0, 0.2, 0.2, 0.4, 0.4, 0.0, 0.0, 1.0, 0.5],
            on_object: vec![0.0, 1.0, 1.0],
            distance: vec![0.0, 2.0, 3.0],
            position: Vec::new(),
        };
        let logits = Tensor::from_data([[9.0, 0.0, 0.0], [0.0, 0.0, 9.0], [0.0, 0.0, 9.0]], &device);
        let boxes =
            Tensor::from_data([[9.0, 9.0, 9.0, 9.0], [0.2, 0.2, 0.4, 0.4], [0.0, 0.0, 1.0, 0.125]], &device);
        let mut score = DenseScore::default();
        score.add(1, (logits.clone(), boxes.clone()), &labels);
        score.add(1, (logits, boxes), &labels);
        assert_eq!((score.pictures, score.patches), (2, 4));
        assert!((score.mean_iou - 0.625).abs() < 1e-6, "{score:?}");
        assert_eq!((score.accuracy_50, score.category_accuracy), (0.5, 0.5));
        let counts = DenseCounts::of([&labels, &labels].into_iter());
        assert_eq!((counts.patches, counts.on_object), (6, 4));
    }
}
