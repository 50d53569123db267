//! Scaled dot-product attention, written so that little is kept for the backward pass.

use burn::tensor::Tensor;

/// Added to the scores of positions that must not be seen. Finite, so that a row in which everything is
/// masked (padding) stays a number.
pub const MASKED: f32 = -1e9;

/// `softmax(q kᵀ / √d + bias) v`.
///
/// - `query` `[n, heads, rows, d]`, `key` and `value` `[n, heads, columns, d]`
/// - `bias` broadcasts to `[n, heads, rows, columns]`
pub fn attend(
    query: Tensor<4>,
    key: Tensor<4>,
    value: Tensor<4>,
    bias: Option<Tensor<4>>,
) -> Tensor<4> {
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
