//! Rotary positions: in two dimensions for patches, in three (time, height, width) for tokens.

use super::config::{TextConfig, VisionConfig};
use crate::model::fused;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// Cosines and sines, shaped to broadcast over `[batch, tokens, heads, head_dim]`.
#[derive(Debug, Clone)]
pub struct Rotary {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotary {
    /// M-RoPE: each frequency turns with one of the three positions, by `mrope_section`.
    /// `positions` is `[3, batch, tokens]`.
    pub fn text(config: &TextConfig, positions: Tensor<3, Int>) -> Self {
        let half = config.head_dim() / 2;
        let mut axes = vec![0.0f32; 3 * half];
        let mut frequency = 0;
        for (axis, count) in config.mrope_section.iter().enumerate() {
            for _ in 0..*count {
                axes[axis * half + frequency] = inverse_frequency(config.rope_theta, frequency, half);
                frequency += 1;
            }
        }
        let device = positions.device();
        let axes = Tensor::<4>::from_data(TensorData::new(axes, [3, 1, 1, half]), &device);
        // Two of the three products are zero, so the sum is exact.
        let angles: Tensor<4> = (positions.float().unsqueeze_dim::<4>(3) * axes).sum_dim(0);
        let [_, batch, tokens, _] = angles.dims();
        Self::from_angles(angles.reshape([batch, tokens, 1, half]))
    }

    /// The vision tower's tables for patches at these `(row, column)` places: `[1, patches, 1, head_dim]`.
    pub fn vision(config: &VisionConfig, places: &[(usize, usize)], device: &Device) -> Self {
        let quarter = config.head_dim() / 4;
        let mut angles = Vec::with_capacity(places.len() * 2 * quarter);
        for (row, column) in places {
            for place in [row, column] {
                angles.extend((0..quarter).map(|i| *place as f32 * inverse_frequency(10_000.0, i, quarter)));
            }
        }
        let data = TensorData::new(angles, [1, places.len(), 1, 2 * quarter]);
        Self::from_angles(Tensor::from_data(data, device))
    }

    /// The same angle turns both halves of a head.
    fn from_angles(angles: Tensor<4>) -> Self {
        let angles = Tensor::cat(vec![angles.clone(), angles], 3);
        Self { cos: angles.clone().cos(), sin: angles.sin() }
    }

    /// Turns `[batch, tokens, heads, head_dim]`.
    pub fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        if fused::applies(&x) {
            return fused::rotate(x, self.cos.clone(), self.sin.clone());
        }
        let half = x.dims()[3] / 2;
        let first = x.clone().slice_dim(3, 0..half);
        let second = x.clone().slice_dim(3, half..2 * half);
        let turned = Tensor::cat(vec![second.neg(), first], 3);
        x * self.cos.clone() + turned * self.sin.clone()
    }
}

/// `theta^(-i / count)` for the `i`-th of `count` frequencies, in f32 as in the reference.
fn inverse_frequency(theta: f64, index: usize, count: usize) -> f32 {
    1.0 / libm::powf(theta as f32, index as f32 / count as f32)
}
