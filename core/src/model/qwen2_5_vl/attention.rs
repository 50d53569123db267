//! Scaled dot-product attention: fused on the CPU, composed of Burn's operations elsewhere.

use crate::model::fused::{self, Pattern};
use burn::tensor::{Device, Tensor, TensorData};
use std::ops::Range;
use std::sync::Arc;

/// Added to the scores of positions that must not be seen. Finite, so that a row in which everything is
/// masked (padding) stays a number.
const MASKED: f32 = -1e9;

/// What the tokens of a piece see: themselves, what came before, and no padding in between.
#[derive(Debug, Clone)]
pub enum Mask {
    /// For the fused operation.
    Pattern(Pattern),
    /// Added to the scores: `[batch or 1, 1, tokens, columns]`; `None` when all is seen.
    Bias(Option<Box<Tensor<4>>>),
}

impl Mask {
    /// `tokens` after `before` others; `gaps` are the columns that hold padding, by row of the batch (no
    /// rows at all: nowhere).
    pub fn causal(
        before: usize,
        tokens: usize,
        gaps: Arc<[Vec<Range<usize>>]>,
        fused: bool,
        device: &Device,
    ) -> Self {
        // Padding at the end of this very piece needs no mask: causality hides it from all but itself.
        let earlier = gaps.iter().flatten().any(|gap| gap.start < before);
        let gaps = if earlier { gaps } else { Arc::default() };
        if fused {
            Self::Pattern(Pattern::Causal(gaps))
        } else {
            Self::Bias(bias(before, tokens, &gaps, device))
        }
    }
}

fn bias(before: usize, tokens: usize, gaps: &[Vec<Range<usize>>], device: &Device) -> Option<Box<Tensor<4>>> {
    if tokens == 1 && gaps.is_empty() {
        return None;
    }
    let columns = before + tokens;
    let rows = gaps.len().max(1);
    let mut bias = Vec::with_capacity(rows * tokens * columns);
    for row in 0..rows {
        for token in 0..tokens {
            let start = bias.len();
            bias.resize(start + before + token + 1, 0.0);
            bias.resize(start + columns, MASKED);
            for gap in gaps.get(row).into_iter().flatten() {
                bias[start + gap.start..start + gap.end].fill(MASKED);
            }
        }
    }
    Some(Box::new(Tensor::from_data(TensorData::new(bias, [rows, 1, tokens, columns]), device)))
}

/// `softmax(query keyᵀ / √d) value` as far as `mask` lets see: `[batch, tokens, heads, d]`.
///
/// `query` is `[batch, tokens, heads, d]`; `key` and `value` are `[batch, columns, shared heads, d]`, each
/// head serving `heads / shared` query heads in a row.
pub fn causal_attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: &Mask) -> Tensor<4> {
    let bias = match mask {
        Mask::Pattern(pattern) => return fused::attention(query, key, value, pattern.clone()),
        Mask::Bias(bias) => bias,
    };
    let [batch, tokens, heads, width] = query.dims();
    let shared = key.dims()[2];
    let group = heads / shared;
    // All queries that share a key head go into one product, so keys and values are never repeated. The
    // heads of a group lie one after the other in the rows of the score matrix, and so must the mask.
    let query = query.swap_dims(1, 2).reshape([batch, shared, group * tokens, width]);
    let bias = bias.as_deref().cloned();
    let bias = bias.map(|bias| if tokens == 1 { bias } else { bias.repeat_dim(2, group) });
    let attended = attend(query, key.swap_dims(1, 2), value.swap_dims(1, 2), bias);
    attended.reshape([batch, heads, tokens, width]).swap_dims(1, 2)
}

/// `softmax(q kᵀ / √d + bias) v`, composed.
///
/// - `query` `[n, heads, rows, d]`, `key` and `value` `[n, heads, columns, d]`
/// - `bias` broadcasts to `[n, heads, rows, columns]`
pub fn attend(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, bias: Option<Tensor<4>>) -> Tensor<4> {
    let scale = 1.0 / (query.dims()[3] as f64).sqrt();
    // Scaling the query is cheaper than scaling the scores.
    let scores = (query * scale).matmul(key.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => scores + bias,
        None => scores,
    };
    // The result does not depend on the maximum, so neither does the gradient. Dividing after the
    // product with the values touches `d` numbers a row instead of `columns`.
    let maximum = scores.clone().detach().max_dim(3);
    let weights = (scores - maximum).exp();
    let sum = weights.clone().sum_dim(3);
    weights.matmul(value) / sum
}
