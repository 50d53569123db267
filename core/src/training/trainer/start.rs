//! What a stage starts with: its part of the data, its devices, its models.

use super::super::batches::{self, Conversation, Encoder};
use super::super::config::{MixedPrecision, Stage};
use super::super::optimizer::name_parameters;
use super::super::{TrainConfig, TrainError};
use crate::model::{Qwen2_5Vl, bundled, device};
use crate::processor::Processor;
use crate::questions::LOOK_UP_NAMES;
use crate::samples::Dataset;
use burn::module::Module as _;
use burn::tensor::Device;
use std::path::Path;
use std::sync::Arc;

/// What a stage takes from a data set.
pub fn conversations(dataset: &Dataset, config: &TrainConfig) -> Vec<Conversation> {
    let turns = if config.stage == Stage::Reasoning { 1 } else { config.turns };
    batches::conversations(&dataset.train, config.stage, &config.mixture, turns)
}

/// Why a stage has no samples.
pub fn nothing_to_learn(config: &TrainConfig) -> TrainError {
    let (data, stage) = (config.data.display(), config.stage.name());
    if config.stage != Stage::Foundation && config.mixture.is_empty() {
        return TrainError::Config(format!(
            "the mixture of stage {stage} takes nothing of {data}: set one of mixture.* above 0"
        ));
    }
    let preset = match config.stage {
        Stage::Foundation => " --config foundation",
        Stage::Perception => "",
        Stage::Understanding | Stage::ColdStart | Stage::Reasoning => " --config climb",
    };
    TrainError::Data(format!(
        "{data} holds no samples for stage {stage}. Build a data set with `data build{preset}`"
    ))
}

/// How much a stage has to learn from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StageSize {
    /// Samples of an epoch.
    pub samples: usize,
    /// The mean length of a sample in tokens, prompts and answers, over some of them and of the texts that stand in for them.
    pub mean_tokens: f64,
    /// Of it what is answered.
    pub mean_answer_tokens: f64,
}

impl StageSize {
    /// # Errors
    /// The data set or the model's processor cannot be read, or the stage has no samples.
    pub fn measure(config: &TrainConfig) -> Result<Self, TrainError> {
        const LOOKED_AT: usize = 96;
        let dataset = Arc::new(Dataset::open(&config.data)?);
        let conversations = conversations(&dataset, config);
        let samples = conversations.len();
        if samples == 0 {
            return Err(nothing_to_learn(config));
        }
        let encoder = Encoder {
            categories: Arc::new(categories(config, &dataset)?),
            dataset,
            processor: Arc::new(processor(config)?),
            config: config.clone(),
            conversations: Arc::new(conversations),
        };
        let count = LOOKED_AT.min(samples);
        let (mut tokens, mut answered) = (0, 0);
        for at in 0..count {
            let sample = encoder.prepare(&encoder.conversations[at * samples / count], 0)?.encoded;
            tokens += sample.token_ids.len();
            answered += sample.answer_spans.iter().map(ExactSizeIterator::len).sum::<usize>();
        }
        let mean = |sum: usize, count: usize| sum as f64 / count as f64;
        let [mut mean_tokens, mut mean_answer_tokens] = [tokens, answered].map(|sum| mean(sum, count));
        if config.look_ups > 0.0 {
            let batches = LOOKED_AT.div_ceil(config.batch_size);
            let (mut tokens, mut answered) = (0, 0);
            for batch in 0..batches {
                for text in encoder.look_ups(batch as u64)? {
                    tokens += text.encoded.token_ids.len();
                    answered += text.encoded.answer_spans.iter().map(ExactSizeIterator::len).sum::<usize>();
                }
            }
            // The texts of a batch stand in for its samples.
            let mix = |pictures: f64, texts: usize| {
                pictures + config.look_ups * (mean(texts, batches * config.batch_size) - pictures)
            };
            (mean_tokens, mean_answer_tokens) = (mix(mean_tokens, tokens), mix(mean_answer_tokens, answered));
        }
        Ok(Self { samples, mean_tokens, mean_answer_tokens })
    }
}

/// The names of things in the rows to train on, enough for what is made of them.
pub fn categories(config: &TrainConfig, dataset: &Dataset) -> Result<Vec<String>, TrainError> {
    let names = dataset.train.labels();
    if config.look_ups > 0.0 && names.len() < LOOK_UP_NAMES {
        return Err(TrainError::Config(format!(
            "look_ups: texts are made of at least {LOOK_UP_NAMES} names, and the boxes of {} have {}; set look_ups=0",
            config.data.display(),
            names.len()
        )));
    }
    Ok(names)
}

/// The processor of the model that the run starts from, with the run's limits.
pub fn processor(config: &TrainConfig) -> Result<Processor, TrainError> {
    let mut processor = match bundled::Bundled::from_name(&config.model)? {
        Some(_) => bundled::processor()?,
        None => Processor::load(Path::new(&config.model))?,
    };
    if config.min_pixels > 0 {
        processor.image.min_pixels = config.min_pixels;
    }
    if config.max_pixels > 0 {
        processor.image.max_pixels = config.max_pixels;
    }
    Ok(processor)
}

/// Devices with automatic differentiation.
pub fn learning(config: &TrainConfig, devices: &[Device]) -> Vec<Device> {
    let learning = |device: &Device| {
        let device = device.clone().autodiff();
        if config.gradient_checkpointing { device.gradient_checkpointing() } else { device }
    };
    devices.iter().map(learning).collect()
}

