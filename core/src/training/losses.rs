//! The language loss: cross-entropy of the answer's tokens, and of nothing else.

use crate::model::{ModelInput, Qwen2_5Vl, fused};
use crate::processor::Encoded;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// How many tokens of a sample count.
pub fn answer_length(encoded: &Encoded) -> usize {
    encoded.answer_spans.iter().flat_map(Clone::clone).filter(|at| *at > 0).count()
}

/// Where a batch's answers stand: rows of the flattened `[batch * time]` hidden states that predict
/// them, and the tokens predicted.
pub struct AnswerTargets {
    rows: Vec<i32>,
    tokens: Vec<i32>,
}

impl AnswerTargets {
    /// `time` is the padded length of the batch.
    pub fn new(batch: &[&Encoded], time: usize) -> Self {
        let (mut rows, mut tokens) = (Vec::new(), Vec::new());
        for (index, encoded) in batch.iter().enumerate() {
            for at in encoded.answer_spans.iter().flat_map(Clone::clone).filter(|at| *at > 0) {
                rows.push((index * time + at - 1) as i32);
                tokens.push(encoded.token_ids[at] as i32);
            }
        }
        Self { rows, tokens }
    }

    /// The cross-entropy of each target, one after the other. Only the answers' rows go through the output layer.
    pub fn losses(&self, model: &Qwen2_5Vl, input: &ModelInput, device: &Device) -> Tensor<1> {
        let hidden = model.hidden(input, None);
        let [batch, time, width] = hidden.dims();
        let here = self.rows.len();
        let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(self.rows.clone(), [here]), device);
        let tokens: Tensor<1, Int> = Tensor::from_data(TensorData::new(self.tokens.clone(), [here]), device);
        let logits = model.logits(hidden.reshape([batch * time, width]).select(0, rows));
        fused::cross_entropy(logits, tokens)
    }
}

/// Summed cross-entropy of the answer tokens, over `count`: the mean when that is their number, a part of
/// it when these are some of a batch's rows.
pub fn answer_loss(
    model: &Qwen2_5Vl,
    input: &ModelInput,
    targets: &AnswerTargets,
    count: usize,
    device: &Device,
) -> Tensor<1> {
    targets.losses(model, input, device).sum().div_scalar(count.max(1) as f64)
}
