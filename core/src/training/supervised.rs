//! The supervised loop: batches, loss, gradients, update; events and checkpoints on the way.

use super::batches::{self, Encoder, Prepared};
use super::config::Stage;
use super::evaluation::Evaluator;
use super::foundation::{DenseCounts, DenseHeads, DenseScore};
use super::losses::{AnswerTargets, answer_length, answer_loss};
use super::optimizer::{AdamW, clip_gradients, name_parameters};
use super::shards::Shards;
use super::{TrainConfig, TrainError, checkpoints, schedule};
use crate::model::qwen2_5_vl::weights::{Weights, write_safetensors};
use crate::model::{DeviceChoice, ModelInput, Precision, Qwen2_5Vl, bundled, device};
use crate::processor::{Encoded, Processor};
use crate::runs::{Event, EventLog, RunDir, RunError, Timed};
use crate::samples::Dataset;
use crate::samples::files::{PartialDir, write_atomic};
use burn::module::Module as _;
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How a call of [`train`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// Asked to stop; a checkpoint of the last step was written.
    Stopped,
}

/// Trains one stage in `run`, from its beginning or, with `resume`, from its newest whole checkpoint.
/// Every event goes to the run's log and to `watch`. `stop` ends it after the step under way.
pub fn train(
    config: TrainConfig,
    run: &RunDir,
    resume: bool,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Timed),
) -> Result<Outcome, TrainError> {
    config.check()?;
    run.claim()?;
    run.clear_stop()?;
    let steps_logged = crate::runs::read_events(&run.events_path())?
        .iter()
        .filter(|event| matches!(event.event, Event::Step { .. }))
        .count() as u64;
    if !resume && steps_logged > 0 {
        return Err(RunError::AlreadyStarted { path: run.root().to_owned(), steps: steps_logged }.into());
    }
    let (checkpoint, damaged) =
        if resume { checkpoints::newest(&run.checkpoints_dir()) } else { (None, Vec::new()) };
    write_atomic(&run.config_path(), config.to_toml().as_bytes())?;
    EventLog::rewind(&run.events_path(), checkpoint.as_ref().map_or(0, |found| found.0))?;
    let mut journal = Journal { log: EventLog::append(&run.events_path())?, watch };
    for error in damaged {
        journal.write(Event::Warning { message: error.to_string() })?;
    }
    let mut step = 0;
    let result = Trainer::new(&config, checkpoint, &mut journal).and_then(|mut trainer| {
        let outcome = trainer.run(run, stop, &mut journal);
        step = trainer.step;
        outcome
    });
    if let Err(error) = &result {
        journal.write(Event::Failed { step, message: error.to_string() })?;
    }
    result
}

/// Writes events to the log and passes them on.
struct Journal<'a> {
    log: EventLog,
    watch: &'a mut dyn FnMut(&Timed),
}

impl Journal<'_> {
    fn write(&mut self, event: Event) -> Result<(), TrainError> {
        let timed = self.log.write(event)?;
        (self.watch)(&timed);
        Ok(())
    }
}

struct Trainer {
    config: TrainConfig,
    device: Device,
    dataset: Arc<Dataset>,
    processor: Arc<Processor>,
    categories: Arc<Vec<String>>,
    model: Qwen2_5Vl,
    heads: Option<DenseHeads>,
    optimizer: AdamW,
    head_optimizer: AdamW,
    shards: Shards,
    /// Optimizer steps done.
    step: u64,
}

