//! The answers to one prompt, compared with each other.

use super::super::config::{LossNormalization, ReinforcementConfig};
use super::super::rewards::Rewards;
use crate::answering::{Ending, Generation};
use crate::processor::Encoded;

/// A completion with what it earned.
pub struct Rollout {
    /// Prompt and completion; the span is the completion's, up to and including the token that ended it.
    pub encoded: Encoded,
    /// Log-probability of each token of the completion when it was sampled.
    pub sampled: Vec<f32>,
    pub rewards: Rewards,
    /// The weighted sum of the rewards.
    pub reward: f64,
    pub advantage: f64,
    pub truncated: bool,
    /// Whether it teaches anything.
    pub counts: bool,
}

impl Rollout {
    /// A completion behind its prompt.
    pub fn new(prompt: &Encoded, completion: &Generation, rewards: Rewards) -> Self {
        let start = prompt.token_ids.len();
        let mut token_ids = prompt.token_ids.clone();
        token_ids.extend(&completion.token_ids);
        token_ids.extend(completion.ended_by);
        let encoded = Encoded {
            answer_spans: std::iter::once(start..token_ids.len()).collect(),
            token_ids,
            images: prompt.images.clone(),
        };
        Self {
            encoded,
            sampled: completion.logprobs.clone(),
            rewards,
            reward: 0.0,
            advantage: 0.0,
            truncated: completion.ending != Ending::Complete,
            counts: true,
        }
    }
}

/// Gives the answers of one group their advantages, and says which of them count.
pub fn compare(group: &mut [Rollout], config: &ReinforcementConfig) {
    for rollout in &mut *group {
        let Rewards { accuracy, format } = rollout.rewards;
        rollout.reward = config.accuracy_weight * accuracy + config.format_weight * format;
    }
    // What is left out is no measure for the others either.
    let (left_out, counted): (Vec<_>, Vec<_>) =
        group.iter().partition(|rollout| rollout.truncated && config.mask_truncated);
    let Spread { mean, deviation, level } = Spread::of(if counted.is_empty() { &left_out } else { &counted });
    for rollout in group {
        let reward = rollout.reward;
        let above = if level { 0.0 } else { reward - mean };
        rollout.advantage = match config.normalization {
            LossNormalization::DrGrpo => above,
            LossNormalization::Grpo | LossNormalization::Dapo => {
                above / (deviation + config.advantage_epsilon)
            }
        };
        let left_out = level && config.drop_zero_spread || rollout.truncated && config.mask_truncated;
        rollout.counts = !left_out && !rollout.sampled.is_empty();
    }
}

/// Of the rewards of a group.
pub struct Spread {
    pub mean: f64,
    /// Of the population that they are drawn from: divided by one less than their number.
    pub deviation: f64,
    /// Whether all are alike: equal ones differ by nothing, however their sums were rounded.
    pub level: bool,
}

impl Spread {
    pub fn of(group: &[&Rollout]) -> Self {
        let rewards = || group.iter().map(|rollout| rollout.reward);
        let count = group.len().max(1) as f64;
        let mean = rewards().sum::<f64>() / count;
        let squares: f64 = rewards().map(|reward| (reward - mean).powi(2)).sum();
        let level = rewards().all(|reward| (reward - group[0].reward).abs() < 1e-9);
        Self { mean, deviation: (squares / (count - 1.0).max(1.0)).sqrt(), level }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    fn graded(rewards: [f64; 4]) -> Vec<Rollout> {
        let one = |accuracy| Rollout {
            encoded: Encoded { token_ids: vec![10, 20, 21], images: Vec::new(), answer_spans: Vec::new() },
            sampled: vec![-1.0],
            rewards: Rewards { accuracy, format: 1.0 },
            reward: 0.0,
            advantage: 0.0,
            truncated: false,
            counts: true,
        };
        rewards.map(one).into()
    }

    #[test]
    fn advantages_compare_a_group() {
        let mut group = graded([1.0, 0.0, 0.0, 1.0]);
        compare(&mut group, &config(LossNormalization::Grpo));
        // Mean 1.5; the unbiased deviation of two halves above and two below is 1 / √3.
        let expected = 0.5 / (1.0 / 3f64.sqrt() + 1e-4);
        assert!(
            (group[0].advantage - expected).abs() < 1e-12 && (group[1].advantage + expected).abs() < 1e-12
        );
        compare(&mut group, &config(LossNormalization::DrGrpo));
        assert_eq!(group[3].advantage, 0.5);

        group[1].truncated = true;
        compare(&mut group, &config(LossNormalization::Dapo));
        assert_eq!(group.iter().map(|rollout| rollout.counts).collect::<Vec<_>>(), [true, false, true, true]);
        // Beside the one that was cut off the others are compared among themselves: mean 4 / 3, not 5 / 4.
        let mut cut_off = graded([1.0, 0.0, 0.0, 0.0]);
        cut_off[1].truncated = true;
        compare(&mut cut_off, &config(LossNormalization::DrGrpo));
        assert!((cut_off[0].advantage - 2.0 / 3.0).abs() < 1e-12, "{}", cut_off[0].advantage);
        let mut level = graded([0.3; 4]);
        compare(&mut level, &config(LossNormalization::Dapo));
        assert!(level.iter().all(|rollout| rollout.advantage == 0.0 && !rollout.counts));
        let keeps = ReinforcementConfig { drop_zero_spread: false, ..config(LossNormalization::Dapo) };
        compare(&mut level, &keeps);
        assert!(level.iter().all(|rollout| rollout.advantage == 0.0 && rollout.counts));
    }
}
