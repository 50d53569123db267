//! The loop that all stages share: steps, events, checkpoints, held-out evaluation, stopping and going on.

mod held_out;
mod start;
#[cfg(test)]
mod tests;

pub use start::StageSize;

use super::batches::{self, Conversation, Encoder, Prepared};
use super::config::{MixedPrecision, Stage};
use super::foundation::DenseHeads;
use super::optimizer::{AdamW, name_parameters};
use super::pace::Pace;
use super::shards::Shards;
use super::{TrainConfig, TrainError, checkpoints};
use crate::model::device::unless_it_panics;
use crate::model::qwen2_5_vl::safetensors::write_safetensors;
use crate::model::qwen2_5_vl::weights::Weights;
use crate::model::{Precision, Qwen2_5Vl, device};
use crate::processor::{Encoded, Processor};
use crate::runs::{Event, EventLog, RunDir, RunError, ScalarFiles, Timed};
use crate::samples::Dataset;
use crate::samples::files::{PartialDir, write_atomic};
use burn::module::Module as _;
use burn::tensor::Device;
use start::{can_compute, categories, conversations, enough_for_all, learning, models, processor};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// How a call of [`train`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Finished,
    /// Asked to stop; a checkpoint of the last step was written.
    Stopped,
}

/// Trains one stage in `run`, from its beginning or, with `resume`, from its newest whole checkpoint.
/// Every event goes to the run's log and to `watch`. `stop` ends it after the step under way, in the reasoning stage without
/// that.
pub fn train(
    config: TrainConfig,
    run: &RunDir,
    resume: bool,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Timed),
) -> Result<Outcome, TrainError> {
    config.check()?;
    let _claim = run.claim()?;
    run.clear_stop()?;
    let steps_logged = crate::runs::read_events(&run.events_path())?
        .iter()
        .filter(|event| matches!(event.event, Event::Step { .. }))
        .count() as u64;
    // A checkpoint is there also where the log was removed.
    let steps = steps_logged.max(checkpoints::newest_step(&run.checkpoints_dir()).unwrap_or(0));
    if !resume && steps > 0 {
        return Err(RunError::AlreadyStarted { path: run.root().to_owned(), steps }.into());
    }
    checkpoints::clear_unfinished(&run.checkpoints_dir());
    let (checkpoint, damaged) =
        if resume { checkpoints::newest(&run.checkpoints_dir()) } else { (None, Vec::new()) };
    write_atomic(&run.config_path(), config.to_toml()?.as_bytes())?;
    EventLog::rewind(&run.events_path(), checkpoint.as_ref().map_or(0, |found| found.0))?;
    let logged = crate::runs::read_events(&run.events_path())?;
    let examined = logged.iter().any(|timed| match timed.event {
        Event::Evaluation { step, .. } => checkpoint.as_ref().is_some_and(|found| found.0 == step),
        _ => false,
    });
    let scalars = ScalarFiles::create(run.root(), &logged)?;
    let mut journal = Journal { log: EventLog::append(&run.events_path())?, scalars, watch };
    for error in damaged {
        journal.write(Event::Warning { message: error.to_string() })?;
    }
    let mut step = checkpoint.as_ref().map_or(0, |found| found.0);
    let broke_off = |message| TrainError::BrokeOff { step, message, batch: String::new() };
    let result = unless_it_panics(|| Trainer::new(&config, checkpoint, &mut journal))
        .unwrap_or_else(|message| Err(broke_off(message)))
        .and_then(|mut trainer| {
            let outcome = unless_it_panics(|| trainer.run(run, examined, stop, &mut journal))
                .unwrap_or_else(|message| Err(trainer.broke_off(message, run)));
            step = trainer.step;
            // Freeing what lies on a lost device may fail again, of which nothing new is learned.
            let _ = unless_it_panics(|| drop(trainer));
            outcome
        });
    if let Err(error) = &result {
        // Where this cannot be written down either, the first failure is the one to tell.
        let _ = journal.write(Event::Failed { step, message: error.to_string() });
    }
    result
}

/// Writes events to the log and passes them on.
struct Journal<'a> {
    log: EventLog,
    scalars: ScalarFiles,
    watch: &'a mut dyn FnMut(&Timed),
}

impl Journal<'_> {
    fn write(&mut self, event: Event) -> Result<(), TrainError> {
        let timed = self.log.write(event)?;
        self.scalars.add(&timed)?;
        (self.watch)(&timed);
        Ok(())
    }
}