impl Trainer {
    fn new(
        config: &TrainConfig,
        checkpoint: Option<(u64, std::path::PathBuf)>,
        journal: &mut Journal<'_>,
    ) -> Result<Self, TrainError> {
        let choice: DeviceChoice = config.device.parse()?;
        let inner = choice.open()?;
        let dataset = Arc::new(Dataset::open(&config.data)?);
        let (device, text) = (inner.clone().autodiff(), device::describe(&inner));
        let processor = Arc::new(match bundled::Bundled::from_name(&config.model)? {
            Some(_) => bundled::processor()?,
            None => Processor::load(Path::new(&config.model))?,
        });
        let start = |device: &Device| match &checkpoint {
            Some((_, path)) => Qwen2_5Vl::load(path, device),
            None => bundled::open_model(&config.model, config.seed, device),
        };
        let model = name_parameters(start(&device)?, "model");
        let categories: BTreeSet<&str> = dataset
            .train
            .foundation
            .iter()
            .flat_map(|row| row.objects.iter().map(|object| object.label.as_str()))
            .collect();
        let categories: Vec<String> = categories.into_iter().map(str::to_owned).collect();
        let heads = (config.stage == Stage::Foundation).then(|| {
            let weights = &mut Weights::random(config.seed, &device);
            DenseHeads::new(weights, model.config().text.hidden_size, categories.len())
        });
        let heads = heads.transpose()?.map(|heads| name_parameters(heads, "heads"));
        let mut trainer = Self {
            optimizer: AdamW::new(config.weight_decay),
            head_optimizer: AdamW::new(0.0),
            shards: Shards::new(config.shards, inner == Device::flex())?,
            config: config.clone(),
            device,
            processor,
            categories: Arc::new(categories),
            model,
            heads,
            step: 0,
            dataset,
        };
        let samples = trainer.encoder().samples();
        if samples == 0 {
            return Err(TrainError::Data(format!(
                "{} holds no samples for stage {}. Build a data set with `data build`{}",
                config.data.display(),
                config.stage.name(),
                if config.stage == Stage::Foundation { " --config foundation" } else { "" },
            )));
        }
        match checkpoint {
            Some((step, path)) => {
                trainer = trainer.restore(step, &path)?;
                journal.write(Event::Resumed { step })?;
            }
            None => journal.write(Event::Started {
                stage: config.stage.name().into(),
                total_steps: config.steps,
                train_samples: samples,
                validation_samples: match config.stage {
                    Stage::Foundation => trainer.dataset.validation.foundation.len(),
                    Stage::Perception => trainer.dataset.validation.grounding.len(),
                },
                parameters: trainer.model.num_params(),
                device: text,
            })?,
        }
        Ok(trainer)
    }

    fn encoder(&self) -> Encoder {
        Encoder {
            dataset: self.dataset.clone(),
            processor: self.processor.clone(),
            config: self.config.clone(),
            categories: self.categories.clone(),
        }
    }

    fn restore(mut self, step: u64, path: &Path) -> Result<Self, TrainError> {
        let fault = |message: String| TrainError::Checkpoint { path: path.to_owned(), message };
        let read =
            |name: &str| std::fs::read(path.join(name)).map_err(|error| fault(format!("{name}: {error}")));
        self.optimizer = self.optimizer.load_bytes(read("optimizer.bpk")?).map_err(fault)?;
        if self.heads.is_some() {
            self.head_optimizer =
                self.head_optimizer.load_bytes(read("head_optimizer.bpk")?).map_err(fault)?;
            let bytes = read("heads.safetensors")?;
            let weights = &mut Weights::from_bytes(&bytes, &path.join("heads.safetensors"), &self.device)?;
            let heads =
                DenseHeads::new(weights, self.model.config().text.hidden_size, self.categories.len())?;
            self.heads = Some(name_parameters(heads, "heads"));
        }
        self.step = step;
        Ok(self)
    }

