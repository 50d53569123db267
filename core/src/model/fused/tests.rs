//! Every fused operation against its composition, values and gradients.

use super::*;
use crate::model::quantization::{GROUP, dequantize, quantize};
use crate::model::qwen2_5_vl::attention::attend;
use burn::tensor::{TensorData, activation::silu};

fn device() -> Device {
    Device::flex().autodiff()
}

/// Numbers between -1 and 1, in no order.
fn numbers<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i as u64 * 7919 + seed * 104_729) % 2001) as f32 / 1000.0 - 1.0;
    let data: Vec<f32> = (0..count).map(value).collect();
    Tensor::from_data(TensorData::new(data, shape), &device()).require_grad()
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}

fn assert_close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |scale, x| scale.max(x.abs()));
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 2e-5 * scale, "{what}: off by {worst} of {scale}");
}

/// Compares two ways to compute from the same leaves, and the gradients of a weighted sum of the result.
fn compare<const D: usize, const E: usize>(leaves: &[&Tensor<E>], fused: Tensor<D>, composed: Tensor<D>) {
    assert_close("values", &values(fused.clone()), &values(composed.clone()));
    let weights = numbers(fused.dims(), 77).detach();
    let found = (fused * weights.clone()).sum().backward();
    let expected = (composed * weights).sum().backward();
    for (index, leaf) in leaves.iter().enumerate() {
        let gradient = |gradients| values(leaf.grad(gradients).unwrap());
        assert_close(&format!("gradient {index}"), &gradient(&found), &gradient(&expected));
    }
}

#[test]
fn exponential_is_accurate() {
    for i in -8700..8800 {
        let x = i as f32 / 100.0;
        let (found, expected) = (parallel::exp(x), x.exp());
        assert!((found / expected - 1.0).abs() < 3e-7, "exp({x}) = {found}, not {expected}");
    }
    assert!(parallel::exp(-1e9) < 1e-37 && parallel::exp(f32::NAN).is_nan());
}

/// Activations that are bfloat16 themselves, so that both ways of multiplying are exact but for the order of the sums.
#[test]
fn weights_in_bfloat16() {
    let rounded = |shape: [usize; 2], seed| numbers(shape, seed).inner().cast(DType::BF16);
    for (inputs, outputs) in [(2, 1), (24, 17), (33, 5), (34, 32), (130, 100), (4200, 40)] {
        let weight = rounded([outputs, inputs], 3);
        for rows in [1, 2, 3, 4, 5, 12, 13, 40] {
            let x = rounded([rows, inputs], 4).cast(DType::F32);
            let expected = x.clone().matmul(weight.clone().cast(DType::F32).transpose());
            let found = linear(x.clone(), weight.clone(), None);
            let what = format!("{rows} × {inputs} × {outputs}");
            assert_close(&what, &values(found), &values(expected.clone()));
            // Whatever this machine has, the way of all others.
            let bytes = |x: &Tensor<2>| x.clone().try_into_primitive::<Flex>().unwrap();
            let (x, weight) = (bytes(&x), bytes(&weight));
            let (x, weight) = (kernels::Rows::new(&x), products::Bf16Rows::new(&weight));
            let mut out = vec![0.0; rows * outputs];
            products::many_rows(x.data(), &weight, rows, &mut out);
            assert_close(&what, &out, &values(expected));
        }
    }
    // Part of a larger weight, and a bias.
    let (weight, bias) = (rounded([90, 64], 5), numbers([30], 6).inner());
    let x = rounded([7, 64], 7).cast(DType::F32);
    let part = weight.clone().slice_dim(0, 30..60);
    let expected = x.clone().matmul(part.clone().cast(DType::F32).transpose()) + bias.clone().unsqueeze();
    assert_close("part", &values(linear(x, part, Some(bias))), &values(expected));
}