/// A stage under way.
pub struct Trainer {
    pub config: TrainConfig,
    pub device: Device,
    pub processor: Arc<Processor>,
    pub model: Qwen2_5Vl,
    /// In the foundation stage.
    pub heads: Option<DenseHeads>,
    /// In the reasoning stage, without autodiff: the model that the stage started with. None where `reinforcement.kl` is 0.
    pub reference: Option<Qwen2_5Vl>,
    pub optimizer: AdamW,
    pub head_optimizer: AdamW,
    pub shards: Shards,
    /// Optimizer steps done.
    pub step: u64,
    dataset: Arc<Dataset>,
    categories: Arc<Vec<String>>,
    conversations: Arc<Vec<Conversation>>,
    /// What the step under way learns from: a batch for each accumulation.
    under_way: Arc<Vec<Vec<Prepared>>>,
}

/// The batches of a run, in order.
type Batches = std::sync::mpsc::Receiver<Result<Vec<Prepared>, TrainError>>;

impl Trainer {
    fn new(
        config: &TrainConfig,
        checkpoint: Option<(u64, PathBuf)>,
        journal: &mut Journal<'_>,
    ) -> Result<Self, TrainError> {
        let devices = device::open_all(&config.device)?;
        let [device, ..] = devices.as_slice() else {
            return Err(TrainError::Config("device is empty".into()));
        };
        can_compute(config, &devices)?;
        let (dataset, processor) = (Dataset::open(&config.data)?, processor(config)?);
        let path = checkpoint.as_ref().map(|(_, path)| path.as_path());
        let mut trainer = Self::over(config, device, dataset, processor, path)?;
        if devices.len() > 1 {
            enough_for_all(config, devices.len())?;
            trainer.shards = Shards::new(&learning(config, &devices), config.shards)?;
        }
        if trainer.conversations.is_empty() {
            return Err(start::nothing_to_learn(config));
        }
        match checkpoint {
            Some((step, path)) => {
                trainer = trainer.restore(step, &path)?;
                journal.write(Event::Resumed { step, total_steps: config.steps })?;
            }
            None => journal.write(Event::Started {
                stage: config.stage.name().into(),
                total_steps: config.steps,
                train_samples: trainer.conversations.len(),
                validation_samples: match config.stage {
                    Stage::Foundation => trainer.dataset.validation.foundation.len(),
                    Stage::Perception => trainer.dataset.validation.grounding.len(),
                    _ => trainer.dataset.validation.spatial.len(),
                },
                parameters: trainer.model.num_params(),
                device: devices.iter().map(device::describe).collect::<Vec<_>>().join(", "),
            })?,
        }
        Ok(trainer)
    }

    /// The stage as it begins, with the weights of a checkpoint where one is given. The data set may be empty,
    /// where batches come from elsewhere.
    pub(super) fn over(
        config: &TrainConfig,
        device: &Device,
        dataset: Dataset,
        processor: Processor,
        checkpoint: Option<&Path>,
    ) -> Result<Self, TrainError> {
        let device = learning(config, std::slice::from_ref(device)).swap_remove(0);
        let (mut model, mut reference) = models(config, checkpoint, &device)?;
        if config.mixed_precision == MixedPrecision::Bf16 {
            model = model.multiply_in_bf16();
            reference = reference.map(Qwen2_5Vl::multiply_in_bf16);
        }
        let categories = categories(config, &dataset)?;
        let heads = (config.stage == Stage::Foundation).then(|| {
            let weights = &mut Weights::random(config.seed, &device);
            DenseHeads::new(weights, model.config().text.hidden_size, categories.len())
        });
        let heads = heads.transpose()?.map(|heads| name_parameters(heads, "heads"));
        Ok(Self {
            optimizer: AdamW::new(config.weight_decay),
            head_optimizer: AdamW::new(0.0),
            shards: Shards::new(std::slice::from_ref(&device), config.shards)?,
            config: config.clone(),
            device,
            processor: Arc::new(processor),
            categories: Arc::new(categories),
            conversations: Arc::new(conversations(&dataset, config)),
            model,
            reference,
            heads,
            step: 0,
            dataset: Arc::new(dataset),
            under_way: Arc::default(),
        })
    }

