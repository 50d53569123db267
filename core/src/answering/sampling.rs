//! From logits to one token.

use super::GenerationOptions;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::HashSet;

/// Chooses the tokens of one answer. Its random numbers depend on the seed and on the answer's number in
/// the batch only.
pub struct Sampler {
    temperature: f32,
    top_k: usize,
    top_p: f32,
    repetition_penalty: f32,
    logprobs: bool,
    /// Tokens that stand for images: whoever reads on would look for an image that is not there.
    never: [u32; 2],
    /// Tokens of prompt and answer, where these are penalized.
    seen: HashSet<u32>,
    #[cfg(not(target_arch = "wasm32"))]
    guide: Option<super::constraint::Guide>,
    rng: ChaCha8Rng,
}

impl Sampler {
    pub fn new(options: &GenerationOptions, stream: u64, prompt: &[u32], never: [u32; 2]) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(stream);
        let penalizes = options.repetition_penalty != 1.0;
        Self {
            temperature: options.temperature,
            top_k: options.top_k,
            top_p: options.top_p,
            repetition_penalty: options.repetition_penalty,
            logprobs: options.logprobs,
            never,
            #[cfg(not(target_arch = "wasm32"))]
            guide: options.constraint.as_ref().map(super::Constraint::follow),
            seen: if penalizes { prompt.iter().copied().collect() } else { HashSet::new() },
            rng,
        }
    }

    /// Whether the token is the one with the largest logit, and nothing more is asked for.
    pub fn takes_the_largest(&self) -> bool {
        self.is_greedy() && !self.logprobs && self.repetition_penalty == 1.0 && !self.is_guided()
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn is_guided(&self) -> bool {
        self.guide.is_some()
    }

    #[cfg(target_arch = "wasm32")]
    fn is_guided(&self) -> bool {
        false
    }

    fn is_greedy(&self) -> bool {
        self.temperature <= 0.0 || self.top_k == 1
    }

    /// What logits are multiplied by: that of the distribution that tokens are drawn from.
    fn scale(&self) -> f32 {
        if self.is_greedy() { 1.0 } else { 1.0 / self.temperature }
    }

    /// The next token, from one logit for each token of the vocabulary, and its log-probability where asked for.
    pub fn choose(&mut self, logits: &[f32]) -> (u32, Option<f32>) {
        let token = if self.repetition_penalty == 1.0 && !self.is_guided() {
            self.pick(logits)
        } else {
            let mut changed = logits.to_vec();
            for token in &self.seen {
                if let Some(logit) = changed.get_mut(*token as usize) {
                    let penalty = self.repetition_penalty;
                    *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
                }
            }
            #[cfg(not(target_arch = "wasm32"))]
            if let Some(guide) = &mut self.guide {
                guide.mask(&mut changed);
            }
            let token = self.pick(&changed);
            #[cfg(not(target_arch = "wasm32"))]
            if let Some(guide) = &mut self.guide {
                guide.push(token);
            }
            if self.repetition_penalty != 1.0 {
                self.seen.insert(token);
            }
            token
        };
        (token, self.logprobs.then(|| log_probability(logits, self.scale(), token)))
    }

    fn pick(&mut self, logits: &[f32]) -> u32 {
        let mut order: Vec<u32> = (0..logits.len() as u32).filter(|id| !self.never.contains(id)).collect();
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

/// `ln softmax(scale · logits)[token]`, added up in f64.
fn log_probability(logits: &[f32], scale: f32, token: u32) -> f32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |logit: f32| f64::from((logit - largest) * scale);
    let sum: f64 = logits.iter().map(|logit| libm::exp(above(*logit))).sum();
    logits.get(token as usize).map_or(f32::NAN, |logit| (above(*logit) - libm::log(sum)) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [0.0, 3.0, 1.0, 2.0, -1.0];

    fn counts(options: GenerationOptions) -> [usize; 5] {
        let mut sampler = Sampler::new(&options, 0, &[], [9; 2]);
        let mut counts = [0; 5];
        for _ in 0..4000 {
            counts[sampler.choose(&LOGITS).0 as usize] += 1;
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
    fn what_was_said_becomes_less_likely() {
        let options = GenerationOptions { repetition_penalty: 2.0, logprobs: true, ..Default::default() };
        // The prompt held token 1, the likeliest by itself.
        let mut sampler = Sampler::new(&options, 0, &[1], [9; 2]);
        let chosen: Vec<(u32, Option<f32>)> = (0..3).map(|_| sampler.choose(&LOGITS)).collect();
        // 3 / 2 < 2; then 3 / 2 > 2 / 2.
        assert_eq!(chosen.iter().map(|(token, _)| *token).collect::<Vec<_>>(), [3, 1, 1]);
        let total: f32 = LOGITS.iter().map(|x| x.exp()).sum();
        for (token, logprob) in chosen {
            let expected = LOGITS[token as usize] - total.ln();
            assert!((logprob.unwrap() - expected).abs() < 1e-5);
        }
    }

    #[test]
    fn tokens_of_images_are_never_said() {
        for temperature in [0.0, 1.0] {
            let options = GenerationOptions { temperature, logprobs: true, ..Default::default() };
            let mut sampler = Sampler::new(&options, 0, &[], [1, 3]);
            assert!((0..200).all(|_| ![1, 3].contains(&sampler.choose(&LOGITS).0)));
        }
    }

    #[test]
    fn a_seed_repeats_itself() {
        let options = GenerationOptions { temperature: 1.0, seed: 7, ..Default::default() };
        assert_eq!(counts(options.clone()), counts(options));
    }
}
