//! A batch in parts that are computed at the same time: on several devices, or on the CPU each on its share of the
//! threads.
//!
//! On the CPU one small product spread over all cores leaves them waiting for each other between operations; parts of a
//! batch go through the whole model side by side. Each part has a copy of the model, and parts meet only when their
//! gradients are added, in a fixed order, so that the result does not depend on which was ready first. The first device
//! holds the model and the optimizer: gradients come to it once a step, and the others get the new weights from it.
//!
//! Burn's own all-reduce is not used: Burn 0.22 has it for CUDA with NCCL alone (on any other device it panics), and
//! copies of the optimizer on every device stay alike, and a resumed run the same, only as long as every device rounds
//! alike. Between CUDA devices Burn moves tensors through NCCL where it is installed.

use super::TrainError;
use crate::model::device::is_cpu;
use burn::module::Module;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;

/// Where the parts of a batch are computed.
pub struct Shards {
    /// One for each part; the first is on the device that holds the model.
    places: Vec<Place>,
}

struct Place {
    device: Device,
    /// Threads that stay the same from step to step: a GPU keeps a queue and memory for each thread that calls it.
    /// None computes where it is called.
    pool: Option<ThreadPool>,
}

impl Shards {
    /// A part for each of several devices; `count` parts for the CPU alone, and one for a GPU alone, whose work is
    /// queued anyway.
    pub fn new(devices: &[Device], count: usize) -> Result<Self, TrainError> {
        let places: Vec<Device> = match devices {
            [only] if is_cpu(only) => vec![only.clone(); count.max(1)],
            _ => devices.to_vec(),
        };
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let sharing = places.iter().filter(|device| is_cpu(device)).count();
        let pool = |threads: usize| {
            ThreadPoolBuilder::new().num_threads(threads).build().map_err(|error| {
                TrainError::Config(format!("no threads for {} parts of a batch: {error}", places.len()))
            })
        };
        let place = |(at, device): (usize, &Device)| {
            let pool = match (is_cpu(device), at) {
                (true, at) if sharing > 1 || at > 0 => Some(pool((cores / sharing).max(1))?),
                (_, 0) => None,
                (..) => Some(pool(1)?),
            };
            Ok(Place { device: device.clone(), pool })
        };
        Ok(Self { places: places.iter().enumerate().map(place).collect::<Result<_, TrainError>>()? })
    }

    /// How many parts a batch of `samples` is cut into.
    pub fn count(&self, samples: usize) -> usize {
        self.places.len().clamp(1, samples.max(1))
    }

    /// Something for each part of a batch of `samples`, such as a copy of the model. `made` holds what the step has made
    /// already; the rest comes from `make`, by part and device.
    pub fn contexts<C: Clone>(
        &self,
        samples: usize,
        made: &mut Vec<C>,
        make: impl Fn(usize, &Device) -> C,
    ) -> Vec<C> {
        let count = self.count(samples);
        for at in made.len()..count {
            made.push(make(at, &self.places[at].device));
        }
        made[..count].to_vec()
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
        if parts <= 1 {
            return contexts.into_iter().map(|context| work(context, batch)).collect();
        }
        let mut results: Vec<Option<R>> = (0..parts).map(|_| None).collect();
        std::thread::scope(|scope| {
            let places = results.iter_mut().zip(contexts).zip(&self.places).enumerate();
            let (mut here, mut elsewhere) = (None, Vec::new());
            for (index, ((result, context), place)) in places {
                let (work, part) = (&work, &batch[part(index, parts, batch.len())]);
                let task = move || *result = Some(work(context, part));
                match &place.pool {
                    Some(pool) => {
                        elsewhere.push(scope.spawn(move || pool.install(task)));
                    }
                    // After the others have begun.
                    None => here = Some(task),
                }
            }
            if let Some(task) = here {
                task();
            }
            // With the words that a part panicked with; the scope by itself would only say that one did.
            for part in elsewhere {
                if let Err(said) = part.join() {
                    std::panic::resume_unwind(said);
                }
            }
        });
        results.into_iter().flatten().collect()
    }
}

/// Which of `samples` are part `index` of `parts`.
pub fn part(index: usize, parts: usize, samples: usize) -> Range<usize> {
    index * samples / parts..(index + 1) * samples / parts
}

/// The gradients of the parts of a step, added up on the device of each, and at last on the first.
pub struct GradientSums<M> {
    sums: Vec<(Device, GradientsAccumulator<M>)>,
}

impl<M: Module> GradientSums<M> {
    pub fn new() -> Self {
        Self { sums: Vec::new() }
    }

    /// Adds gradients that lie on `device`. `module` is any copy of the model.
    pub fn add(&mut self, device: &Device, module: &M, gradients: GradientsParams) {
        let at = self.sums.iter().position(|(known, _)| known == device).unwrap_or_else(|| {
            self.sums.push((device.clone(), GradientsAccumulator::new()));
            self.sums.len() - 1
        });
        self.sums[at].1.accumulate(module, gradients);
    }