    /// The model as it is, for answers.
    pub(super) fn answering(&self) -> Qwen2_5Vl {
        match self.config.mixed_precision {
            MixedPrecision::No => self.model.valid(),
            // Rounded once here, not for every token.
            MixedPrecision::Bf16 => self.model.valid().multiply_in_bf16(),
        }
    }

    fn encoder(&self) -> Encoder {
        Encoder {
            dataset: self.dataset.clone(),
            processor: self.processor.clone(),
            config: self.config.clone(),
            categories: self.categories.clone(),
            conversations: self.conversations.clone(),
        }
    }

    fn restore(mut self, step: u64, path: &Path) -> Result<Self, TrainError> {
        let fault = |message: String| TrainError::Checkpoint {
            path: path.to_owned(),
            message: format!("{message}. Remove this checkpoint to go on from the one before"),
        };
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
            if self.model.has_lora() {
                self.model.save_lora(dir, &self.config.model)?;
            } else {
                self.model.save(dir, Precision::F32)?;
            }
            self.processor.save(dir)?;
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

    /// Puts the model into a folder, adapters added into it, in place of what the folder held, which stays until the new
    /// one is whole. `note`, if any, is a file beside it: name, contents.
    fn write_model(&self, path: &Path, note: Option<(&str, &str)>) -> Result<(), TrainError> {
        recover(path)?;
        let [fresh, old] = beside(path);
        for leftover in [&fresh, &old] {
            if leftover.exists() {
                std::fs::remove_dir_all(leftover).map_err(TrainError::io(leftover))?;
            }
        }
        let partial = PartialDir::create(&fresh)?;
        self.model.clone().merge_lora()?.save(partial.path(), Precision::F32)?;
        self.processor.save(partial.path())?;
        if let Some((name, text)) = note {
            write_atomic(&partial.path().join(name), text.as_bytes())?;
        }
        partial.finish()?;
        if path.exists() {
            std::fs::rename(path, &old).map_err(TrainError::io(path))?;
        }
        std::fs::rename(&fresh, path).map_err(TrainError::io(path))?;
        if old.exists() {
            std::fs::remove_dir_all(&old).map_err(TrainError::io(&old))?;
        }
        Ok(())
    }

    /// Steps until the end or until it is to stop. `examined`: whether the evaluation that may be due where it begins is in the
    /// log already; one that was stopped is not.
    fn run(
        &mut self,
        run: &RunDir,
        examined: bool,
        stop: &AtomicBool,
        journal: &mut Journal<'_>,
    ) -> Result<Outcome, TrainError> {
        let processor = self.processor.clone();
        let evaluator = self.held_out(&processor)?;
        let mut pace = Pace::new(self.config.steps, self.config.evaluate_every, !evaluator.is_empty());
        if !examined && (self.step == 0 || self.evaluation_is_due()) {
            let since = Instant::now();
            if !self.evaluate(&evaluator, run, stop, journal)? {
                return self.stopped(self.step, run, journal);
            }
            pace.evaluation_took(since.elapsed());
        }
        let batches = batches::spawn(self.encoder(), self.step);
        let mut saved = self.step;
        let to_stop = || stop.load(Ordering::Relaxed) || run.stop_requested();
        while self.step < self.config.steps {
            if to_stop() {
                return self.stopped(saved, run, journal);
            }
            let work =
                (0..self.config.accumulation).map(|_| next_batch(&batches)).collect::<Result<_, _>>()?;
            self.under_way = Arc::new(work);
            let done = match self.config.stage {
                Stage::Reasoning => self.reinforced_step(&self.under_way.clone(), run, &to_stop)?,
                _ => Some(self.supervised_step(&self.under_way.clone(), run)?),
            };
            self.under_way = Arc::default();
            let Some(done) = done else { return self.stopped(saved, run, journal) };
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
            // Before the evaluation, whose best model may be what fills the disk.
            if self.step == self.config.steps || self.step.is_multiple_of(self.config.checkpoint_every) {
                self.save_checkpoint(run, journal)?;
                saved = self.step;
            }
            if self.evaluation_is_due() {
                let since = Instant::now();
                if !self.evaluate(&evaluator, run, stop, journal)? {
                    return self.stopped(saved, run, journal);
                }
                pace.evaluation_took(since.elapsed());
            }
        }
        let path = run.model_dir();
        self.write_model(&path, None)?;
        if self.model.has_lora() {
            self.model.save_lora(&run.root().join("adapter"), &self.config.model)?;
        }
        journal.write(Event::Finished { step: self.step, model: path.display().to_string() })?;
        Ok(Outcome::Finished)
    }

    /// Ends the run for now, with a checkpoint if its last is of before this step.
    fn stopped(&self, saved: u64, run: &RunDir, journal: &mut Journal<'_>) -> Result<Outcome, TrainError> {
        if saved < self.step {
            self.save_checkpoint(run, journal)?;
        }
        journal.write(Event::Stopped { step: self.step })?;
        Ok(Outcome::Stopped)
    }

    /// Whether the last step was one after which the model is examined.
    fn evaluation_is_due(&self) -> bool {
        let every = self.config.evaluate_every;
        every > 0 && (self.step == self.config.steps || self.step.is_multiple_of(every))
    }

    /// The error that ends a run whose loss or gradient is no number any more, with the batch written down.
    pub(super) fn diverged<'a>(
        &self,
        what: &'static str,
        value: f64,
        batch: impl Iterator<Item = &'a Encoded>,
        run: &RunDir,
    ) -> TrainError {
        match self.write_down("diverged", batch, run) {
            Ok(batch) => TrainError::Diverged { step: self.step + 1, what, value, batch },
            Err(error) => error,
        }
    }

