//! From logits to one token.

use super::GenerationOptions;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Chooses the tokens of one answer. Its random numbers depend on the seed and on the answer's number in
/// the batch only.
pub struct Sampler {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    rng: ChaCha8Rng,
}

impl Sampler {
    pub fn new(options: &GenerationOptions, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(stream);
        Self { temperature: options.temperature, top_k: options.top_k, top_p: options.top_p, rng }
    }

    pub fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.top_k == 1
    }

    /// The next token, from one logit for each token of the vocabulary.
    pub fn choose(&mut self, logits: &[f32]) -> u32 {
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let by_logit = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]);
        if self.is_greedy() {
            return order.into_iter().min_by(by_logit).unwrap_or(0);
        }
        if self.top_k > 0 && self.top_k < order.len() {
            order.select_nth_unstable_by(self.top_k - 1, by_logit);
            order.truncate(self.top_k);
        }
        order.sort_unstable_by(by_logit);
        let Some(best) = order.first().map(|id| logits[*id as usize]) else {
            return 0;
        };
        let weight = |id: &u32| libm::expf((logits[*id as usize] - best) / self.temperature);
        let weights: Vec<f32> = order.iter().map(weight).collect();
        let total: f32 = weights.iter().sum();
        let mut kept = 0;
        let mut mass = 0.0;
        while kept < weights.len() && (kept == 0 || mass < self.top_p * total) {
            mass += weights[kept];
            kept += 1;
        }
        let mut left = self.rng.random::<f32>() * mass;
        for (id, weight) in order[..kept].iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        // Rounding can leave a little; the last candidate takes it.
        order[kept - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 3.0, 1.0, 2.0, -1.0];

    fn counts(options: GenerationOptions) -> [usize; 5] {
        let mut sampler = Sampler::new(&options, 0);
        let mut counts = [0; 5];
        for _ in 0..4000 {
            counts[sampler.choose(&LOGITS) as usize] += 1;
        }
        counts
    }

    #[test]
    fn temperature_zero_takes_the_likeliest() {
        assert_eq!(counts(GenerationOptions::default()), [0, 4000, 0, 0, 0]);
    }

    #[test]
    fn samples_follow_the_distribution() {
        let counts = counts(GenerationOptions { temperature: 1.0, ..Default::default() });
        let total: f32 = LOGITS.iter().map(|x| x.exp()).sum();
        for (count, logit) in counts.iter().zip(LOGITS) {
            let expected = logit.exp() / total;
            assert!((*count as f32 / 4000.0 - expected).abs() < 0.03, "{counts:?}");
        }
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let two = counts(GenerationOptions { temperature: 1.0, top_k: 2, ..Default::default() });
        assert!(two[1] > two[3] && two[3] > 0 && two[0] + two[2] + two[4] == 0, "{two:?}");
        // The likeliest holds 64 %, the first two 88 %.
        let nucleus = counts(GenerationOptions { temperature: 1.0, top_p: 0.8, ..Default::default() });
        assert!(nucleus[3] > 0 && nucleus[0] + nucleus[2] + nucleus[4] == 0, "{nucleus:?}");
    }

    #[test]
    fn a_seed_repeats_itself() {
        let options = GenerationOptions { temperature: 1.0, seed: 7, ..Default::default() };
        assert_eq!(counts(options.clone()), counts(options));
    }
}
