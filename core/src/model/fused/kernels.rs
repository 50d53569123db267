//! Linear layer, norm, gate, rotation and loss on contiguous numbers.

use super::packed::PackedRows;
use super::parallel::{exp, for_pairs, for_pieces, maximum, sum2, vectorized};
use super::products;
use crate::model::quantization::{Bits, GROUP};
use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::backend::ops::FloatTensorOps;
use burn::tensor::{DType, FloatDType, Shape, TensorData};
use half::f16;

/// Rows that one thread takes at a time. Fixed, so that sums over rows add up alike on every machine.
const ROWS: usize = 64;

/// Contiguous numbers and how many make a row.
pub(super) struct Rows {
    tensor: FlexTensor,
    pub width: usize,
}

impl Rows {
    pub fn new(tensor: &FlexTensor) -> Self {
        let tensor = tensor.to_contiguous();
        let width = tensor.layout().shape().as_slice().last().copied().unwrap_or(1).max(1);
        Self { tensor, width }
    }

    pub fn data(&self) -> &[f32] {
        let (start, end) = self.tensor.layout().contiguous_offsets().unwrap_or((0, 0));
        &self.tensor.storage()[start..end]
    }

    fn shape(&self) -> Shape {
        self.tensor.layout().shape().clone()
    }
}

pub(super) fn tensor(data: Vec<f32>, shape: impl Into<Shape>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(data, shape.into()))
}

/// Class numbers of an integer tensor of any width.
pub(super) fn indices(targets: &FlexTensor) -> Vec<usize> {
    let data = targets.clone().into_data();
    data.iter::<i64>().map(|index| usize::try_from(index).unwrap_or(usize::MAX)).collect()
}

pub(super) fn linear(x: &FlexTensor, weight: &FlexTensor, bias: Option<&FlexTensor>) -> FlexTensor {
    let mut out = match weight.dtype() {
        DType::BF16 => products::linear(x, &products::Bf16Rows::new(&weight.to_contiguous())),
        _ => Flex::float_matmul(x.clone(), weight.transpose(0, 1)),
    };
    if let Some(bias) = bias {
        let bias = Rows::new(bias);
        let bias = bias.data();
        // A fresh product: contiguous and nobody else's.
        for_pieces(out.storage_mut::<f32>(), ROWS * bias.len(), |_, piece| {
            for row in piece.chunks_exact_mut(bias.len()) {
                row.iter_mut().zip(bias).for_each(|(out, bias)| *out += bias);
            }
        });
    }
    out
}

pub(super) fn linear_packed(
    x: &FlexTensor,
    values: &FlexTensor,
    scales: &FlexTensor,
    bits: Bits,
) -> FlexTensor {
    let (values, scales) = (values.to_contiguous(), scales.to_contiguous());
    let range = |tensor: &FlexTensor| {
        let (start, end) = tensor.layout().contiguous_offsets().unwrap_or((0, 0));
        start..end
    };
    let numbers: &[u8] = match values.dtype() {
        DType::I8 => bytemuck::cast_slice(&values.storage::<i8>()[range(&values)]),
        _ => &values.storage::<u8>()[range(&values)],
    };
    let [_, groups] = scales.layout().shape().dims::<2>();
    let rows = PackedRows {
        values: numbers,
        scales: &scales.storage::<f16>()[range(&scales)],
        inputs: groups * GROUP,
        bits,
    };
    products::linear(x, &rows)
}

/// Gradients of input and weight.
pub(super) fn linear_backward(
    x: Option<&FlexTensor>,
    weight: Option<&FlexTensor>,
    gradient: &FlexTensor,
) -> (Option<FlexTensor>, Option<FlexTensor>) {
    let for_x = weight.map(|weight| {
        let weight = Flex::float_cast(weight.clone(), FloatDType::F32);
        Flex::float_matmul(gradient.clone(), weight)
    });
    let for_weight = x.map(|x| Flex::float_matmul(gradient.transpose(0, 1), x.clone()));
    (for_x, for_weight)
}

/// The sum of all rows: a bias's gradient.
pub(super) fn sum_rows(x: &FlexTensor) -> FlexTensor {
    let x = Rows::new(x);
    let (width, input) = (x.width, x.data());
    let mut partial = vec![0.0; input.len().div_ceil(ROWS * width) * width];
    for_pieces(&mut partial, width, |first, sums| {
        let start = first * ROWS;
        let rows = &input[start..(start + ROWS * width).min(input.len())];
        for row in rows.chunks_exact(width) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
    });
    tensor(add_up(&partial, width), [width])
}

