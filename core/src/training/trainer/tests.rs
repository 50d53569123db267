//! Steps of the tiny model, and what is left of a run that was killed.

use super::super::batches::conversation;
use super::super::config::Preset;
use super::super::losses::AnswerTargets;
use super::*;
use crate::model::{ModelInput, bundled};
use crate::samples::Split;
use burn::module::{ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

fn trainer() -> Trainer {
    over_nothing(&understanding()).unwrap()
}

fn understanding() -> TrainConfig {
    TrainConfig::new(Stage::Understanding, Preset::Corrected, "data".into(), "tiny".into())
}

/// A trainer whose data set holds nothing.
fn over_nothing(config: &TrainConfig) -> Result<Trainer, TrainError> {
    let empty = Dataset {
        root: "data".into(),
        info: None,
        train: Split::default(),
        validation: Split::default(),
        evidence: Vec::new(),
    };
    Trainer::over(config, &Device::flex(), empty, bundled::processor().unwrap(), None)
}

/// A picture, a question and an answer.
fn sample(trainer: &Trainer, shade: u8, answer: &str) -> Prepared {
    several(trainer, &[shade], answer)
}

/// Pictures, a question about them and an answer.
fn several(trainer: &Trainer, shades: &[u8], answer: &str) -> Prepared {
    let picture = |shade: &u8| image::RgbImage::from_pixel(112, 84, image::Rgb([*shade, 90, 255 - shade]));
    let patches: Vec<_> =
        shades.iter().map(|shade| trainer.processor.image.preprocess(&picture(shade)).unwrap()).collect();
    let messages = conversation(patches.len(), "What is left of the bed?", Some(answer));
    let encoded = trainer.processor.encode(&messages, patches, false).unwrap();
    Prepared { encoded, labels: None, question: None }
}

/// All parameters, one after the other.
fn weights(model: &Qwen2_5Vl) -> Vec<f32> {
    struct All(Vec<f32>);
    impl ModuleVisitor for All {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.0.extend(param.val().into_data().iter::<f32>());
        }
    }
    let mut all = All(Vec::new());
    model.visit(&mut all);
    all.0
}

#[test]
fn a_token_weighs_the_same_in_whichever_batch_of_a_step_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(dir.path()).unwrap();
    let step = |sizes: &[usize]| {
        let mut trainer = trainer();
        let answers = ["a lamp", "a chair, a table and another chair, as far as I can tell", "B"];
        let mut all =
            answers.iter().zip([10, 120, 240]).map(|(answer, shade)| sample(&trainer, shade, answer));
        let work: Vec<Vec<Prepared>> = sizes.iter().map(|size| all.by_ref().take(*size).collect()).collect();
        let done = trainer.supervised_step(&work, &run).unwrap();
        assert_eq!(done.samples, 3);
        (done.loss, done.gradient_norm, weights(&trainer.model))
    };
    let (together, apart) = (step(&[3]), step(&[1, 2]));
    assert!((together.0 - apart.0).abs() < 1e-5 * together.0, "{} {}", together.0, apart.0);
    assert!((together.1 - apart.1).abs() < 1e-4 * together.1, "{} {}", together.1, apart.1);
    // Adam's first step is the sign of the gradient: where that is nearly zero, rounding decides.
    let differ = together.2.iter().zip(&apart.2).filter(|(a, b)| (*a - *b).abs() > 1e-6).count();
    assert!(differ * 100 < together.2.len(), "{differ} of {}", together.2.len());
}

#[test]
fn image_tokens_learn_the_number_of_their_picture() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(dir.path()).unwrap();
    let mut trainer = trainer();
    (trainer.config.steps, trainer.config.warmup, trainer.config.picture_numbers) = (30, 0.0, 1.0);
    let step = |trainer: &mut Trainer| {
        let samples = vec![
            several(trainer, &[10, 120, 60], "a lamp, of picture 3"),
            sample(trainer, 200, "a chair"),
            several(trainer, &[80, 30], "a table"),
        ];
        let done = trainer.supervised_step(&[samples], &run).unwrap();
        let names: Vec<&str> = done.parts.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["answer", "pictures_told_apart", "pictures_named"]);
        let [answer, shown, named] = [0, 1, 2].map(|at| done.parts[at].1);
        let weight = trainer.config.picture_numbers;
        assert!((answer + weight * (shown + named) - done.loss).abs() < 1e-5 * done.loss);
        shown
    };
    let first = step(&mut trainer);
    let last = (1..30).map(|_| step(&mut trainer)).last().unwrap();
    assert!(last < first * 0.2, "{first} {last}");

    // Where it weighs nothing, nothing is computed.
    trainer.config.picture_numbers = 0.0;
    let samples = vec![several(&trainer, &[10, 120], "a lamp")];
    assert!(trainer.supervised_step(&[samples], &run).unwrap().parts.is_empty());
}

/// A question and an answer without a picture.
fn text(trainer: &Trainer, answer: &str) -> Prepared {
    several(trainer, &[], answer)
}