    fn save_checkpoint(&self, run: &RunDir, journal: &mut Journal<'_>) -> Result<(), TrainError> {
        let write = |dir: &Path| {
            self.write_model(dir)?;
            let put = |name: &str, optimizer: &AdamW| {
                let path = dir.join(name);
                let bytes = optimizer
                    .to_bytes()
                    .map_err(|message| TrainError::Checkpoint { path: path.clone(), message })?;
                std::fs::write(&path, bytes).map_err(TrainError::io(path))
            };
            put("optimizer.bpk", &self.optimizer)?;
            if let Some(heads) = &self.heads {
                put("head_optimizer.bpk", &self.head_optimizer)?;
                let path = dir.join("heads.safetensors");
                let file = std::fs::File::create(&path).map_err(TrainError::io(&path))?;
                write_safetensors(&heads.named_tensors(), Precision::F32, std::io::BufWriter::new(file))
                    .map_err(TrainError::io(path))?;
            }
            Ok(())
        };
        let path = checkpoints::save(&run.checkpoints_dir(), self.step, self.config.keep_checkpoints, write)?;
        journal.write(Event::Checkpoint { step: self.step, path: path.display().to_string() })
    }

    fn write_model(&self, dir: &Path) -> Result<(), TrainError> {
        self.model.save(dir, Precision::F32)?;
        self.processor.save(dir)?;
        Ok(())
    }