/// Partial sums, added in order.
fn add_up(partial: &[f32], width: usize) -> Vec<f32> {
    let mut sums = vec![0.0; width];
    for partial in partial.chunks_exact(width) {
        sums.iter_mut().zip(partial).for_each(|(sum, part)| *sum += part);
    }
    sums
}

pub(super) fn rms_norm(x: &FlexTensor, weight: &FlexTensor, epsilon: f64) -> FlexTensor {
    let (x, weight) = (Rows::new(x), Rows::new(weight));
    let (width, input, weight) = (x.width, x.data(), weight.data());
    let mut out = vec![0.0; input.len()];
    for_pieces(&mut out, ROWS * width, |first, piece| {
        vectorized(|| {
            let input = input[first..first + piece.len()].chunks_exact(width);
            for (row, out) in input.zip(piece.chunks_exact_mut(width)) {
                let scale = inverse_rms(row, epsilon);
                for ((out, x), weight) in out.iter_mut().zip(row).zip(weight) {
                    *out = x * scale * weight;
                }
            }
        });
    });
    tensor(out, x.shape())
}

#[inline(always)]
fn inverse_rms(row: &[f32], epsilon: f64) -> f32 {
    let mean = sum2(row, row, |a, b| a * b) / row.len() as f32;
    1.0 / (mean + epsilon as f32).sqrt()
}

/// Gradients of input and weight.
pub(super) fn rms_norm_backward(
    x: &FlexTensor,
    weight: &FlexTensor,
    epsilon: f64,
    gradient: &FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let (x, weight, gradient) = (Rows::new(x), Rows::new(weight), Rows::new(gradient));
    let (width, input, scales, upstream) = (x.width, x.data(), weight.data(), gradient.data());
    let mut out = vec![0.0; input.len()];
    let pieces = input.len().div_ceil(ROWS * width);
    // One partial sum of the weight's gradient for each piece, added up in order below.
    let mut partial = vec![0.0; pieces * width];
    for_pairs(&mut out, &mut partial, (ROWS * width, width), |piece, out, partial| {
        let first = piece * ROWS * width;
        let range = first..first + out.len();
        let rows = input[range.clone()].chunks_exact(width).zip(upstream[range].chunks_exact(width));
        vectorized(|| {
            for ((x, upstream), out) in rows.zip(out.chunks_exact_mut(width)) {
                let scale = inverse_rms(x, epsilon);
                for ((out, upstream), weight) in out.iter_mut().zip(upstream).zip(scales) {
                    *out = upstream * weight;
                }
                let along = sum2(out, x, |a, b| a * b) * scale * scale / width as f32;
                for (((out, x), upstream), partial) in
                    out.iter_mut().zip(x).zip(upstream).zip(partial.iter_mut())
                {
                    *out = (*out - x * along) * scale;
                    *partial += upstream * x * scale;
                }
            }
        });
    });
    (tensor(out, x.shape()), tensor(add_up(&partial, width), [width]))
}

pub(super) fn gate(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let (gate, up) = (Rows::new(gate), Rows::new(up));
    let (gates, ups) = (gate.data(), up.data());
    let mut out = vec![0.0; gates.len()];
    for_pieces(&mut out, ROWS * gate.width, |first, piece| {
        vectorized(|| {
            let range = first..first + piece.len();
            for ((out, gate), up) in piece.iter_mut().zip(&gates[range.clone()]).zip(&ups[range]) {
                *out = gate * up / (1.0 + exp(-gate));
            }
        });
    });
    tensor(out, gate.shape())
}