    /// Their sum, on the device of the first that was added.
    pub fn total(self, module: &M) -> GradientsParams {
        let mut sums = self.sums.into_iter();
        let Some((first, mut total)) = sums.next() else { return GradientsParams::new() };
        let first = first.without_autodiff();
        for (_, mut sum) in sums {
            total.accumulate(module, sum.grads().to_device(&first, module));
        }
        total.grads()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::qwen2_5_vl::SpecialTokens;
    use crate::model::{ModelInput, Qwen2_5Vl, Qwen2_5VlConfig};
    use crate::processor::{Encoded, PixelPatches};
    use crate::training::losses::{AnswerTargets, answer_length};
    use crate::training::optimizer::{AdamW, clip_gradients, name_parameters};
    use burn::module::{ModuleVisitor, Param};
    use burn::tensor::Tensor;

    /// A picture and an answer of so many tokens.
    fn sample(number: usize, answer: usize) -> Encoded {
        let patches = PixelPatches {
            data: (0..16 * 588).map(|i| ((i * 7919 + 31 * number) % 1000) as f32 / 500.0 - 1.0).collect(),
            grid_thw: [1, 4, 4],
            seconds_per_grid: None,
            original_size: (56, 56),
            resized_size: (56, 56),
        };
        let mut token_ids = vec![10, 3, 5, 5, 5, 5, 4];
        let start = token_ids.len();
        token_ids.extend((0..answer).map(|at| (20 + (at * 13 + number * 29) % 90) as u32));
        let span = start..token_ids.len();
        Encoded { token_ids, images: vec![patches], answer_spans: std::iter::once(span).collect() }
    }

    struct Values<'a>(&'a GradientsParams, Gradients);

    impl ModuleVisitor for Values<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.get::<D>(param.id) {
                assert!(gradient.device() == Device::flex());
                self.1.push((param.id.val(), gradient.into_data().iter::<f32>().collect()));
            }
        }
    }

    /// By parameter.
    type Gradients = Vec<(u64, Vec<f32>)>;

    /// Three steps of a small model over `devices`: losses and gradient norms, and the first gradient.
    fn train(devices: &[Device]) -> (Vec<[f64; 2]>, Gradients) {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        // Parts of several sizes, of answers of several lengths.
        let batch: Vec<Encoded> =
            [9, 4, 17, 6, 1].into_iter().enumerate().map(|(at, answer)| sample(at, answer)).collect();
        let count: usize = batch.iter().map(answer_length).sum();
        let model = Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(120, &tokens), None, 1, &devices[0]).unwrap();
        let mut model = name_parameters(model, "model");
        let shards = Shards::new(devices, 1).unwrap();
        let mut optimizer = AdamW::new(0.1);
        let (mut steps, mut first) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let contexts = shards.contexts(batch.len(), &mut Vec::new(), |at, device| {
                let copy = if at == 0 { model.clone() } else { model.clone().fork(device) };
                (device.clone(), copy)
            });
            assert_eq!(contexts.len(), devices.len());
            let parts = shards.run(&batch, contexts, |(device, model), part| {
                let encoded: Vec<&Encoded> = part.iter().collect();
                let images: Vec<_> = part.iter().flat_map(|sample| &sample.images).collect();
                let input = ModelInput::batch(&encoded, model.config(), &device)
                    .unwrap()
                    .with_images(model.encode_images(&images).unwrap());
                let targets = AnswerTargets::new(&encoded, input.token_ids.dims()[1]);
                let losses = targets.losses(&model, model.hidden(&input, None));
                let loss = losses.sum().div_scalar(count as f64);
                let value = f64::from(loss.clone().into_scalar::<f32>());
                (device, value, GradientsParams::from_grads(loss.backward(), &model))
            });
            let mut sums = GradientSums::new();
            let mut loss = 0.0;
            for (device, value, gradients) in parts {
                loss += value;
                sums.add(&device, &model, gradients);
            }
            let mut gradients = sums.total(&model);
            if first.is_empty() {
                let mut values = Values(&gradients, Vec::new());
                model.visit(&mut values);
                first = values.1;
            }
            let norm = clip_gradients(&model, &mut gradients, 1.0);
            model = optimizer.step(1e-3, model, gradients);
            steps.push([loss, norm]);
        }
        (steps, first)
    }

    fn assert_alike(devices: &[Device]) {
        let (whole, parts) = (train(&devices[..1]), train(devices));
        assert!(whole.0[2][0] < whole.0[0][0], "nothing was learned: {:?}", whole.0);
        for (one, other) in whole.0.iter().flatten().zip(parts.0.iter().flatten()) {
            assert!((one - other).abs() < 1e-3 * one.abs(), "{:?} {:?}", whole.0, parts.0);
        }
        assert_eq!(whole.1.len(), parts.1.len());
        for ((id, one), (same, other)) in whole.1.iter().zip(&parts.1) {
            let size = one.iter().fold(0.0f32, |size, value| size.max(value.abs()));
            let apart = one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(
                id == same && one.len() == other.len() && apart <= 1e-4 * size + 1e-7,
                "{id}: {apart} of {size}"
            );
        }
    }

    #[test]
    fn several_devices_take_the_step_of_one() {
        let cpu = Device::flex().autodiff();
        assert_alike(&[cpu.clone(), cpu.clone()]);
        assert_alike(&[cpu.clone(), cpu.clone(), cpu]);
    }

    #[test]
    fn a_part_that_panics_is_heard_with_its_words() {
        let device = Device::flex();
        let shards = Shards::new(std::slice::from_ref(&device), 3).unwrap();
        let work = |(), part: &[i32]| assert!(part != [2], "no memory left");
        let said = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            shards.run(&[1, 2, 3], vec![(); 3], work);
        }));
        let said = said.unwrap_err();
        assert_eq!(said.downcast_ref::<&str>(), Some(&"no memory left"));
        // The threads serve the next step.
        assert_eq!(shards.run(&[1, 2, 3], vec![(); 3], |(), part| part[0]), [1, 2, 3]);
    }

    /// Two devices that know nothing of each other's tensors.
    #[cfg(all(feature = "remote", not(target_arch = "wasm32")))]
    #[test]
    fn a_lent_device_takes_its_part_of_a_step() {
        let (cpu, lent) = (Device::flex().autodiff(), crate::model::remote::tests::loopback().autodiff());
        assert_eq!(Shards::new(&[cpu.clone(), lent.clone()], 1).unwrap().count(9), 2);
        assert_alike(&[cpu, lent]);
    }
}
