//! Dense supervision of the image tokens, which gives a model from random weights something to see with.
//!
//! Linear heads on the vision tower's output predict, for every patch of 14 × 14 pixels, the category
//! under its centre and that object's box, and for every merged token its own centre. The heads are
//! dropped afterwards: the checkpoint keeps the published architecture.

use super::batches::DenseLabels;
use super::config::FoundationWeights;
use crate::model::ModelError;
use crate::model::qwen2_5_vl::weights::{Init, NamedTensor, Weights};
use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
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
    /// `[hidden, 2]`: x, y in shares of the image.
    position: Param<Tensor<2>>,
}

/// The losses of one batch, unweighted.
pub struct DenseLosses {
    pub category: Tensor<1>,
    pub bounds: Tensor<1>,
    pub position: Tensor<1>,
}

impl DenseLosses {
    pub fn weighted(&self, weights: &FoundationWeights) -> Tensor<1> {
        self.category.clone().mul_scalar(weights.category)
            + self.bounds.clone().mul_scalar(weights.bounds)
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
            named("position", &self.position),
        ]
    }

    /// `image_tokens`: `[tokens, hidden]`, all images of the batch after one another, like `labels`.
    pub fn losses(&self, image_tokens: &Tensor<2>, labels: &DenseLabels, device: &Device) -> DenseLosses {
        let [tokens, _] = image_tokens.dims();
        let patches = tokens * PATCHES_PER_TOKEN;
        let classes = self.category.val().dims()[1] / PATCHES_PER_TOKEN;

        let logits = image_tokens.clone().matmul(self.category.val()).reshape([patches, classes]);
        let truth: Tensor<2, Int> =
            Tensor::from_data(TensorData::new(labels.category.clone(), [patches, 1]), device);
        let category = log_softmax(logits, 1).gather(1, truth).mean().neg();

        let boxes = image_tokens.clone().matmul(self.bounds.val()).reshape([patches, 4]);
        let truth: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.bounds.clone(), [patches, 4]), device);
        let on_object: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.on_object.clone(), [patches, 1]), device);
        let count = labels.on_object.iter().sum::<f32>().max(1.0) * 4.0;
        let bounds = ((boxes - truth).abs() * on_object).sum().div_scalar(count);

        let own = image_tokens.clone().matmul(self.position.val());
        let truth: Tensor<2> =
            Tensor::from_data(TensorData::new(labels.position.clone(), [tokens, 2]), device);
        let position = (own - truth).abs().mean();
        DenseLosses { category, bounds, position }
    }
}
