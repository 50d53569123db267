//! Which samples a step takes: a function of (seed, step) alone, so that resuming needs no state.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Walks through all samples in a new random order each epoch.
#[derive(Debug)]
pub struct Sampler {
    seed: u64,
    samples: usize,
    /// The order of one epoch, kept because consecutive steps ask for the same one.
    order: (u64, Vec<u32>),
}

impl Sampler {
    /// `samples` must not be 0.
    pub fn new(seed: u64, samples: usize) -> Self {
        let mut sampler = Self { seed, samples: samples.max(1), order: (0, Vec::new()) };
        sampler.order = (0, sampler.shuffled(0));
        sampler
    }

    fn shuffled(&self, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.samples as u32).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch);
        order.shuffle(&mut rng);
        order
    }

    /// Indices of the samples numbered `first .. first + count` in the endless sequence of epochs.
    pub fn take(&mut self, first: u64, count: usize) -> Vec<usize> {
        (first..first + count as u64)
            .map(|at| {
                let epoch = at / self.samples as u64;
                if epoch != self.order.0 {
                    self.order = (epoch, self.shuffled(epoch));
                }
                self.order.1[(at % self.samples as u64) as usize] as usize
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Sampler;

    #[test]
    fn every_epoch_is_a_permutation_and_any_position_can_be_asked_for() {
        let mut sampler = Sampler::new(7, 10);
        let all = sampler.take(0, 30);
        for epoch in all.chunks(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(all[..10], all[10..20]);
        assert_eq!(Sampler::new(7, 10).take(13, 9), all[13..22]);
        assert_ne!(Sampler::new(8, 10).take(0, 10), all[..10]);
    }
}
