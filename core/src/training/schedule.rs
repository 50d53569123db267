//! Learning rate over a run.

use super::config::Decay;

/// Linear warm-up from zero, then down to zero. `step` counts from 0 to `total - 1`.
pub fn learning_rate(peak: f64, warmup: f64, decay: Decay, step: u64, total: u64) -> f64 {
    let warmup_steps = (warmup * total as f64).ceil();
    let at = step as f64;
    if at < warmup_steps {
        return peak * (at + 1.0) / warmup_steps;
    }
    let progress = (at - warmup_steps) / (total as f64 - warmup_steps).max(1.0);
    let left = match decay {
        Decay::Cosine => 0.5 * (1.0 + libm::cos(std::f64::consts::PI * progress.min(1.0))),
        Decay::Linear => 1.0 - progress.min(1.0),
    };
    peak * left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_to_the_peak_and_falls_to_almost_zero() {
        let rates: Vec<f64> =
            (0..100).map(|step| learning_rate(1.0, 0.1, Decay::Cosine, step, 100)).collect();
        assert!((rates[0] - 0.1).abs() < 1e-12);
        assert!((rates[9] - 1.0).abs() < 1e-12 && (rates[10] - 1.0).abs() < 1e-12);
        assert!(rates[10..].windows(2).all(|pair| pair[1] <= pair[0]));
        assert!(rates[99] < 1e-3 && rates[99] > 0.0);
        assert!((rates[55] - 0.5).abs() < 1e-12);
        assert!((learning_rate(2.0, 0.0, Decay::Linear, 25, 100) - 1.5).abs() < 1e-12);
        assert!((learning_rate(2.0, 0.0, Decay::Linear, 0, 100) - 2.0).abs() < 1e-12);
    }
}
