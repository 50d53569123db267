//! Mean relative accuracy, the score of numeric answers in VSI-Bench.

/// Share of the ten thresholds θ = .50, .55 … .95 for which `|predicted − truth| / truth ≤ 1 − θ`, 0 to 1. A truth
/// of 0 cannot be approached relatively: only an exact answer counts.
pub fn mean_relative_accuracy(predicted: f64, truth: f64) -> f64 {
    if truth == 0.0 {
        return if predicted == 0.0 { 1.0 } else { 0.0 };
    }
    let error = (predicted - truth).abs() / truth;
    let met = THRESHOLDS.iter().filter(|&&threshold| error <= 1.0 - threshold).count();
    met as f64 / THRESHOLDS.len() as f64
}

/// `numpy.linspace(.5, .95, 10)`, with its roundings.
const THRESHOLDS: [f64; 10] = [
    0.5,
    0.5 + 0.05,
    0.5 + 2.0 * 0.05,
    0.5 + 3.0 * 0.05,
    0.5 + 4.0 * 0.05,
    0.5 + 5.0 * 0.05,
    0.5 + 6.0 * 0.05,
    0.5 + 7.0 * 0.05,
    0.5 + 8.0 * 0.05,
    0.95,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_scores() {
        assert_eq!(mean_relative_accuracy(2.0, 2.0), 1.0);
        assert_eq!(mean_relative_accuracy(3.0, 2.0), 0.1);
        assert_eq!(mean_relative_accuracy(3.01, 2.0), 0.0);
        assert_eq!(mean_relative_accuracy(2.44, 2.0), 0.6);
        assert_eq!((mean_relative_accuracy(0.0, 0.0), mean_relative_accuracy(1.0, 0.0)), (1.0, 0.0));
    }
}
