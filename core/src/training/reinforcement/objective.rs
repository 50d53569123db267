//! What reinforcement makes small: the clipped objective of GRPO over the tokens of the completions.

use super::super::config::ReinforcementConfig;
use burn::tensor::Tensor;

/// Sums over tokens.
#[derive(Default, Clone)]
pub struct Sums {
    pub tokens: f64,
    pub divergence: f64,
    pub clipped: f64,
}

impl Sums {
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        self.divergence += other.divergence;
        self.clipped += other.clipped;
    }
}

/// The clipped objective with the divergence from the reference: what is to be made small, and sums over the tokens.
/// All tensors hold one number a token.
pub fn policy_loss(
    policy: Tensor<1>,
    old: Tensor<1>,
    reference: Tensor<1>,
    advantages: Tensor<1>,
    weights: Tensor<1>,
    config: &ReinforcementConfig,
) -> (Tensor<1>, Sums) {
    let ratio = (policy.clone() - old).exp();
    let clipped = ratio.clone().clamp(1.0 - config.clip, 1.0 + config.clip);
    let objective = (ratio.clone() * advantages.clone()).min_pair(clipped.clone() * advantages.clone());
    // k3 of Schulman, "Approximating KL divergence": never negative, and unbiased.
    let apart = reference - policy;
    let divergence = apart.clone().exp() - apart - 1.0;
    let outside = (ratio - clipped).detach().abs().greater_elem(1e-6).float();
    let sum = |tensor: Tensor<1>| f64::from(tensor.detach().sum().into_scalar::<f32>());
    let sums =
        Sums { tokens: weights.dims()[0] as f64, divergence: sum(divergence.clone()), clipped: sum(outside) };
    let loss = ((divergence.mul_scalar(config.kl) - objective) * weights).sum();
    (loss, sums)
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;
    use crate::training::config::LossNormalization;
    use burn::tensor::Device;

    #[test]
    fn the_objective_is_clipped_and_held_near_the_reference() {
        let device = Device::flex().autodiff();
        let row = |values: [f32; 3]| Tensor::<1>::from_data(values, &device);
        let config = config(LossNormalization::Dapo);
        let policy = row([-1.0, -1.0, -1.0]).require_grad();
        // Ratios 1, 1.49 (clipped for a good token) and 0.67 (not clipped for a good token).
        let old = row([-1.0, -1.4, -0.6]);
        let reference = row([-1.0, -1.0, -0.5]);
        let (loss, sums) = policy_loss(policy.clone(), old, reference, row([2.0; 3]), row([1.0; 3]), &config);
        let k3 = 0.5f64.exp() - 0.5 - 1.0;
        let expected = config.kl * k3 - 2.0 * (1.0 + 1.2 + (-0.4f64).exp());
        assert!((f64::from(loss.clone().into_scalar::<f32>()) - expected).abs() < 1e-5);
        assert!((sums.divergence - k3).abs() < 1e-6 && sums.clipped == 2.0 && sums.tokens == 3.0);
        let gradients: Vec<f32> = policy.grad(&loss.backward()).unwrap().into_data().iter::<f32>().collect();
        let last = config.kl * (1.0 - 0.5f64.exp()) - 2.0 * (-0.4f64).exp();
        for (found, expected) in gradients.iter().zip([-2.0, 0.0, last]) {
            assert!((f64::from(*found) - expected).abs() < 1e-5, "{gradients:?}");
        }
    }
}