    fn run(
        &mut self,
        run: &RunDir,
        stop: &AtomicBool,
        journal: &mut Journal<'_>,
    ) -> Result<Outcome, TrainError> {
        let processor = self.processor.clone();
        let count = if self.config.evaluate_every == 0 { 0 } else { self.config.evaluate_samples };
        let evaluator = match self.config.stage {
            Stage::Foundation => HeldOut::Pictures(self.held_out_pictures(count)?),
            Stage::Perception => HeldOut::Questions(Evaluator::new(&self.dataset, &processor, count)?),
        };
        if self.step == 0 {
            self.evaluate(&evaluator, run, stop, journal)?;
        }
        let batches = batches::spawn(self.encoder(), self.step);
        let mut pace = Pace::new(self.config.steps, self.config.evaluate_every, !evaluator.is_empty());
        let mut saved = self.step;
        while self.step < self.config.steps {
            if stop.load(Ordering::Relaxed) || run.stop_requested() {
                if saved < self.step {
                    self.save_checkpoint(run, journal)?;
                }
                journal.write(Event::Stopped { step: self.step })?;
                return Ok(Outcome::Stopped);
            }
            let done = self.one_step(&batches, run)?;
            pace.step_done(done.samples, done.tokens);
            journal.write(Event::Step {
                step: self.step,
                loss: done.loss,
                learning_rate: done.learning_rate,
                gradient_norm: done.gradient_norm,
                samples_per_s: pace.samples_per_s(),
                tokens_per_s: pace.tokens_per_s(),
                seconds_left: pace.seconds_left(self.step),
                parts: done.parts,
            })?;
            let last = self.step == self.config.steps;
            if last || self.step.is_multiple_of(self.config.checkpoint_every) {
                self.save_checkpoint(run, journal)?;
                saved = self.step;
            }
            if self.config.evaluate_every > 0
                && (last || self.step.is_multiple_of(self.config.evaluate_every))
            {
                let since = Instant::now();
                self.evaluate(&evaluator, run, stop, journal)?;
                pace.evaluation_took(since.elapsed());
            }
        }
        let path = run.model_dir();
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(TrainError::io(&path))?;
        }
        let partial = PartialDir::create(&path)?;
        self.write_model(partial.path())?;
        partial.finish()?;
        journal.write(Event::Finished { step: self.step, model: path.display().to_string() })?;
        Ok(Outcome::Finished)
    }

    fn one_step(&mut self, batches: &Batches, run: &RunDir) -> Result<StepDone, TrainError> {
        let mut done = StepDone::default();
        let mut accumulator = GradientsAccumulator::new();
        let mut head_accumulator = GradientsAccumulator::new();
        let micro_steps = self.config.accumulation;
        for _ in 0..micro_steps {
            let batch = batches
                .recv()
                .map_err(|_| TrainError::Data("the thread that prepares batches ended early".into()))??;
            let parts = self.gradients(&batch, micro_steps)?;
            let value = parts.iter().map(|part| part.loss).sum::<f64>();
            if !value.is_finite() {
                return Err(self.diverged(value, &batch, run));
            }
            done.count(&batch);
            for part in parts {
                done.add(part.loss, part.terms);
                if let (Some(heads), Some(gradients)) = (&self.heads, part.of_heads) {
                    head_accumulator.accumulate(heads, gradients);
                }
                accumulator.accumulate(&self.model, part.of_model);
            }
        }
        done.learning_rate = schedule::learning_rate(
            self.config.learning_rate,
            self.config.warmup,
            self.step,
            self.config.steps,
        );
        let mut gradients = accumulator.grads();
        done.gradient_norm = clip_gradients(&self.model, &mut gradients, self.config.max_gradient_norm);
        self.model = self.optimizer.step(done.learning_rate, self.model.clone(), gradients);
        if let Some(heads) = self.heads.take() {
            self.heads = Some(self.head_optimizer.step(done.learning_rate, heads, head_accumulator.grads()));
        }
        self.step += 1;
        Ok(done)
    }

    /// Losses and gradients of a batch, part by part; their sums are those of the whole, divided by
    /// `micro_steps`.
    fn gradients(&self, batch: &[Prepared], micro_steps: usize) -> Result<Vec<PartDone>, TrainError> {
        let whole = Whole {
            answer_tokens: batch.iter().map(|sample| answer_length(&sample.encoded)).sum(),
            dense: DenseCounts::of(batch.iter().filter_map(|sample| sample.labels.as_ref())),
            captions: self.step as f64 >= self.config.foundation.captions_after * self.config.steps as f64,
        };
        let contexts = match self.shards.count(batch.len()) {
            1 => vec![(self.model.clone(), self.heads.clone())],
            count => (0..count)
                .map(|_| (self.fork_model(whole.captions || self.heads.is_none()), self.fork_heads()))
                .collect(),
        };
        let parts = self.shards.run(batch, contexts, |(model, heads), part| {
            let (loss, terms) = self.loss(&model, heads.as_ref(), part, &whole)?;
            let loss = loss.div_scalar(micro_steps as f64);
            let value = f64::from(loss.clone().into_scalar::<f32>());
            let mut gradients = loss.backward();
            let of_heads = heads.as_ref().map(|heads| GradientsParams::from_module(&mut gradients, heads));
            let of_model = GradientsParams::from_grads(gradients, &model);
            let terms = terms.into_iter().map(|(name, value)| (name, value / micro_steps as f64)).collect();
            Ok(PartDone { loss: value, terms, of_model, of_heads })
        });
        parts.into_iter().collect()
    }

    /// The model with parameters of its own in the eyes of automatic differentiation: graphs that share a
    /// leaf are computed under one lock. Without `text`, only the vision tower's: Burn 0.22 never forgets a
    /// leaf that no loss reaches, and gets slower with each.
    fn fork_model(&self, text: bool) -> Qwen2_5Vl {
        let mut model = self.model.clone();
        if text {
            return model.fork(&self.device);
        }
        model.visual = model.visual.fork(&self.device);
        model
    }

    fn fork_heads(&self) -> Option<DenseHeads> {
        self.heads.clone().map(|heads| heads.fork(&self.device))
    }

    /// What a part of a batch adds to the loss and, where the loss is a sum, to its terms by name.
    fn loss(
        &self,
        model: &Qwen2_5Vl,
        heads: Option<&DenseHeads>,
        part: &[Prepared],
        whole: &Whole,
    ) -> Result<(Tensor<1>, Vec<(String, f64)>), TrainError> {
        let encoded: Vec<&Encoded> = part.iter().map(|sample| &sample.encoded).collect();
        let images: Vec<_> = encoded.iter().flat_map(|sample| &sample.images).collect();
        let image_tokens = model.encode_images(&images)?;
        let answer = || -> Result<Tensor<1>, TrainError> {
            let input =
                ModelInput::batch(&encoded, model.config(), &self.device)?.with_images(image_tokens.clone());
            let targets = AnswerTargets::new(&encoded, input.token_ids.dims()[1]);
            Ok(answer_loss(model, &input, &targets, whole.answer_tokens, &self.device))
        };
        let Some(heads) = heads else { return Ok((answer()?, Vec::new())) };
        let labels = batches::DenseLabels::concat(part.iter().filter_map(|sample| sample.labels.as_ref()));
        let dense = heads.losses(&image_tokens, &labels, &whole.dense, &self.device);
        let read =
            |name: &str, term: &Tensor<1>| (name.to_owned(), f64::from(term.clone().into_scalar::<f32>()));
        let mut terms = vec![
            read("category", &dense.category),
            read("bounds", &dense.bounds),
            read("position", &dense.position),
        ];
        let config = &self.config.foundation;
        let mut loss = dense.weighted(config);
        if whole.captions {
            let caption = answer()?;
            terms.push(read("caption", &caption));
            loss = loss + caption.mul_scalar(config.caption);
        }
        Ok((loss, terms))
    }

    fn diverged(&self, loss: f64, batch: &[Prepared], run: &RunDir) -> TrainError {
        let path = run.samples_dir().join(format!("diverged_step_{:06}.txt", self.step + 1));
        let texts: Vec<String> =
            batch.iter().map(|sample| self.processor.decode(&sample.encoded.token_ids)).collect();
        match write_atomic(&path, texts.join("\n\n").as_bytes()) {
            Ok(()) => TrainError::Diverged { step: self.step + 1, loss, batch: path },
            Err(error) => error.into(),
        }
    }

    /// `count` of the held-out foundation rows, evenly spread.
    fn held_out_pictures(&self, count: usize) -> Result<Vec<Prepared>, TrainError> {
        let rows = &self.dataset.validation.foundation;
        let count = count.min(rows.len());
        let encoder = self.encoder();
        (0..count).map(|i| encoder.prepare_foundation(&rows[i * rows.len() / count], None)).collect()
    }

    fn evaluate(
        &self,
        evaluator: &HeldOut<'_>,
        run: &RunDir,
        stop: &AtomicBool,
        journal: &mut Journal<'_>,
    ) -> Result<(), TrainError> {
        if evaluator.is_empty() {
            return Ok(());
        }
        let since = Instant::now();
        let stop_now = AtomicBool::new(false);
        let watch_stop =
            |_| stop_now.store(stop.load(Ordering::Relaxed) || run.stop_requested(), Ordering::Relaxed);
        let event = match evaluator {
            HeldOut::Questions(questions) => {
                let Some(evaluation) = questions.run(&self.model.valid(), &stop_now, watch_stop)? else {
                    return Ok(());
                };
                let lines: Vec<String> = evaluation
                    .answers
                    .iter()
                    .filter_map(|answer| serde_json::to_string(answer).ok())
                    .collect();
                write_atomic(
                    &run.samples_dir().join(format!("step_{:06}.jsonl", self.step)),
                    (lines.join("\n") + "\n").as_bytes(),
                )?;
                Event::Evaluation {
                    step: self.step,
                    samples: evaluation.answers.len(),
                    mean_iou: evaluation.mean_iou,
                    accuracy_50: evaluation.accuracy_50,
                    parsed: Some(evaluation.parsed),
                    category_accuracy: None,
                    seconds: since.elapsed().as_secs_f64(),
                }
            }
            HeldOut::Pictures(pictures) => {
                let Some(heads) = &self.heads else { return Ok(()) };
                let (model, heads) = (self.model.valid(), heads.valid());
                let mut score = DenseScore::default();
                for part in pictures.chunks(self.config.batch_size) {
                    let images: Vec<_> = part.iter().flat_map(|sample| &sample.encoded.images).collect();
                    let labels = part.iter().filter_map(|sample| sample.labels.as_ref());
                    let tokens = model.encode_images(&images)?;
                    score.add(part.len(), heads.predict(&tokens), &batches::DenseLabels::concat(labels));
                    watch_stop(score.pictures);
                    if stop_now.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                }
                Event::Evaluation {
                    step: self.step,
                    samples: score.pictures,
                    mean_iou: score.mean_iou,
                    accuracy_50: score.accuracy_50,
                    parsed: None,
                    category_accuracy: Some(score.category_accuracy),
                    seconds: since.elapsed().as_secs_f64(),
                }
            }
        };
        journal.write(event)
    }
}