/// Against the same weights widened first, few rows and many.
#[test]
fn weights_in_few_bits() {
    for bits in [Bits::Four, Bits::Eight] {
        for (inputs, outputs) in [(32, 1), (64, 17), (160, 40), (4160, 33)] {
            let weights = values(numbers([outputs, inputs], 3));
            let (packed, scales) = quantize(&weights, bits);
            let wide = dequantize(&packed, &scales, bits);
            let wide = Tensor::<2>::from_data(TensorData::new(wide, [outputs, inputs]), &Device::flex());
            let device = Device::flex();
            let shape = [outputs, bits.row_bytes(inputs)];
            let packed = match bits {
                Bits::Four => {
                    Tensor::<2, Int>::from_data(TensorData::new(packed, shape), (&device, DType::U8))
                }
                Bits::Eight => {
                    let signed: Vec<i8> = packed.iter().map(|byte| *byte as i8).collect();
                    Tensor::from_data(TensorData::new(signed, shape), (&device, DType::I8))
                }
            };
            let scales = TensorData::new(scales, [outputs, inputs / GROUP]);
            let scales = Tensor::<2>::from_data(scales, (&device, DType::F16));
            for rows in [1, 2, 3, 4, 5, 13, 40] {
                let x = numbers([rows, inputs], 4).inner();
                let expected = values(x.clone().matmul(wide.clone().transpose()));
                let found = values(linear_packed(x, packed.clone(), scales.clone(), bits));
                // Many rows are multiplied in bfloat16 where the machine can: eight bits of each factor.
                let scale = expected.iter().fold(1e-3f32, |scale, x| scale.max(x.abs()));
                let bound = if rows <= 4 { 2e-5 } else { 1e-2 };
                for (found, expected) in found.iter().zip(&expected) {
                    let off = (found - expected).abs();
                    assert!(
                        off < bound * scale,
                        "{bits:?}, {rows} × {inputs} × {outputs}: off by {off} of {scale}"
                    );
                }
            }
        }
    }
}

/// What a frozen weight in bfloat16 passes back.
#[test]
fn gradient_through_weights_in_bfloat16() {
    let x = numbers([9, 24], 1);
    let weight = numbers([17, 24], 2).inner().cast(DType::BF16);
    let frozen = Tensor::from_inner(weight.clone());
    let wide = Tensor::from_inner(weight.cast(DType::F32));
    let weights = numbers([9, 17], 3).detach();
    let gradient = |weight: Tensor<2>| {
        let y = linear(x.clone(), weight, None);
        values(x.grad(&(y * weights.clone()).sum().backward()).unwrap())
    };
    assert_close("gradient", &gradient(frozen), &gradient(wide));
}

#[test]
fn linear_layer() {
    let (x, weight, bias) = (numbers([130, 24], 12), numbers([17, 24], 13), numbers([17], 14));
    let composed = || x.clone().matmul(weight.clone().transpose());
    let pair = [&x, &weight];
    compare(&pair, linear(x.clone(), weight.clone(), None), composed());
    let with_bias = |bias: &Tensor<1>| linear(x.clone(), weight.clone(), Some(bias.clone()));
    compare(&pair, with_bias(&bias), composed() + bias.clone().unsqueeze());
    compare(&[&bias], with_bias(&bias), composed() + bias.clone().unsqueeze());
}

#[test]
fn norm() {
    let x = numbers([3, 50, 20], 1);
    let weight = numbers([20], 2);
    let composed = |weight: Tensor<1>| {
        let mean = x.clone().square().mean_dim(2);
        x.clone() * (mean + 1e-3).sqrt().recip() * weight.unsqueeze()
    };
    compare(&[&x], rms_norm(x.clone(), weight.clone(), 1e-3), composed(weight.clone()));
    compare(&[&weight], rms_norm(x.clone(), weight.clone(), 1e-3), composed(weight.clone()));
}

#[test]
fn gated() {
    let (a, b) = (numbers([70, 33], 3), numbers([70, 33], 4));
    // Each way from leaves of its own: a backward pass consumes what it went through.
    let wide = || a.clone() * 6.0;
    compare(&[&a, &b], gate(wide(), b.clone()), silu(wide()) * b.clone());
}

