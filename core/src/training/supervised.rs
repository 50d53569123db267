//! Supervised steps: loss, gradients, update. All stages but the reasoning stage learn so.

use super::batches::{self, Prepared};
use super::foundation::{DenseCounts, DenseHeads};
use super::losses::{AnswerTargets, PictureNumbers, answer_length};
use super::optimizer::clip_gradients;
use super::schedule;
use super::shards::GradientSums;
use super::trainer::{StepDone, Trainer};
use super::{TrainConfig, TrainError};
use crate::model::device::padding_multiple;
use crate::model::{ModelInput, Qwen2_5Vl};
use crate::processor::Encoded;
use crate::runs::RunDir;
use burn::module::Module as _;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};

impl Trainer {
    /// `work`: a batch for each accumulation.
    pub(super) fn supervised_step(
        &mut self,
        work: &[Vec<Prepared>],
        run: &RunDir,
    ) -> Result<StepDone, TrainError> {
        let mut done = StepDone::default();
        let mut copies = Vec::new();
        let mut sums = GradientSums::new();
        let mut head_sums = GradientSums::new();
        let whole = Whole {
            answer_tokens: work.iter().flatten().map(|sample| answer_length(&sample.encoded)).sum(),
            dense: DenseCounts::of(work.iter().flatten().filter_map(|sample| sample.labels.as_ref())),
            picture_numbers: work
                .iter()
                .flatten()
                .map(|sample| self.numbers_of(&[&sample.encoded], 0).counts())
                .fold([0, 0], |[tokens, named], [more, further]| [tokens + more, named + further]),
            pictures: work.iter().flatten().any(|sample| !sample.encoded.images.is_empty()),
            captions: self.step as f64 >= self.config.foundation.captions_after * self.config.steps as f64,
        };
        for batch in work {
            let parts = self.gradients(batch, &whole, &mut copies)?;
            let value = parts.iter().map(|part| part.loss).sum::<f64>();
            if !value.is_finite() {
                return Err(self.diverged("loss", value, batch.iter().map(|sample| &sample.encoded), run));
            }
            done.count(batch);
            for part in parts {
                done.add(part.loss, part.terms);
                if let (Some(heads), Some(gradients)) = (&self.heads, part.of_heads) {
                    head_sums.add(&part.device, heads, gradients);
                }
                sums.add(&part.device, &self.model, part.of_model);
            }
        }
        // Before the optimizer makes new weights beside the old ones.
        drop(copies);
        if !self.update(&mut done, sums.total(&self.model)) {
            let all = work.iter().flatten().map(|sample| &sample.encoded);
            return Err(self.diverged("gradient's norm", done.gradient_norm, all, run));
        }
        if let Some(heads) = self.heads.take() {
            let gradients = head_sums.total(&heads);
            self.heads = Some(self.head_optimizer.step(done.learning_rate, heads, gradients));
        }
        self.step += 1;
        Ok(done)
    }

    /// That of the step under way.
    pub(super) fn learning_rate(&self) -> f64 {
        let TrainConfig { learning_rate, warmup, decay, steps, .. } = self.config;
        schedule::learning_rate(learning_rate, warmup, decay, self.step, steps)
    }

    /// Clips the gradients and moves the model; whether there was a finite gradient. Any other leaves the model as it is.
    #[must_use]
    pub(super) fn update(&mut self, done: &mut StepDone, mut gradients: GradientsParams) -> bool {
        done.learning_rate = self.learning_rate();
        done.gradient_norm = clip_gradients(&self.model, &mut gradients, self.config.max_gradient_norm);
        if !done.gradient_norm.is_finite() {
            return false;
        }
        self.model = self.optimizer.step(done.learning_rate, self.model.clone(), gradients);
        true
    }

    /// Losses and gradients of a batch, part by part; over all batches of a step they add up to those of the whole. `copies`
    /// are those of the model that the step has made already.
    fn gradients(
        &self,
        batch: &[Prepared],
        whole: &Whole,
        copies: &mut Vec<Replica>,
    ) -> Result<Vec<PartDone>, TrainError> {
        let parts = Learning { vision: whole.pictures, language: whole.captions || self.heads.is_none() };
        let copies = self.shards.contexts(batch.len(), copies, |at, device| self.replica(at, device, parts));
        let parts = self.shards.run(batch, copies, |copy, part| {
            let (loss, terms) = self.loss(&copy, part, whole)?;
            let value = f64::from(loss.clone().into_scalar::<f32>());
            let mut gradients = loss.backward();
            let of_heads =
                copy.heads.as_ref().map(|heads| GradientsParams::from_module(&mut gradients, heads));
            let of_model = GradientsParams::from_grads(gradients, &copy.model);
            Ok(PartDone { device: copy.device, loss: value, terms, of_model, of_heads })
        });
        parts.into_iter().collect()
    }

    /// The model for part `at` of a batch: the first computes with the model itself, the others with parameters of their
    /// own in the eyes of automatic differentiation, since graphs that share a leaf are computed under one lock. Only those
    /// of `parts`: Burn 0.22 never forgets a leaf that no loss reaches, and gets slower with each.
    pub(super) fn replica(&self, at: usize, device: &Device, parts: Learning) -> Replica {
        let (mut model, heads) = (self.model.clone(), self.heads.clone());
        if at == 0 {
            return Replica { device: device.clone(), model, heads };
        }
        if parts.vision {
            model.visual = model.visual.fork(device);
        }
        if parts.language {
            model.model = model.model.fork(device);
            model.lm_head = model.lm_head.fork(device);
        }
        let heads = if parts.vision { heads.map(|heads| heads.fork(device)) } else { heads };
        Replica { device: device.clone(), model, heads }
    }