/// What a stage is examined on while it trains.
enum HeldOut<'a> {
    Questions(Evaluator<'a>),
    Pictures(Vec<Prepared>),
}

impl HeldOut<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Questions(questions) => questions.is_empty(),
            Self::Pictures(pictures) => pictures.is_empty(),
        }
    }
}

type Batches = std::sync::mpsc::Receiver<Result<Vec<Prepared>, TrainError>>;

#[derive(Default)]
struct StepDone {
    loss: f64,
    parts: Vec<(String, f64)>,
    learning_rate: f64,
    gradient_norm: f64,
    samples: usize,
    tokens: usize,
}

impl StepDone {
    fn count(&mut self, batch: &[Prepared]) {
        self.samples += batch.len();
        self.tokens += batch.iter().map(|sample| sample.encoded.token_ids.len()).sum::<usize>();
    }

    fn add(&mut self, loss: f64, terms: Vec<(String, f64)>) {
        self.loss += loss;
        for (at, (name, value)) in terms.into_iter().enumerate() {
            if self.parts.len() <= at {
                self.parts.push((name, 0.0));
            }
            self.parts[at].1 += value;
        }
    }
}

/// What the losses of a batch are means over, and what they are made of.
struct Whole {
    answer_tokens: usize,
    dense: DenseCounts,
    /// Whether the foundation stage has come to its captions.
    captions: bool,
}

