//! The operations between the matrix products, each in one pass over memory, forward and backward.
//!
//! Composed from single operations a training step of a small model on the CPU spends most of its time
//! moving activations: every square, mean and product writes a new tensor, on one thread, and so does
//! its gradient. These replace the composition on the CPU backend (Flex); on any other device the
//! layers keep to Burn's own operations, which its compiler fuses there.
//!
//! `kernels` and `attention` compute on slices, `gradients` ties them into automatic differentiation.

mod attention;
mod gradients;
mod kernels;
mod packed;
mod parallel;
mod products;
#[cfg(test)]
mod tests;

pub use attention::Pattern;

use super::quantization::Bits;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{DType, Device, Int, Tensor};
use std::cell::Cell;

/// Whether this processor's products of many rows with 16-bit weights round the activations to bfloat16.
#[cfg(test)]
pub fn rounds_activations() -> bool {
    #[cfg(target_arch = "x86_64")]
    let rounds = products::has_avx512();
    #[cfg(not(target_arch = "x86_64"))]
    let rounds = false;
    rounds
}

/// See the functions of this module, which call these.
#[backend_extension(Flex, Autodiff)]
pub trait FusedOps: Backend {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_linear_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn fused_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self>;

    fn fused_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self>;

    fn fused_rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self>;

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        pattern: Pattern,
    ) -> FloatTensor<Self>;

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self>;
}

/// For weights that are no parameters to train.
#[backend_extension(Flex)]
pub trait PackedOps: Backend {
    fn fused_linear_packed(
        x: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bits: Bits,
    ) -> FloatTensor<Self>;
}

impl PackedOps for Flex {
    fn fused_linear_packed(
        x: FloatTensor<Self>,
        values: IntTensor<Self>,
        scales: FloatTensor<Self>,
        bits: Bits,
    ) -> FloatTensor<Self> {
        kernels::linear_packed(&x, &values, &scales, bits)
    }
}

impl FusedOps for Flex {
    fn fused_linear(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        kernels::linear(&x, &weight, None)
    }

    fn fused_linear_bias(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        kernels::linear(&x, &weight, Some(&bias))
    }

    fn fused_rms_norm(x: FloatTensor<Self>, weight: FloatTensor<Self>, epsilon: f64) -> FloatTensor<Self> {
        kernels::rms_norm(&x, &weight, epsilon)
    }

    fn fused_gate(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        kernels::gate(&gate, &up)
    }

    fn fused_rotate(
        x: FloatTensor<Self>,
        cos: FloatTensor<Self>,
        sin: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        kernels::rotate(&x, &cos, &sin, false)
    }

    fn fused_attention(
        query: FloatTensor<Self>,
        key: FloatTensor<Self>,
        value: FloatTensor<Self>,
        pattern: Pattern,
    ) -> FloatTensor<Self> {
        attention::forward(&query, &key, &value, &pattern).0
    }

    fn fused_cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        kernels::cross_entropy(&logits, &kernels::indices(&targets)).0
    }
}

thread_local! {
    static COMPOSED: Cell<bool> = const { Cell::new(false) };
}

/// Whether these operations can take this tensor.
pub fn applies<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.device() == Device::flex() && !COMPOSED.get()
}

/// Runs `work` with Burn's own operations on the CPU too, as on every other device: for comparing the two.
pub fn composed<R>(work: impl FnOnce() -> R) -> R {
    let before = COMPOSED.replace(true);
    let result = work();
    COMPOSED.set(before);
    result
}

/// `x weightᵀ + bias`: `[rows, in]`, `[out, in]` and `[out]` → `[rows, out]`. The weight's gradient comes out
/// in the weight's own layout, which spares the optimizer transposed reads.
pub fn linear(x: Tensor<2>, weight: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
    let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(match bias {
        Some(bias) => Dispatch::fused_linear_bias(x, weight, bias.into_dispatch()),
        None => Dispatch::fused_linear(x, weight),
    })
}

/// `x weightᵀ` with a weight in groups (see [`crate::model::quantization`]): `[rows, in]`, its numbers and scales as they
/// are stored → `[rows, out]`.
pub fn linear_packed(x: Tensor<2>, values: Tensor<2, Int>, scales: Tensor<2>, bits: Bits) -> Tensor<2> {
    let (values, scales) = (values.into_dispatch(), scales.into_dispatch());
    Tensor::from_dispatch(Dispatch::fused_linear_packed(x.into_dispatch(), values, scales, bits))
}

/// `x / sqrt(mean(x²) + epsilon) * weight` over the last dimension.
pub fn rms_norm<const D: usize>(x: Tensor<D>, weight: Tensor<1>, epsilon: f64) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::fused_rms_norm(x.into_dispatch(), weight.into_dispatch(), epsilon))
}

/// `silu(gate) * up`, for tensors of one shape.
pub fn gate<const D: usize>(gate: Tensor<D>, up: Tensor<D>) -> Tensor<D> {
    Tensor::from_dispatch(Dispatch::fused_gate(gate.into_dispatch(), up.into_dispatch()))
}

/// Turns `[batch, tokens, heads, d]` by angles given as cosines and sines `[batch or 1, tokens, 1, d]`,
/// whose two halves are equal.
pub fn rotate(x: Tensor<4>, cos: Tensor<4>, sin: Tensor<4>) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::fused_rotate(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()))
}

/// `softmax(query keyᵀ / √d) value` without ever holding all scores.
///
/// `query` is `[batch, tokens, heads, d]`, `key` and `value` are `[batch, columns, shared heads, d]`; each
/// of the latter serves `heads / shared` query heads in a row.
pub fn attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, pattern: Pattern) -> Tensor<4> {
    Tensor::from_dispatch(Dispatch::fused_attention(
        query.into_dispatch(),
        key.into_dispatch(),
        value.into_dispatch(),
        pattern,
    ))
}

/// The negative log-likelihood of each row's target: `[rows, classes]` and `[rows]` → `[rows]`.
/// Any device.
pub fn cross_entropy(logits: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
    if applies(&logits) {
        let losses = Dispatch::fused_cross_entropy(logits.into_dispatch(), targets.into_dispatch());
        return Tensor::from_dispatch(losses);
    }
    let rows = logits.dims()[0];
    let likelihoods = burn::tensor::activation::log_softmax(logits, 1);
    likelihoods.gather(1, targets.unsqueeze_dim(1)).reshape([rows]).neg()
}
