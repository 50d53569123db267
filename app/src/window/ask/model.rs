//! Answers from a real model, in this process.

use super::engine::{Engine, Progress, Question};
use spatial_ladder::answering::{Answerer, AskOptions, GenerationOptions, Visuals};
use spatial_ladder::model::{DeviceChoice, device};
use spatial_ladder::processor::images;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an empty model field stands for.
const BUNDLED: &str = "tiny";

/// Keeps the last model, so that only the first question waits for it to load.
#[derive(Default)]
pub struct ModelEngine {
    loaded: Option<Loaded>,
}

struct Loaded {
    model: String,
    device: String,
    answerer: Answerer,
}

impl Engine for ModelEngine {
    fn answer(&mut self, question: &Question, stop: &AtomicBool, report: &mut dyn FnMut(Progress)) {
        let end = match self.try_answer(question, stop, report) {
            Ok(end) => end,
            Err(error) => Progress::Failed(format!("{error:#}")),
        };
        report(end);
    }

    fn forget(&mut self) {
        self.loaded = None;
    }
}

impl ModelEngine {
    fn try_answer(
        &mut self,
        question: &Question,
        stop: &AtomicBool,
        report: &mut dyn FnMut(Progress),
    ) -> anyhow::Result<Progress> {
        let is_stopped = || stop.load(Ordering::Relaxed);
        // What costs nothing is checked before the model is read.
        let picture = images::load(&question.image)?;
        if is_stopped() {
            return Ok(Progress::Stopped);
        }
        let model = if question.model.is_empty() { BUNDLED } else { &question.model };
        let known =
            self.loaded.take().filter(|known| known.model == model && known.device == question.device);
        let fresh = known.is_none();
        let loaded = match known {
            Some(known) => known,
            None => {
                let device = question.device.parse::<DeviceChoice>()?.open()?;
                report(Progress::Loading { device: device::describe(&device) });
                Loaded {
                    model: model.to_owned(),
                    device: question.device.clone(),
                    answerer: Answerer::load(model, &device)?,
                }
            }
        };
        let answerer = &self.loaded.insert(loaded).answerer;
        if is_stopped() {
            return Ok(Progress::Stopped);
        }
        report(Progress::Reading);
        let (prompt, choices) = (question.prompt, question.choices.clone());
        let constraint = question.constrain.then(|| answerer.constraint(prompt, &choices)).transpose()?;
        let generation = GenerationOptions {
            max_new_tokens: question.max_new_tokens,
            constraint,
            ..GenerationOptions::default()
        };
        let options = AskOptions { prompt, choices, generation, ..AskOptions::default() };
        // Following the tokenizer to hold an answer to a form takes a while.
        if is_stopped() {
            return Ok(Progress::Stopped);
        }
        let mut answer = answerer.ask(Visuals::Images(&[picture]), &question.text, &options, |text| {
            if is_stopped() {
                return ControlFlow::Break(());
            }
            report(Progress::Text(text.to_owned()));
            ControlFlow::Continue(())
        })?;
        if !fresh {
            answer.timings.load_s = 0.0;
        }
        Ok(Progress::Done(Box::new(answer)))
    }
}