/// One part of a batch, computed.
struct PartDone {
    loss: f64,
    terms: Vec<(String, f64)>,
    of_model: GradientsParams,
    of_heads: Option<GradientsParams>,
}

/// How fast it goes and how long it will take. Only this process's own steps count, so that a resumed
/// run does not promise the pace of the time it stood still.
struct Pace {
    total: u64,
    /// Exponential mean of a step's seconds, evaluations apart.
    step_s: Option<f64>,
    samples: f64,
    tokens: f64,
    evaluate_every: u64,
    evaluation_s: Option<f64>,
    last: Instant,
}

impl Pace {
    fn new(total: u64, evaluate_every: u64, evaluates: bool) -> Self {
        Self {
            total,
            step_s: None,
            samples: 0.0,
            tokens: 0.0,
            evaluate_every: if evaluates { evaluate_every } else { 0 },
            evaluation_s: None,
            last: Instant::now(),
        }
    }

    fn step_done(&mut self, samples: usize, tokens: usize) {
        let seconds = self.last.elapsed().as_secs_f64();
        self.last = Instant::now();
        let mix = |old: Option<f64>, new: f64| old.map_or(new, |old| 0.95 * old + 0.05 * new);
        self.step_s = Some(mix(self.step_s, seconds));
        (self.samples, self.tokens) = (samples as f64, tokens as f64);
    }

    fn evaluation_took(&mut self, duration: Duration) {
        self.evaluation_s = Some(duration.as_secs_f64());
        self.last = Instant::now();
    }

    fn samples_per_s(&self) -> f64 {
        self.step_s.map_or(0.0, |seconds| self.samples / seconds.max(1e-9))
    }

    fn tokens_per_s(&self) -> f64 {
        self.step_s.map_or(0.0, |seconds| self.tokens / seconds.max(1e-9))
    }

    fn seconds_left(&self, step: u64) -> f64 {
        let steps = (self.total - step) as f64 * self.step_s.unwrap_or(0.0);
        let evaluations = if self.evaluate_every == 0 {
            0
        } else {
            self.total.div_ceil(self.evaluate_every) - step / self.evaluate_every
        };
        steps + evaluations as f64 * self.evaluation_s.unwrap_or(0.0)
    }
}