    /// The error that ends a run whose device failed, with the batch under way written down.
    fn broke_off(&self, message: String, run: &RunDir) -> TrainError {
        let samples = self.under_way.iter().flatten().map(|sample| &sample.encoded);
        let batch = match self.under_way.is_empty() {
            true => String::new(),
            false => match self.write_down("broke_off", samples, run) {
                Ok(path) => format!("; the questions of the batch under way are in {}", path.display()),
                Err(error) => format!("; the batch under way could not be written down: {error}"),
            },
        };
        TrainError::BrokeOff { step: self.step, message, batch }
    }

    /// Writes down the texts of a batch of the next step.
    fn write_down<'a>(
        &self,
        why: &str,
        batch: impl Iterator<Item = &'a Encoded>,
        run: &RunDir,
    ) -> Result<PathBuf, TrainError> {
        let path = run.samples_dir().join(format!("{why}_step_{:06}.txt", self.step + 1));
        let texts: Vec<String> = batch.map(|encoded| self.processor.decode(&encoded.token_ids)).collect();
        write_atomic(&path, texts.join("\n\n").as_bytes())?;
        Ok(path)
    }
}

/// Where a model is that is about to take the place of the one in `path`, and the one whose place was taken.
fn beside(path: &Path) -> [PathBuf; 2] {
    [".new", ".old"].map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        name.into()
    })
}

/// Gives `path` the model that was to be there when a run was killed between taking one away and naming the next.
pub(super) fn recover(path: &Path) -> Result<(), TrainError> {
    match beside(path).into_iter().find(|model| model.exists()).filter(|_| !path.exists()) {
        Some(model) => std::fs::rename(&model, path).map_err(TrainError::io(path)),
        None => Ok(()),
    }
}

/// The next batch of the run.
fn next_batch(batches: &Batches) -> Result<Vec<Prepared>, TrainError> {
    batches.recv().map_err(|_| TrainError::Data("the thread that prepares batches ended early".into()))?
}

/// One JSON object a line, all at once: the window reads what is there while the run goes on.
pub fn write_lines<T: serde::Serialize>(path: &Path, rows: &[T]) -> Result<(), TrainError> {
    let lines: Vec<String> = rows.iter().filter_map(|row| serde_json::to_string(row).ok()).collect();
    Ok(write_atomic(path, (lines.join("\n") + "\n").as_bytes())?)
}

/// What a step did.
#[derive(Default)]
pub struct StepDone {
    pub loss: f64,
    pub parts: Vec<(String, f64)>,
    pub learning_rate: f64,
    pub gradient_norm: f64,
    pub samples: usize,
    pub tokens: usize,
}

impl StepDone {
    pub fn count(&mut self, batch: &[Prepared]) {
        self.samples += batch.len();
        self.tokens += batch.iter().map(|sample| sample.encoded.token_ids.len()).sum::<usize>();
    }

    pub fn add(&mut self, loss: f64, terms: Vec<(String, f64)>) {
        self.loss += loss;
        for (name, value) in terms {
            match self.parts.iter_mut().find(|(known, _)| *known == name) {
                Some((_, sum)) => *sum += value,
                None => self.parts.push((name, value)),
            }
        }
    }
}