#[test]
fn texts_of_too_few_names_are_refused() {
    let config = TrainConfig { look_ups: 0.1, ..understanding() };
    let error = over_nothing(&config).err().expect("no boxes, no names").to_string();
    assert!(error.contains("the boxes of data have 0; set look_ups=0"), "{error}");
}

#[test]
fn texts_alone_are_learned_from_by_the_language_model_only() {
    let dir = tempfile::tempdir().unwrap();
    let run = RunDir::create(dir.path()).unwrap();
    let mut trainer = trainer();
    // Two parts, the second with a copy of its own of what learns.
    (trainer.config.steps, trainer.config.warmup) = (10, 0.0);
    trainer.shards = Shards::new(&[trainer.device.clone()], 2).unwrap();
    let seeing = |trainer: &Trainer| -> Vec<f32> {
        let tensors = trainer.model.named_tensors();
        tensors
            .iter()
            .filter(|tensor| tensor.name.starts_with("visual."))
            .flat_map(|t| (t.values)())
            .collect()
    };
    let (eyes, before) = (seeing(&trainer), weights(&trainer.model));
    let texts = vec![text(&trainer, "a lamp"), text(&trainer, "a chair")];
    let first = trainer.supervised_step(std::slice::from_ref(&texts), &run).unwrap();
    assert!(seeing(&trainer) == eyes && weights(&trainer.model) != before);
    let [(name, value)] = first.parts.as_slice() else { panic!("{:?}", first.parts) };
    assert!(name == "text" && (value - first.loss).abs() < 1e-6, "{name} {value} {}", first.loss);
    let second = trainer.supervised_step(std::slice::from_ref(&texts), &run).unwrap();
    assert!(second.loss < first.loss, "{} {}", second.loss, first.loss);
    // Beside pictures, in the same batch and in another of the same step.
    let with_picture = || vec![sample(&trainer, 90, "a lamp"), texts[0].clone()];
    let work = [with_picture(), texts.clone()];
    trainer.supervised_step(&work, &run).unwrap();
    assert!(seeing(&trainer) != eyes);
}

#[test]
fn a_gradient_that_is_no_number_moves_nothing() {
    struct Spoil<'a>(&'a mut GradientsParams);
    impl ModuleVisitor for Spoil<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let shape = param.val().dims();
            self.0.register(param.id, Tensor::<D>::full(shape, f32::NAN, &Device::flex()));
        }
    }
    let mut trainer = trainer();
    let (before, state) = (weights(&trainer.model), trainer.optimizer.to_bytes().unwrap());
    let mut gradients = GradientsParams::new();
    trainer.model.model.visit(&mut Spoil(&mut gradients));
    let mut done = StepDone::default();
    assert!(!trainer.update(&mut done, gradients));
    assert!(done.gradient_norm.is_nan());
    assert!(weights(&trainer.model) == before && trainer.optimizer.to_bytes().unwrap() == state);
}

#[test]
fn padding_to_a_round_length_changes_no_loss() {
    let trainer = trainer();
    let samples = [sample(&trainer, 10, "a lamp"), sample(&trainer, 200, "a chair and a table")];
    let encoded: Vec<&Encoded> = samples.iter().map(|sample| &sample.encoded).collect();
    let images: Vec<_> = encoded.iter().flat_map(|sample| &sample.images).collect();
    let tokens = trainer.model.encode_images(&images).unwrap();
    let loss = |multiple: usize| {
        let input = ModelInput::padded(&encoded, trainer.model.config(), &trainer.device, multiple).unwrap();
        let width = input.token_ids.dims()[1];
        assert!(width.is_multiple_of(multiple));
        let targets = AnswerTargets::new(&encoded, width);
        let input = input.with_images(tokens.clone());
        targets.losses(&trainer.model, trainer.model.hidden(&input, None)).mean().into_scalar::<f32>()
    };
    assert!((loss(1) - loss(64)).abs() < 1e-5, "{} {}", loss(1), loss(64));
}

#[test]
fn a_model_whose_place_was_being_taken_is_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("best");
    let [fresh, old] = beside(&path);
    let put = |at: &Path, text: &str| {
        std::fs::create_dir(at).unwrap();
        std::fs::write(at.join("model"), text).unwrap();
    };
    let found = || std::fs::read_to_string(path.join("model")).ok();
    recover(&path).unwrap();
    assert_eq!(found(), None);
    // Killed when the old one was out of the way and the new one, which is whole, had not its name yet.
    put(&fresh, "new");
    put(&old, "old");
    recover(&path).unwrap();
    assert_eq!(found().as_deref(), Some("new"));
    // Killed while the new one was being written: nothing to do.
    recover(&path).unwrap();
    assert_eq!(found().as_deref(), Some("new"));
    std::fs::remove_dir_all(&path).unwrap();
    recover(&path).unwrap();
    assert_eq!(found().as_deref(), Some("old"));
}
