//! Weights in eight or four bits: groups of 32 neighbours of a row share one scale, nothing else is kept.
//!
//! A group of eight bits is 32 signed bytes. A group of four bits is 16 bytes: byte `i` holds weight `i` in its low half
//! and weight `16 + i` in its high half, each as the number plus eight. Scales are f16. In a safetensors file the numbers
//! stand under the weight's own name (`I8` `[out, in]`, or `U8` `[out, in / 2]`), the scales under that name with
//! `_scale` behind it (`F16` `[out, in / 32]`); `quantization_config` in `config.json` says how many bits.

use half::f16;
use serde::{Deserialize, Serialize};

/// Weights that share a scale.
pub const GROUP: usize = 32;

/// How many bits a weight takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Bits {
    Four,
    Eight,
}

impl Bits {
    pub fn from_number(bits: u64) -> Option<Self> {
        match bits {
            4 => Some(Self::Four),
            8 => Some(Self::Eight),
            _ => None,
        }
    }

    pub fn number(self) -> u64 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// Bytes of a group without its scale.
    pub const fn group_bytes(self) -> usize {
        match self {
            Self::Four => GROUP / 2,
            Self::Eight => GROUP,
        }
    }

    /// As safetensors names the type of the numbers.
    pub fn stored_type(self) -> &'static str {
        match self {
            Self::Four => "U8",
            Self::Eight => "I8",
        }
    }

    /// Bytes that a row of so many weights takes, scales left out.
    pub fn row_bytes(self, inputs: usize) -> usize {
        inputs / GROUP * self.group_bytes()
    }
}

/// Rounds weights, whole groups of them, to the nearest that can be written. Each scale is the one of several around the
/// largest weight that leaves the smallest squared error.
pub fn quantize(weights: &[f32], bits: Bits) -> (Vec<u8>, Vec<f16>) {
    let groups = weights.len() / GROUP;
    let mut values = Vec::with_capacity(groups * bits.group_bytes());
    let mut scales = Vec::with_capacity(groups);
    for group in weights.chunks_exact(GROUP) {
        let (scale, numbers) = best_scale(group, bits);
        scales.push(scale);
        match bits {
            Bits::Eight => values.extend(numbers.map(|number| number as i8 as u8)),
            Bits::Four => {
                let nibble = |number: f32| (number as i32 + 8) as u8;
                values
                    .extend((0..GROUP / 2).map(|i| nibble(numbers[i]) | nibble(numbers[i + GROUP / 2]) << 4));
            }
        }
    }
    (values, scales)
}

fn best_scale(group: &[f32], bits: Bits) -> (f16, [f32; GROUP]) {
    let largest = group.iter().copied().fold(0.0_f32, |a, b| if b.abs() > a.abs() { b } else { a });
    // Four bits reach one further below zero than above: the largest weight goes there, by the sign of the scale.
    let (whole, [low, high]) = match bits {
        Bits::Eight => (largest.abs() / 127.0, [-127.0, 127.0]),
        Bits::Four => (largest / -8.0, [-8.0, 7.0]),
    };
    let tries: &[f32] = match bits {
        Bits::Eight => &[1.0],
        Bits::Four => &[1.0, 0.8, 0.85, 0.9, 0.94, 0.97, 1.03, 1.07, 1.14],
    };
    let mut best = (f32::INFINITY, f16::ZERO, [0.0; GROUP]);
    for factor in tries {
        let scale = f16::from_f32(whole * factor);
        let step = scale.to_f32();
        // All zero, or too small for the scale: every number is zero.
        let inverse = if step == 0.0 { 0.0 } else { 1.0 / step };
        let numbers: [f32; GROUP] = std::array::from_fn(|i| libm::rintf(group[i] * inverse).clamp(low, high));
        let error: f32 = numbers.iter().zip(group).map(|(n, w)| (n * step - w) * (n * step - w)).sum();
        if error < best.0 {
            best = (error, scale, numbers);
        }
    }
    (best.1, best.2)
}

/// The weights of these groups.
pub fn dequantize(values: &[u8], scales: &[f16], bits: Bits) -> Vec<f32> {
    let mut weights = vec![0.0; scales.len() * GROUP];
    for ((group, scale), out) in
        values.chunks_exact(bits.group_bytes()).zip(scales).zip(weights.chunks_exact_mut(GROUP))
    {
        dequantize_group(group, scale.to_f32(), bits, out);
    }
    weights
}

#[inline(always)]
pub(super) fn dequantize_group(group: &[u8], scale: f32, bits: Bits, out: &mut [f32]) {
    match bits {
        Bits::Eight => {
            for (out, value) in out.iter_mut().zip(group) {
                *out = scale * f32::from(*value as i8);
            }
        }
        Bits::Four => {
            let (low, high) = out.split_at_mut(GROUP / 2);
            for ((low, high), value) in low.iter_mut().zip(high).zip(group) {
                *low = scale * (f32::from(value & 15) - 8.0);
                *high = scale * (f32::from(value >> 4) - 8.0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Vec<f32> {
        let value = |i: usize| ((i * 7919 + 13) % 2001) as f32 / 1000.0 - 1.0;
        // Groups of different size, one of them all zero.
        (0..6 * GROUP).map(|i| value(i) * [1.0, 0.02, 0.0, 300.0, 1e-3, 0.5][i / GROUP]).collect()
    }

    #[test]
    fn rounding_errs_by_less_than_a_step() {
        let weights = weights();
        for (bits, most) in [(Bits::Eight, 0.5), (Bits::Four, 1.2)] {
            let (values, scales) = quantize(&weights, bits);
            assert_eq!((values.len(), scales.len()), (6 * bits.group_bytes(), 6));
            let found = dequantize(&values, &scales, bits);
            for (group, (found, weights)) in found.chunks(GROUP).zip(weights.chunks(GROUP)).enumerate() {
                let step = scales[group].to_f32().abs();
                for (found, weight) in found.iter().zip(weights) {
                    // Half a step, and what the scale itself was rounded by.
                    let allowed = most * step + 1e-3 * weight.abs();
                    assert!((found - weight).abs() <= allowed, "{bits:?}: {found} for {weight}, step {step}");
                }
            }
        }
    }

    #[test]
    fn what_can_be_written_stays_as_it_is() {
        for bits in [Bits::Eight, Bits::Four] {
            let reach = if bits == Bits::Eight { 127 } else { 7 };
            // −8 as well, so that four bits use all their numbers.
            let exact: Vec<f32> = (0..GROUP as i32)
                .map(|i| if i == 5 && bits == Bits::Four { -8 } else { i * 11 % (2 * reach + 1) - reach })
                .map(|number| number as f32 * 0.25)
                .collect();
            let (values, scales) = quantize(&exact, bits);
            assert_eq!(scales[0].to_f32(), 0.25);
            assert_eq!(dequantize(&values, &scales, bits), exact);
        }
    }
}