/// Refuses devices that do not compute as the run is to.
pub fn can_compute(config: &TrainConfig, devices: &[Device]) -> Result<(), TrainError> {
    let refused = devices
        .iter()
        .find(|device| config.mixed_precision == MixedPrecision::Bf16 && !device::is_cuda(device));
    match refused {
        Some(refused) => Err(TrainError::Config(format!(
            "mixed_precision=bf16 needs a CUDA GPU, and this is {}; set mixed_precision=no",
            device::describe(refused)
        ))),
        None => Ok(()),
    }
}

/// Refuses batches from which some of the devices would never get a part.
pub fn enough_for_all(config: &TrainConfig, devices: usize) -> Result<(), TrainError> {
    let mut sizes = vec![("batch_size", config.batch_size)];
    if config.stage == Stage::Reasoning {
        sizes.push(("reinforcement.micro_batch", config.reinforcement.micro_batch));
    }
    match sizes.into_iter().find(|(_, size)| *size < devices) {
        Some((field, size)) => Err(TrainError::Config(format!(
            "{field}={size} leaves some of {devices} devices without work, since each takes its part of it: set \
             {field}={devices} or more{}",
            if field == "batch_size" && config.accumulation > 1 {
                ", and accumulation so much smaller for steps of the same size"
            } else {
                ""
            }
        ))),
        None => Ok(()),
    }
}

/// The model to train, from a checkpoint where there is one, and in the reasoning stage its reference.
pub fn models(
    config: &TrainConfig,
    checkpoint: Option<&Path>,
    device: &Device,
) -> Result<(Qwen2_5Vl, Option<Qwen2_5Vl>), TrainError> {
    let start = |device: &Device| -> Result<Qwen2_5Vl, TrainError> {
        let model = bundled::open_model(&config.model, config.seed, device)?;
        let refused = |message: &str| Err(TrainError::Config(format!("{}: {message}", config.model)));
        if model.config().quantization.is_some() {
            return refused("weights in few bits do not learn; train the model that they were made of");
        }
        if model.has_lora() {
            return refused("these are adapters; add them into their model with `merge`, and train that");
        }
        Ok(model)
    };
    let mut model = match (checkpoint, config.lora.rank) {
        (Some(path), 0) => Qwen2_5Vl::load(path, device)?,
        (Some(path), _) => start(device)?.load_lora(path)?,
        (None, 0) => start(device)?,
        (None, _) => start(device)?.with_lora(&config.lora, config.seed)?,
    };
    model = name_parameters(model, "model");
    if config.lora.rank > 0 {
        // Naming makes parameters anew, and new ones learn.
        model = model.freeze_all_but_lora();
    }
    let freeze = &config.freeze;
    if freeze.vision {
        model.visual.patch_embed = model.visual.patch_embed.no_grad();
        model.visual.blocks = model.visual.blocks.no_grad();
    }
    if freeze.merger {
        model.visual.merger = model.visual.merger.no_grad();
    }
    if freeze.language && config.lora.rank == 0 {
        model.model = model.model.no_grad();
        model.lm_head = model.lm_head.no_grad();
    }
    let reference = match config.lora.rank {
        // Nothing holds the model back, and its memory is saved.
        _ if config.stage != Stage::Reasoning || config.reinforcement.kl == 0.0 => None,
        0 => Some(start(&device.clone().inner())?),
        // The same weights, the adapters off.
        _ => Some(model.valid().without_lora()),
    };
    Ok((model, reference))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::questions::{self, BuildRequest, QuestionConfig, SourceSpec, build};
    use crate::training::config::Preset;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn texts_count_in_the_mean_length_of_samples() {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("data");
        let (source, config) = (SourceSpec::Rooms(3), QuestionConfig::preset(questions::Preset::Climb));
        let request = BuildRequest {
            source: &source,
            out: &out,
            config: &config,
            seed: 1,
            limit: None,
            skip_bad: false,
        };
        build(&request, &|_| (), &AtomicBool::new(false)).unwrap();
        let measured = |look_ups: f64| {
            let mut config =
                TrainConfig::new(Stage::ColdStart, Preset::Corrected, out.clone(), "tiny".into());
            config.look_ups = look_ups;
            StageSize::measure(&config).unwrap()
        };
        let (pictures, mixed, texts) = (measured(0.0), measured(0.25), measured(1.0));
        assert_eq!((pictures.samples, mixed.samples), (texts.samples, texts.samples));
        for of in [|size: &StageSize| size.mean_tokens, |size: &StageSize| size.mean_answer_tokens] {
            let expected = 0.75 * of(&pictures) + 0.25 * of(&texts);
            assert!((of(&mixed) - expected).abs() < 1e-9 * expected, "{pictures:?} {mixed:?} {texts:?}");
        }
        assert!(pictures.mean_tokens > texts.mean_tokens && texts.mean_answer_tokens > 50.0);
    }

    #[test]
    fn a_stage_without_samples_says_whether_data_or_mixture_is_to_blame() {
        let mut config =
            TrainConfig::new(Stage::Understanding, Preset::Corrected, "rooms".into(), "tiny".into());
        let data = nothing_to_learn(&config).to_string();
        assert!(data.contains("rooms holds no samples for stage understanding"), "{data}");
        assert!(data.contains("data build --config climb"), "{data}");
        for field in ["localization", "single_image", "multi_view", "video", "cold_start"] {
            config.set(&format!("mixture.{field}=0")).expect("a weight");
        }
        let mixture = nothing_to_learn(&config).to_string();
        assert!(mixture.contains("set one of mixture.* above 0"), "{mixture}");
    }
}