    /// Where samples are to tell the numbers of their pictures: nowhere if that weighs nothing.
    fn numbers_of(&self, encoded: &[&Encoded], time: usize) -> PictureNumbers {
        let encoded = if self.config.picture_numbers > 0.0 { encoded } else { &[] };
        PictureNumbers::new(encoded, time, &self.processor)
    }

    /// Those of some samples, as parts of the means over the whole step.
    fn answer_losses(
        &self,
        Replica { device, model, .. }: &Replica,
        encoded: &[&Encoded],
        image_tokens: Option<Tensor<2>>,
        whole: &Whole,
    ) -> Result<AnswerLosses, TrainError> {
        let mut input = ModelInput::padded(encoded, model.config(), device, padding_multiple(device))?;
        if let Some(tokens) = image_tokens {
            input = input.with_images(tokens);
        }
        let time = input.token_ids.dims()[1];
        let mut first = None;
        let hidden = model.hidden_watched(&input, None, &mut |layer, state| {
            if layer == 0 {
                first = Some(state.clone());
            }
        });
        let mean = |losses: Tensor<1>, count: usize| losses.sum().div_scalar(count.max(1) as f64);
        let answers = AnswerTargets::new(encoded, time).losses(model, hidden);
        let found = self.numbers_of(encoded, time);
        let ([shown, named], [all_shown, all_named]) = (found.counts(), whole.picture_numbers);
        let mut numbers = Vec::new();
        if let Some(first) = first.filter(|_| shown > 0) {
            numbers.push(("pictures_told_apart", mean(found.losses(model, first), all_shown)));
        }
        if named > 0 {
            numbers.push(("pictures_named", mean(found.of_answers(answers.clone()), all_named)));
        }
        Ok(AnswerLosses { answer: mean(answers, whole.answer_tokens), numbers })
    }

    /// What a part of a batch adds to the loss and, where the loss is a sum, to its terms by name.
    fn loss(
        &self,
        copy: &Replica,
        part: &[Prepared],
        whole: &Whole,
    ) -> Result<(Tensor<1>, Vec<(String, f64)>), TrainError> {
        let Replica { device, model, heads } = copy;
        let encoded: Vec<&Encoded> = part.iter().map(|sample| &sample.encoded).collect();
        let images: Vec<_> = encoded.iter().flat_map(|sample| &sample.images).collect();
        let image_tokens = if images.is_empty() { None } else { Some(model.encode_images(&images)?) };
        let read =
            |name: &str, term: &Tensor<1>| (name.to_owned(), f64::from(term.clone().into_scalar::<f32>()));
        let Some(image_tokens) = image_tokens else {
            // Texts alone.
            let found = self.answer_losses(copy, &encoded, None, whole)?;
            let weight = if heads.is_some() { self.config.foundation.caption } else { 1.0 };
            let terms = vec![read("text", &found.answer)];
            return Ok((found.weighted(weight, self.config.picture_numbers), terms));
        };
        let Some(heads) = heads else {
            let found = self.answer_losses(copy, &encoded, Some(image_tokens), whole)?;
            let mut terms = Vec::new();
            // Of the parts that show one picture only, too.
            if whole.picture_numbers != [0, 0] {
                terms.push(read("answer", &found.answer));
            }
            terms.extend(found.numbers.iter().map(|(name, term)| read(name, term)));
            return Ok((found.weighted(1.0, self.config.picture_numbers), terms));
        };
        let labels = batches::DenseLabels::concat(part.iter().filter_map(|sample| sample.labels.as_ref()));
        let dense = heads.losses(&image_tokens, &labels, &whole.dense, device);
        let mut terms = vec![
            read("category", &dense.category),
            read("bounds", &dense.bounds),
            read("distance", &dense.distance),
            read("position", &dense.position),
        ];
        let config = &self.config.foundation;
        let mut loss = dense.weighted(config);
        if whole.captions {
            let found = self.answer_losses(copy, &encoded, Some(image_tokens), whole)?;
            terms.push(read("caption", &found.answer));
            terms.extend(found.numbers.iter().map(|(name, term)| read(name, term)));
            loss = loss + found.weighted(config.caption, self.config.picture_numbers);
        }
        Ok((loss, terms))
    }
}

/// What the losses of a step are means over, and what they are made of. Over all of its batches: a token weighs the same
/// whichever batch it is in.
struct Whole {
    answer_tokens: usize,
    /// Image tokens that are to tell the number of their picture, and numbers in answers that name one.
    picture_numbers: [usize; 2],
    dense: DenseCounts,
    /// Whether there is any picture.
    pictures: bool,
    /// Whether the foundation stage has come to its captions.
    captions: bool,
}

/// The loss of answers, and beside it, by name, what a small model learns of the numbers of several pictures.
struct AnswerLosses {
    answer: Tensor<1>,
    numbers: Vec<(&'static str, Tensor<1>)>,
}

impl AnswerLosses {
    fn weighted(self, answer: f64, numbers: f64) -> Tensor<1> {
        let start = self.answer.mul_scalar(answer);
        self.numbers.into_iter().fold(start, |loss, (_, term)| loss + term.mul_scalar(numbers))
    }
}

/// Which parts of the model a step has losses for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Learning {
    pub vision: bool,
    pub language: bool,
}

/// The model on the device of a part of a batch.
#[derive(Clone)]
pub(super) struct Replica {
    pub device: Device,
    pub model: Qwen2_5Vl,
    pub heads: Option<DenseHeads>,
}

/// One part of a batch, computed.
struct PartDone {
    /// Where the gradients lie.
    device: Device,
    loss: f64,
    terms: Vec<(String, f64)>,
    of_model: GradientsParams,
    of_heads: Option<GradientsParams>,
}
