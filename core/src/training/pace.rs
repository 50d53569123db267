//! How fast a run goes and how long it will take.

use std::time::{Duration, Instant};

/// How fast it goes and how long it will take. Only this process's own steps count, so that a resumed
/// run does not promise the pace of the time it stood still.
pub struct Pace {
    total: u64,
    /// Exponential mean of a step's seconds, evaluations apart.
    step_s: Option<f64>,
    /// The same of its samples and tokens.
    samples: Option<f64>,
    tokens: Option<f64>,
    evaluate_every: u64,
    evaluation_s: Option<f64>,
    last: Instant,
}

impl Pace {
    pub fn new(total: u64, evaluate_every: u64, evaluates: bool) -> Self {
        Self {
            total,
            step_s: None,
            samples: None,
            tokens: None,
            evaluate_every: if evaluates { evaluate_every } else { 0 },
            evaluation_s: None,
            last: Instant::now(),
        }
    }

    pub fn step_done(&mut self, samples: usize, tokens: usize) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let mix = |old: Option<f64>, new: f64| old.map_or(new, |old| 0.95 * old + 0.05 * new);
        self.step_s = Some(mix(self.step_s, seconds));
        self.samples = Some(mix(self.samples, samples as f64));
        self.tokens = Some(mix(self.tokens, tokens as f64));
    }

    pub fn evaluation_took(&mut self, duration: Duration) {
        self.evaluation_s = Some(duration.as_secs_f64());
        self.last = Instant::now();
    }

    pub fn samples_per_s(&self) -> f64 {
        self.rate(self.samples)
    }

    pub fn tokens_per_s(&self) -> f64 {
        self.rate(self.tokens)
    }

    fn rate(&self, of_a_step: Option<f64>) -> f64 {
        of_a_step.zip(self.step_s).map_or(0.0, |(count, seconds)| count / seconds.max(1e-9))
    }

    /// After a step, and before the evaluation that may follow it.
    pub fn seconds_left(&self, step: u64) -> f64 {
        let steps = (self.total - step) as f64 * self.step_s.unwrap_or(0.0);
        let evaluations = if self.evaluate_every == 0 {
            0
        } else {
            self.total.div_ceil(self.evaluate_every) - step.saturating_sub(1) / self.evaluate_every
        };
        steps + evaluations as f64 * self.evaluation_s.unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_part_of_the_time_left() {
        let mut pace = Pace::new(600, 200, true);
        pace.evaluation_took(Duration::from_secs(60));
        assert_eq!(
            [0, 1, 200, 201, 600].map(|step| pace.seconds_left(step)),
            [180.0, 180.0, 180.0, 120.0, 60.0]
        );
        assert_eq!(Pace::new(600, 200, false).seconds_left(1), 0.0);
    }
}
