//! Batches of texts alone: questions that are answered from their own text.

use super::{Encoder, Prepared, conversation};
use crate::questions::look_up;
use crate::scenes::Dice;
use crate::training::TrainError;
use crate::training::config::Stage;

/// Keep the dice of look-ups apart from those of samples: whether a batch is of them, and what they are.
const LOOK_UP: u64 = 0x6c6f_6f6b;
const LOOK_UP_TEXT: u64 = 0x7465_7874;

impl Encoder {
    /// Whether a batch, by its number in the run, has texts alone.
    pub(super) fn is_look_up(&self, batch: u64) -> bool {
        let config = &self.config;
        let step = batch / config.accumulation as u64;
        let without_text =
            if config.stage == Stage::Foundation { config.foundation.captions_after } else { 0.0 };
        step as f64 >= without_text * config.steps as f64
            && Dice::new(config.seed ^ LOOK_UP, batch).chance(config.look_ups as f32)
    }

    /// A batch of texts alone: as many as there are questions in one about pictures.
    pub fn look_ups(&self, batch: u64) -> Result<Vec<Prepared>, TrainError> {
        let turns = if self.config.stage == Stage::Foundation { 1 } else { self.config.turns };
        let texts = (self.config.batch_size * turns) as u64;
        let prepare = |text: u64| {
            let dice = &mut Dice::new(self.config.seed ^ LOOK_UP_TEXT, batch * texts + text);
            let (question, answer) = look_up(&self.categories, dice);
            let messages = conversation(0, &question, Some(&answer));
            let encoded = self.processor.encode(&messages, Vec::new(), false)?;
            Ok(Prepared { encoded, labels: None, question: None })
        };
        (0..texts).map(prepare).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundled;
    use crate::samples::{Dataset, Split};
    use crate::training::TrainConfig;
    use crate::training::config::Preset;
    use std::sync::Arc;

    fn encoder(stage: Stage) -> Encoder {
        let mut config = TrainConfig::new(stage, Preset::Corrected, "data".into(), "tiny".into());
        (config.look_ups, config.steps) = (0.3, 400);
        let dataset = Dataset {
            root: "data".into(),
            info: None,
            train: Split::default(),
            validation: Split::default(),
            evidence: Vec::new(),
        };
        let names = ["bed", "tv", "lamp", "chair", "sofa", "desk", "door", "cup"];
        Encoder {
            dataset: Arc::new(dataset),
            processor: Arc::new(bundled::processor().unwrap()),
            config,
            categories: Arc::new(names.map(str::to_owned).to_vec()),
            conversations: Arc::default(),
        }
    }

    #[test]
    fn a_share_of_the_batches_is_text_alone() {
        let mut encoder = encoder(Stage::ColdStart);
        let count = |encoder: &Encoder, batches: std::ops::Range<u64>| {
            batches.filter(|batch| encoder.is_look_up(*batch)).count()
        };
        assert!((90..150).contains(&count(&encoder, 0..400)));
        encoder.config.look_ups = 0.0;
        assert_eq!(count(&encoder, 0..400), 0);
        encoder.config.look_ups = 1.0;
        assert_eq!(count(&encoder, 0..400), 400);
        // Not before the foundation stage has come to its captions, which is counted in steps.
        encoder.config.stage = Stage::Foundation;
        encoder.config.foundation.captions_after = 0.5;
        encoder.config.accumulation = 2;
        assert_eq!(count(&encoder, 0..400), 0);
        assert_eq!(count(&encoder, 400..800), 400);
    }

    #[test]
    fn a_batch_of_texts_is_the_same_whenever_it_is_drawn() {
        let encoder = encoder(Stage::ColdStart);
        let drawn = |batch: u64| -> Vec<Vec<u32>> {
            let samples = encoder.look_ups(batch).unwrap();
            assert!(samples.iter().all(|sample| sample.encoded.images.is_empty()));
            assert!(samples.iter().all(|sample| sample.encoded.answer_spans.len() == 1));
            samples.into_iter().map(|sample| sample.encoded.token_ids).collect()
        };
        let (first, second) = (drawn(7), drawn(8));
        assert_eq!(first.len(), encoder.config.batch_size * encoder.config.turns);
        assert_eq!(first, drawn(7));
        assert!(first.iter().all(|text| !second.contains(text)));
        let text = encoder.processor.decode(&first[0]);
        assert!(text.contains("assistant"), "{text}");
    }
}
