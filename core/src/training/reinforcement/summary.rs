//! The measures of a reinforced step.

use super::super::evaluation::kind;
use super::group::{Rollout, Spread};
use super::objective::Sums;
use crate::samples::SpatialSample;
use std::collections::BTreeMap;

/// What a step's completions were like.
#[derive(Default)]
pub struct Summary {
    completions: f64,
    groups: f64,
    accuracy: f64,
    /// Sum over groups of their best accuracy.
    best: f64,
    format: f64,
    reward: f64,
    /// Sum over groups of the deviation of their rewards.
    spread: f64,
    /// Groups that teach nothing: among what counts of them nothing is better than the rest.
    level: f64,
    tokens: f64,
    truncated: f64,
    /// Minus the mean log-probability of the tokens sampled: an estimate of the entropy.
    surprise: f64,
    kinds: BTreeMap<String, (f64, f64)>,
    /// Where there is a reference.
    divergence: Option<f64>,
    /// Largest difference between a token's log-probability when it was sampled and in the first update.
    gap: f64,
    pub clipped: f64,
}

impl Summary {
    pub fn add(&mut self, group: &[Rollout], question: &SpatialSample) {
        let Spread { mean, deviation, .. } = Spread::of(&group.iter().collect::<Vec<_>>());
        let teaches = group.iter().any(|rollout| rollout.counts && rollout.advantage != 0.0);
        self.groups += 1.0;
        self.spread += deviation;
        self.level += f64::from(u8::from(!teaches));
        self.completions += group.len() as f64;
        self.reward += mean * group.len() as f64;
        self.best += group.iter().map(|rollout| rollout.rewards.accuracy).fold(0.0, f64::max);
        let of_kind = self.kinds.entry(kind(question)).or_default();
        for rollout in group {
            self.accuracy += rollout.rewards.accuracy;
            self.format += rollout.rewards.format;
            self.tokens += rollout.sampled.len() as f64;
            self.truncated += f64::from(u8::from(rollout.truncated));
            self.surprise -= rollout.sampled.iter().map(|value| f64::from(*value)).sum::<f64>();
            of_kind.0 += rollout.rewards.accuracy;
            of_kind.1 += 1.0;
        }
    }

    pub fn first_update(&mut self, kept: &[Rollout], values: &[Vec<f32>], sums: &Sums, referred: bool) {
        self.divergence = referred.then(|| sums.divergence / sums.tokens.max(1.0));
        let pairs = kept.iter().zip(values).flat_map(|(rollout, values)| rollout.sampled.iter().zip(values));
        self.gap = pairs.map(|(sampled, value)| f64::from((sampled - value).abs())).fold(0.0, f64::max);
    }

    pub fn parts(&self) -> Vec<(String, f64)> {
        let all = self.completions.max(1.0);
        let mut parts: Vec<(String, f64)> = [
            ("reward", self.reward / all),
            ("reward_spread", self.spread / self.groups.max(1.0)),
            ("accuracy", self.accuracy / all),
            ("best_of_group", self.best / self.groups.max(1.0)),
            ("format", self.format / all),
            ("zero_spread_groups", self.level / self.groups.max(1.0)),
            ("truncated", self.truncated / all),
            ("length", self.tokens / all),
            ("entropy", self.surprise / self.tokens.max(1.0)),
            ("log_prob_gap", self.gap),
            ("clipped", self.clipped),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        parts.extend(self.divergence.map(|divergence| ("kl".to_owned(), divergence)));
        parts.extend(
            self.kinds.iter().map(|(kind, (sum, count))| (format!("accuracy/{kind}"), sum / count.max(1.0))),
        );
        parts
    }
}
