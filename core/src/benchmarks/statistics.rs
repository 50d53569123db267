//! What of a difference is chance: the paired bootstrap.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// A mean and the range that holds 95 % of its bootstrap distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// Mean difference `a - b` with its interval, as [`bootstrap`]. All three slices have the same length.
pub fn paired_bootstrap(a: &[f64], b: &[f64], groups: &[String], seed: u64) -> Interval {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
    bootstrap(&differences, groups, seed)
}

/// Mean with its 95 % percentile interval over 2,000 resamplings of `groups`: questions about the same scene are not
/// independent, so whole scenes are drawn. `groups[i]` is the scene of question `i`; both slices have the same length, at
/// least 1.
pub fn bootstrap(values: &[f64], groups: &[String], seed: u64) -> Interval {
    const RESAMPLES: usize = 2_000;
    let mut scenes: std::collections::BTreeMap<&str, (f64, f64)> = Default::default();
    for (value, group) in values.iter().zip(groups) {
        let scene = scenes.entry(group).or_default();
        scene.0 += value;
        scene.1 += 1.0;
    }
    let scenes: Vec<(f64, f64)> = scenes.into_values().collect();
    let mean = |draws: &mut dyn Iterator<Item = (f64, f64)>| {
        let (sum, count) = draws.fold((0.0, 0.0), |total, scene| (total.0 + scene.0, total.1 + scene.1));
        if count > 0.0 { sum / count } else { 0.0 }
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| mean(&mut (0..scenes.len()).map(|_| scenes[rng.random_range(0..scenes.len())])))
        .collect();
    means.sort_by(f64::total_cmp);
    Interval {
        mean: mean(&mut scenes.iter().copied()),
        low: means[RESAMPLES * 25 / 1000],
        high: means[RESAMPLES * 975 / 1000 - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_real_difference_is_clear_of_zero_and_none_is_not() {
        let groups: Vec<String> = (0..400).map(|i| format!("room_{}", i / 4)).collect();
        let noise: Vec<f64> = (0..400).map(|i| f64::from(i * 7919 % 101) / 101.0).collect();
        let better: Vec<f64> =
            noise.iter().enumerate().map(|(i, v)| v + 0.1 + 0.01 * (i % 3) as f64).collect();
        let clear = paired_bootstrap(&better, &noise, &groups, 1);
        assert!(clear.low > 0.09 && clear.high < 0.13, "{clear:?}");
        let other: Vec<f64> = (0..400).map(|i| f64::from(i * 104_729 % 103) / 103.0).collect();
        let unclear = paired_bootstrap(&other, &noise, &groups, 1);
        assert!(unclear.low < unclear.mean && unclear.mean < unclear.high);
        assert!(unclear.low < 0.02 && unclear.high > -0.02, "{unclear:?}");
        assert_eq!(clear, paired_bootstrap(&better, &noise, &groups, 1), "seeded");
    }
}
