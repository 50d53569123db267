//! Which samples a step takes: a function of (seed, step) alone, so that resuming needs no state.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Batches that are drawn together and then sorted by length.
const BATCHES_TOGETHER: usize = 16;

/// Walks through all samples in a new random order each epoch.
#[derive(Debug)]
pub struct Sampler {
    seed: u64,
    samples: usize,
    /// The order of one epoch, kept because consecutive steps ask for the same one.
    order: (u64, Vec<u32>),
    /// Where batches are of about the same length: the length of each sample, and samples a batch.
    grouping: Option<(Vec<u32>, usize)>,
}

impl Sampler {
    /// `samples` must not be 0.
    pub fn new(seed: u64, samples: usize) -> Self {
        Self::with_grouping(seed, samples.max(1), None)
    }

    /// Batches of `batch` samples of about the same length. The few samples that fill no batch are others each epoch.
    pub fn by_length(seed: u64, lengths: Vec<u32>, batch: usize) -> Self {
        // Fewer samples than a batch are not sorted.
        if lengths.len() < batch.max(1) {
            return Self::new(seed, lengths.len());
        }
        Self::with_grouping(seed, lengths.len(), Some((lengths, batch.max(1))))
    }

    fn with_grouping(seed: u64, samples: usize, grouping: Option<(Vec<u32>, usize)>) -> Self {
        let mut sampler = Self { seed, samples, order: (0, Vec::new()), grouping };
        sampler.order = (0, sampler.shuffled(0));
        sampler
    }

    fn shuffled(&self, epoch: u64) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.samples as u32).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(epoch);
        order.shuffle(&mut rng);
        let Some((lengths, batch)) = &self.grouping else {
            return order;
        };
        order.truncate(self.samples / batch * batch);
        let mut grouped = Vec::with_capacity(order.len());
        for together in order.chunks_mut(batch * BATCHES_TOGETHER) {
            together.sort_by_key(|sample| lengths[*sample as usize]);
            let mut batches: Vec<&[u32]> = together.chunks(*batch).collect();
            batches.shuffle(&mut rng);
            grouped.extend(batches.concat());
        }
        grouped
    }

    /// Indices of the samples numbered `first .. first + count` in the endless sequence of epochs.
    pub fn take(&mut self, first: u64, count: usize) -> Vec<usize> {
        let length = self.order.1.len() as u64;
        (first..first + count as u64)
            .map(|at| {
                let epoch = at / length;
                if epoch != self.order.0 {
                    self.order = (epoch, self.shuffled(epoch));
                }
                self.order.1[(at % length) as usize] as usize
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

    #[test]
    fn batches_are_of_like_length_and_their_order_is_drawn() {
        let lengths: Vec<u32> = (0..131).map(|i| i * 37 % 131).collect();
        let mut sampler = Sampler::by_length(3, lengths.clone(), 4);
        let epoch = sampler.take(0, 128);
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 128);
        let spread = |batch: &[usize]| {
            let of = || batch.iter().map(|i| lengths[*i]);
            of().max().unwrap() - of().min().unwrap()
        };
        let total: u32 = epoch.chunks(4).map(spread).sum();
        // Drawn without regard to length, four of 131 lie some eighty apart.
        assert!(total < 32 * 20, "{total}");
        let starts: Vec<u32> = epoch.chunks(4).map(|batch| lengths[batch[0]]).collect();
        assert!(!starts.is_sorted());
        assert_eq!(Sampler::by_length(3, lengths, 4).take(256, 4), sampler.take(256, 4));
        assert_eq!(Sampler::by_length(3, vec![1, 2], 4).take(0, 4).len(), 4);
    }
}