#[test]
fn rotated() {
    for batch in [1, 2] {
        let x = numbers([2, 9, 3, 8], 5);
        let angles = numbers([batch, 9, 1, 4], 6).detach() * 3.0;
        let angles = Tensor::cat(vec![angles.clone(), angles], 3);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let (first, second) = (x.clone().slice_dim(3, 0..4), x.clone().slice_dim(3, 4..8));
        let turned = Tensor::cat(vec![second.neg(), first], 3);
        let composed = x.clone() * cos.clone() + turned * sin.clone();
        compare(&[&x], rotate(x.clone(), cos, sin), composed);
    }
}

/// Heads expanded, an explicit mask added.
fn composed_attention(query: Tensor<4>, key: Tensor<4>, value: Tensor<4>, mask: Vec<f32>) -> Tensor<4> {
    let [batch, tokens, heads, _] = query.dims();
    let [_, columns, shared, width] = key.dims();
    let expand = |x: Tensor<4>| {
        let x = x.swap_dims(1, 2).reshape([batch, shared, 1, columns * width]);
        x.repeat_dim(2, heads / shared).reshape([batch, heads, columns, width])
    };
    let rows = mask.len() / (tokens * columns);
    let mask = Tensor::from_data(TensorData::new(mask, [rows, 1, tokens, columns]), &device());
    attend(query.swap_dims(1, 2), expand(key), expand(value), Some(mask)).swap_dims(1, 2)
}

#[test]
fn causal_attention_with_shared_heads_and_a_past() {
    check_causal_attention(70, 75, 8);
}

#[test]
fn causal_attention_of_one_token() {
    for width in [3, 8, 20] {
        check_causal_attention(1, 37, width);
    }
}

fn check_causal_attention(tokens: usize, columns: usize, width: usize) {
    let query = numbers([2, tokens, 4, width], 7);
    let (key, value) = (numbers([2, columns, 2, width], 8), numbers([2, columns, 2, width], 9));
    let seen = |row: usize, column: usize| column <= row + columns - tokens;
    for gaps in [vec![], vec![vec![1..3], vec![0..1, 4..5]]] {
        let mut mask = Vec::new();
        for batch in 0..2 {
            for row in 0..tokens {
                mask.extend((0..columns).map(|column| {
                    let hidden = gaps.get(batch).is_some_and(|gaps: &Vec<_>| {
                        gaps.iter().any(|gap: &std::ops::Range<usize>| gap.contains(&column))
                    });
                    if seen(row, column) && !hidden { 0.0 } else { -1e9 }
                }));
            }
        }
        let fused = attention(query.clone() * 3.0, key.clone(), value.clone(), Pattern::Causal(gaps.into()));
        let composed = composed_attention(query.clone() * 3.0, key.clone(), value.clone(), mask);
        compare(&[&query, &key, &value], fused, composed);
    }
}

#[test]
fn attention_in_segments_reads_strided_heads() {
    let segments = [0..66, 66..70, 70..100];
    let all = numbers([2, 100, 6, 8], 10);
    let part = |index: usize| all.clone().slice_dim(2, 2 * index..2 * index + 2);
    let mut mask = Vec::new();
    for row in 0..100 {
        let own = segments.iter().find(|segment| segment.contains(&row)).unwrap();
        mask.extend((0..100).map(|column| if own.contains(&column) { 0.0 } else { -1e9 }));
    }
    let fused = attention(part(0), part(1), part(2), Pattern::Segments(segments.clone().into()));
    let composed = composed_attention(part(0), part(1), part(2), mask);
    compare(&[&all], fused, composed);
}

#[test]
fn loss() {
    let logits = numbers([40, 90], 11);
    let targets: Vec<i64> = (0..40).map(|row| row * 17 % 90).collect();
    let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [40]), &device());
    let wide = || logits.clone() * 10.0;
    let likelihoods = burn::tensor::activation::log_softmax(wide(), 1);
    let composed = likelihoods.gather(1, targets.clone().unsqueeze_dim(1)).reshape([40]).neg();
    compare(&[&logits], cross_entropy(wide(), targets), composed);
}
