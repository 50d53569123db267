//! The language loss: cross-entropy of the answer's tokens, and of nothing else.

use crate::model::{ModelInput, Qwen2_5Vl};
use crate::processor::Encoded;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};

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

    pub fn len(&self) -> usize {
        self.rows.len()
    }
}

/// Mean cross-entropy over the answer tokens of the batch. Only their rows go through the output layer.
pub fn answer_loss(
    model: &Qwen2_5Vl,
    input: &ModelInput,
    targets: &AnswerTargets,
    device: &Device,
) -> Tensor<1> {
    let hidden = model.hidden(input, None);
    let [batch, time, width] = hidden.dims();
    let count = targets.len();
    let rows: Tensor<1, Int> = Tensor::from_data(TensorData::new(targets.rows.clone(), [count]), device);
    let tokens: Tensor<2, Int> =
        Tensor::from_data(TensorData::new(targets.tokens.clone(), [count, 1]), device);
    let logits = model.logits(hidden.reshape([batch * time, width]).select(0, rows));
    log_softmax(logits, 1).gather(1, tokens).mean().neg()
}