/// Gradients of gate and up.
pub(super) fn gate_backward(
    gate: &FlexTensor,
    up: &FlexTensor,
    gradient: &FlexTensor,
) -> (FlexTensor, FlexTensor) {
    let (gate, up, gradient) = (Rows::new(gate), Rows::new(up), Rows::new(gradient));
    let (gates, ups, upstream) = (gate.data(), up.data(), gradient.data());
    let (mut gate_out, mut up_out) = (vec![0.0; gates.len()], vec![0.0; gates.len()]);
    let size = ROWS * gate.width;
    for_pairs(&mut gate_out, &mut up_out, (size, size), |piece, gate_out, up_out| {
        let range = piece * size..piece * size + gate_out.len();
        let (gates, ups, upstream) = (&gates[range.clone()], &ups[range.clone()], &upstream[range]);
        vectorized(|| {
            for (index, (gate_out, up_out)) in gate_out.iter_mut().zip(up_out).enumerate() {
                let (gate, upstream) = (gates[index], upstream[index]);
                let sigmoid = 1.0 / (1.0 + exp(-gate));
                *up_out = upstream * gate * sigmoid;
                *gate_out = upstream * ups[index] * sigmoid * (1.0 + gate * (1.0 - sigmoid));
            }
        });
    });
    (tensor(gate_out, gate.shape()), tensor(up_out, gate.shape()))
}

/// Turns every head; `back` turns the other way, which is also the gradient.
pub(super) fn rotate(x: &FlexTensor, cos: &FlexTensor, sin: &FlexTensor, back: bool) -> FlexTensor {
    let [_, tokens, heads, width] = x.layout().shape().dims::<4>();
    let (x, cos, sin) = (Rows::new(x), Rows::new(cos), Rows::new(sin));
    let (input, cosines, sines) = (x.data(), cos.data(), sin.data());
    let (half, row) = (width / 2, heads * width);
    let sign = if back { -1.0 } else { 1.0 };
    let mut out = vec![0.0; input.len()];
    for_pieces(&mut out, ROWS * row, |first, piece| {
        vectorized(|| {
            for (index, out) in piece.chunks_exact_mut(row).enumerate() {
                let place = first / row + index;
                // One set of angles serves all batches, or each batch has its own.
                let angles = if cosines.len() == tokens * width { place % tokens } else { place } * width;
                let (cos, sin) = (&cosines[angles..angles + half], &sines[angles..angles + half]);
                let input = input[place * row..(place + 1) * row].chunks_exact(width);
                for (x, out) in input.zip(out.chunks_exact_mut(width)) {
                    let (x1, x2) = x.split_at(half);
                    let (out1, out2) = out.split_at_mut(half);
                    for i in 0..half {
                        let sin = sign * sin[i];
                        out1[i] = x1[i] * cos[i] - x2[i] * sin;
                        out2[i] = x2[i] * cos[i] + x1[i] * sin;
                    }
                }
            }
        });
    });
    tensor(out, x.shape())
}

/// Losses, and for each row the logarithm of the sum of exponentials.
pub(super) fn cross_entropy(logits: &FlexTensor, targets: &[usize]) -> (FlexTensor, Vec<f32>) {
    let logits = Rows::new(logits);
    let (width, input) = (logits.width, logits.data());
    let mut sums = vec![0.0; targets.len()];
    for_pieces(&mut sums, 8, |first, piece| {
        for (index, sum) in piece.iter_mut().enumerate() {
            let row = &input[(first + index) * width..][..width];
            *sum = vectorized(|| {
                let largest = maximum(row);
                largest + sum2(row, row, |x, _| exp(x - largest)).ln()
            });
        }
    });
    let loss = |(row, sum): (usize, &f32)| {
        // A target that is no class would be a bug of the caller; its loss is NaN, which training reports.
        let target = targets[row];
        if target < width { sum - input[row * width + target] } else { f32::NAN }
    };
    let losses: Vec<f32> = sums.iter().enumerate().map(loss).collect();
    (tensor(losses, [targets.len()]), sums)
}

pub(super) fn cross_entropy_backward(
    logits: &FlexTensor,
    targets: &[usize],
    sums: &[f32],
    gradient: &FlexTensor,
) -> FlexTensor {
    let (logits, gradient) = (Rows::new(logits), Rows::new(gradient));
    let (width, input, upstream) = (logits.width, logits.data(), gradient.data());
    let mut out = vec![0.0; input.len()];
    for_pieces(&mut out, width, |first, out| {
        let row = first / width;
        let (sum, upstream) = (sums[row], upstream[row]);
        vectorized(|| {
            for (out, x) in out.iter_mut().zip(&input[first..first + width]) {
                *out = exp(x - sum) * upstream;
            }
        });
        if let Some(out) = out.get_mut(targets[row]) {
            *out -= upstream;
        }
    });
    tensor(out, logits.shape())
}
