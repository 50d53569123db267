//! Mean relative accuracy: how numeric answers are scored.

/// How many thresholds there are: 0.50, 0.55, …, 0.95.
const THRESHOLDS: usize = 10;

/// The share of the thresholds θ = 0.50, 0.55, …, 0.95 at which `|prediction − truth| / truth ≤ 1 − θ`. In f64, with
/// the rounding of the official scorer's `numpy.linspace(0.5, 0.95, 10)`, which decides where an error lies right on
/// a threshold.
///
/// `None` where the truth is zero or not finite: the error is relative to it. A prediction that is not finite is
/// wrong.
///
/// Source: "Thinking in Space" (VSI-Bench), section 3.3.
pub fn mean_relative_accuracy(prediction: f64, truth: f64) -> Option<f64> {
    if truth == 0.0 || !truth.is_finite() {
        return None;
    }
    let error = (prediction - truth).abs() / truth;
    let met = (0..THRESHOLDS).filter(|&index| error <= 1.0 - threshold(index)).count();
    Some(met as f64 / THRESHOLDS as f64)
}

/// As `numpy.linspace` computes it: the steps from the start, and the end itself for the last.
fn threshold(index: usize) -> f64 {
    const START: f64 = 0.5;
    const END: f64 = 0.95;
    const STEP: f64 = (END - START) / (THRESHOLDS - 1) as f64;
    if index + 1 == THRESHOLDS { END } else { index as f64 * STEP + START }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thresholds_are_those_of_numpy_to_the_last_bit() {
        // numpy: [float(1 - x) for x in numpy.linspace(.5, .95, 10)]
        let numpy = [
            0.5,
            0.44999999999999996,
            0.4,
            0.35,
            0.30000000000000004,
            0.25,
            0.19999999999999996,
            0.15000000000000002,
            0.10000000000000009,
            0.050000000000000044,
        ];
        assert_eq!(std::array::from_fn(|index| 1.0 - threshold(index)), numpy);
    }

    #[test]
    fn accuracy_falls_by_a_tenth_with_each_threshold_missed() {
        for (prediction, accuracy) in
            [(2.0, 1.0), (2.1, 1.0), (2.11, 0.9), (1.5, 0.6), (1.0, 0.1), (0.9, 0.0)]
        {
            assert_eq!(mean_relative_accuracy(prediction, 2.0), Some(accuracy), "{prediction}");
        }
        assert_eq!(mean_relative_accuracy(f64::NAN, 2.0), Some(0.0));
        assert_eq!(mean_relative_accuracy(1.0, 0.0), None);
    }
}
