//! What is kept from one question to the next: encoded images, and the keys and values of the last conversation.

use crate::model::qwen2_5_vl::Qwen2_5VlConfig;
use crate::model::{KvCache, ModelError, Qwen2_5Vl};
use crate::processor::{Encoded, PixelPatches};
use burn::tensor::Tensor;
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Encoded images that are kept.
const IMAGES: usize = 16;

/// Serves one model; empty at first. A second question about the same images is answered without encoding these
/// again, and reads only what differs from the last conversation.
#[derive(Debug, Default)]
pub struct Memory {
    /// By what they are made of, the latest last.
    images: VecDeque<(u64, Tensor<2>)>,
    last: Option<Conversation>,
}

/// What a model has read and said.
#[derive(Debug)]
struct Conversation {
    /// As many as the cache has columns.
    token_ids: Vec<u32>,
    images: Vec<u64>,
    cache: KvCache,
}

impl Memory {
    /// As [`Qwen2_5Vl::encode_images`].
    pub(super) fn encode(
        &mut self,
        model: &Qwen2_5Vl,
        images: &[PixelPatches],
    ) -> Result<Tensor<2>, ModelError> {
        let mut parts = Vec::with_capacity(images.len());
        for image in images {
            let key = fingerprint(image);
            let tokens = match self.images.iter().position(|(known, _)| *known == key) {
                // Moved to the end, where the latest are.
                Some(at) => self.images.remove(at).map(|(_, tokens)| tokens),
                None => None,
            };
            let tokens = match tokens {
                Some(tokens) => tokens,
                None => model.encode_images(&[image])?,
            };
            self.images.push_back((key, tokens.clone()));
            parts.push(tokens);
        }
        while self.images.len() > IMAGES.max(images.len()) {
            self.images.pop_front();
        }
        Ok(Tensor::cat(parts, 0))
    }

    /// How many tokens at the start of the prompt were read already, and their keys and values. At least one token is
    /// left to read, and images are either read whole or not at all.
    pub(super) fn recall(&mut self, prompt: &Encoded, config: &Qwen2_5VlConfig) -> Option<(usize, KvCache)> {
        let mut last = self.last.take()?;
        if !prompt.images.iter().map(fingerprint).eq(last.images.iter().copied()) {
            return None;
        }
        let pairs = last.token_ids.iter().zip(&prompt.token_ids);
        let common = pairs.take_while(|(one, other)| one == other).count().min(prompt.token_ids.len() - 1);
        let unread = &prompt.token_ids[common..];
        if common == 0 || unread.iter().any(|token| config.is_visual(*token)) {
            return None;
        }
        last.cache.truncate(common);
        Some((common, last.cache))
    }

    /// Keeps what was read and said of one prompt.
    pub(super) fn keep(&mut self, prompt: &Encoded, answer: &[u32], cache: KvCache) {
        let mut token_ids: Vec<u32> = prompt.token_ids.iter().chain(answer).copied().collect();
        // The last token of an answer was never read.
        token_ids.truncate(cache.len());
        let images = prompt.images.iter().map(fingerprint).collect();
        self.last = Some(Conversation { token_ids, images, cache });
    }
}

fn fingerprint(image: &PixelPatches) -> u64 {
    let mut hasher = DefaultHasher::new();
    image.grid_thw.hash(&mut hasher);
    image.seconds_per_grid.map(f32::to_bits).hash(&mut hasher);
    hasher.write(bytemuck::cast_slice(&image.data));
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answering::{Generation, GenerationOptions, GenerationTime, generate};
    use crate::model::Device;
    use crate::model::qwen2_5_vl::SpecialTokens;
    use std::ops::ControlFlow;

    const IMAGE: u32 = 5;

    fn model() -> Qwen2_5Vl {
        let tokens =
            SpecialTokens { image: IMAGE, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        Qwen2_5Vl::init(&Qwen2_5VlConfig::tiny(200, &tokens), None, 1, &Device::flex()).unwrap()
    }

    /// Two by two tokens of an image, then text.
    fn prompt(image: u32, text: &[u32]) -> Encoded {
        let count = 16 * 588;
        let patches = PixelPatches {
            data: (0..count).map(|i| ((i * 7919 + image) % 1000) as f32 / 500.0 - 1.0).collect(),
            grid_thw: [1, 4, 4],
            seconds_per_grid: None,
            original_size: (56, 56),
            resized_size: (56, 56),
        };
        let token_ids = [&[10, 3], [IMAGE; 4].as_slice(), &[4], text].concat();
        Encoded { token_ids, images: vec![patches], answer_spans: Vec::new() }
    }

    fn ask(model: &Qwen2_5Vl, prompt: &Encoded, memory: Option<&mut Memory>) -> (Generation, GenerationTime) {
        let options =
            GenerationOptions { max_new_tokens: 6, logprobs: true, ignore_end: true, ..Default::default() };
        let on_token = async |_, _| ControlFlow::Continue(());
        let answer = burn::tensor::read_sync(generate(model, &[prompt], &options, memory, on_token));
        let (mut generated, time) = answer.unwrap();
        (generated.remove(0), time)
    }

    #[test]
    fn remembering_changes_no_answer() {
        let (model, mut memory) = (model(), Memory::default());
        let first = prompt(1, &[20, 21, 22]);
        let (answer, _) = ask(&model, &first, None);
        let follow_up = [&[20, 21, 22], answer.token_ids.as_slice(), &[30, 31]].concat();
        for (what, prompt, remembered) in [
            ("the first", first, 0),
            ("the same again", prompt(1, &[20, 21, 22]), 9),
            ("another question", prompt(1, &[20, 25, 26, 27]), 8),
            ("another beginning", prompt(1, &[40]), 7),
            ("a follow-up, the first question asked before", prompt(1, &[20, 21, 22]), 7),
            // The last token of the answer was said, but not read.
            ("a follow-up", prompt(1, &follow_up), 15),
            ("another image", prompt(2, &[20, 21, 22]), 0),
            ("the first image", prompt(1, &[20, 21, 22]), 0),
        ] {
            let (expected, _) = ask(&model, &prompt, None);
            let (found, time) = ask(&model, &prompt, Some(&mut memory));
            assert_eq!((found.token_ids, time.remembered_tokens), (expected.token_ids, remembered), "{what}");
            for (one, other) in found.logprobs.iter().zip(&expected.logprobs) {
                assert!((one - other).abs() < 1e-4, "{what}: {one} {other}");
            }
        }
    }

    #[test]
    fn known_images_are_not_encoded_again() {
        let (model, mut memory) = (model(), Memory::default());
        let [one, two] = [1, 2].map(|image| prompt(image, &[]).images.remove(0));
        let expected: Vec<f32> =
            model.encode_images(&[&one, &two, &one]).unwrap().into_data().iter::<f32>().collect();
        for _ in 0..2 {
            let images = [one.clone(), two.clone(), one.clone()];
            let found = memory.encode(&model, &images).unwrap().into_data();
            for (found, expected) in found.iter::<f32>().zip(&expected) {
                assert!((found - expected).abs() < 1e-4);
            }
            assert_eq!(memory.images.len(), 2);
        }
        for image in 0..40 {
            memory.encode(&model, &prompt(image, &[]).images).unwrap();
        }
        assert_eq!(memory.images.len(), IMAGES);
    }
}
