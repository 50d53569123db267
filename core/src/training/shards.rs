//! A batch in parts that are computed at the same time on the CPU, each on its share of the threads.
//!
//! One small product spread over all cores leaves them waiting for each other between operations; parts
//! of a batch go through the whole model side by side and meet only when their gradients are added, in
//! a fixed order, so that the result does not depend on which part was ready first.

use super::TrainError;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The thread pools of the parts.
pub struct Shards {
    /// Empty when there is only one part, which then runs where it is called.
    pools: Vec<ThreadPool>,
}

impl Shards {
    /// `count` parts; one on anything but the CPU, whose work is queued anyway.
    pub fn new(count: usize, on_cpu: bool) -> Result<Self, TrainError> {
        let count = if on_cpu { count } else { 1 };
        if count <= 1 {
            return Ok(Self { pools: Vec::new() });
        }
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let pool = |_| {
            ThreadPoolBuilder::new()
                .num_threads((cores / count).max(1))
                .build()
                .map_err(|error| TrainError::Config(format!("shards={count}: no threads for them: {error}")))
        };
        Ok(Self { pools: (0..count).map(pool).collect::<Result<_, _>>()? })
    }

    /// How many parts a batch of `samples` is cut into.
    pub fn count(&self, samples: usize) -> usize {
        self.pools.len().clamp(1, samples.max(1))
    }

    /// Calls `work` with each part and its context, `contexts` as many as [`Self::count`] says; results in
    /// the order of the parts.
    pub fn run<T: Sync, C: Send, R: Send>(
        &self,
        batch: &[T],
        contexts: Vec<C>,
        work: impl Fn(C, &[T]) -> R + Sync,
    ) -> Vec<R> {
        let parts = contexts.len();
        let part = |index: usize| &batch[index * batch.len() / parts..(index + 1) * batch.len() / parts];
        if parts <= 1 {
            return contexts.into_iter().map(|context| work(context, batch)).collect();
        }
        let mut results: Vec<Option<R>> = (0..parts).map(|_| None).collect();
        std::thread::scope(|scope| {
            let places = results.iter_mut().zip(contexts).zip(&self.pools).enumerate();
            for (index, ((place, context), pool)) in places {
                let work = &work;
                scope.spawn(move || *place = Some(pool.install(|| work(context, part(index)))));
            }
        });
        results.into_iter().flatten().collect()
    }
}
