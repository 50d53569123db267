//! The language loss: cross-entropy of the answer's tokens, and of nothing else; and what a small model needs beside it to
//! tell pictures apart.

use crate::model::{Qwen2_5Vl, fused};
use crate::processor::{Encoded, Processor};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use std::ops::Range;

/// How many tokens of a sample count.
pub fn answer_length(encoded: &Encoded) -> usize {
    encoded.answer_spans.iter().flat_map(Clone::clone).filter(|at| *at > 0).count()
}

/// Where a batch's answers stand: rows of the flattened `[batch * time]` hidden states that predict
/// them, and the tokens predicted.
pub struct AnswerTargets {
    rows: Vec<i32>,
    tokens: Vec<i32>,
}

impl AnswerTargets {
    /// `time` is the padded length of the batch.
    pub fn new(batch: &[&Encoded], time: usize) -> Self {
        let (mut rows, mut tokens) = (Vec::new(), Vec::new());
        for (index, encoded) in batch.iter().enumerate() {
            for at in encoded.answer_spans.iter().flat_map(Clone::clone).filter(|at| *at > 0) {
                rows.push((index * time + at - 1) as i32);
                tokens.push(encoded.token_ids[at] as i32);
            }
        }
        Self { rows, tokens }
    }

    /// The cross-entropy of each target, one after the other, from the last hidden states. Only the answers' rows go
    /// through the output layer.
    pub fn losses(&self, model: &Qwen2_5Vl, hidden: Tensor<3>) -> Tensor<1> {
        let device = hidden.device();
        let logits = model.logits(rows_of(hidden, &self.rows));
        fused::cross_entropy(logits, integers(&self.tokens, &device))
    }
}

/// What stands before the number of a picture in the thoughts that small models learn.
const NAMING: &str = " of picture ";

/// Where a batch's samples with several pictures, or frames of a video, have their image tokens, which number each is of, and
/// where their answers name a picture by its number.
///
/// To say in which picture a thing is, a model has to find the thing and to read off there what stands before that picture
/// only, or how late its frame is. Models of a few layers from random weights do not come to it by themselves: nothing is
/// gained before both halves are there, and the few numbers drown among the other tokens of an answer. So what comes out of
/// the first layer at an image token is, normed and through the rows of the number tokens, to tell the picture's number; and
/// the numbers of answers are a loss of their own.
pub struct PictureNumbers {
    rows: Vec<i32>,
    /// Counted from the token of 0.
    numbers: Vec<i32>,
    tokens: Range<u32>,
    /// Which of the batch's [`AnswerTargets`] name a picture.
    named: Vec<i32>,
}

impl PictureNumbers {
    /// So many numbers are told apart, from 0.
    const NUMBERS: u32 = 64;

    /// `time` is the padded length of the batch. Pictures beyond the tokenizer's numbers are left out.
    pub fn new(batch: &[&Encoded], time: usize, processor: &Processor) -> Self {
        let special = processor.tokenizer.special();
        let tokens = processor.tokenizer.number_token_range();
        let tokens = tokens.start..tokens.end.min(tokens.start + Self::NUMBERS);
        let merged = processor.image.merge_size.pow(2);
        let (mut rows, mut numbers, mut named) = (Vec::new(), Vec::new(), Vec::new());
        let mut answered = 0;
        let naming = processor.tokenizer.encode(NAMING).unwrap_or_default();
        for (index, encoded) in batch.iter().enumerate() {
            let frames: Vec<usize> = encoded
                .images
                .iter()
                .flat_map(|image| {
                    let [frames, height, width] = image.grid_thw;
                    std::iter::repeat_n(height * width / merged, frames)
                })
                .collect();
            let first = answered;
            answered += answer_length(encoded) as i32;
            if frames.len() < 2 {
                continue;
            }
            let places = encoded.answer_spans.iter().flat_map(Clone::clone).filter(|at| *at > 0);
            named.extend(places.zip(first..).filter_map(|(at, target)| {
                let names = encoded.token_ids[..at].ends_with(&naming);
                (names && tokens.contains(&encoded.token_ids[at])).then_some(target)
            }));
            let of = frames.iter().zip(1..).flat_map(|(tokens, number)| std::iter::repeat_n(number, *tokens));
            let visual = [special.image_pad, special.video_pad];
            let places = (0..encoded.token_ids.len()).filter(|at| visual.contains(&encoded.token_ids[*at]));
            for (at, number) in places.zip(of).filter(|(_, number)| *number < tokens.len() as i32) {
                rows.push((index * time + at) as i32);
                numbers.push(number);
            }
        }
        Self { rows, numbers, tokens, named }
    }

    /// How many image tokens there are, and how many numbers in answers.
    pub fn counts(&self) -> [usize; 2] {
        [self.rows.len(), self.named.len()]
    }

    /// Of the cross-entropies of all answers' tokens, those of numbers that name a picture.
    pub fn of_answers(&self, losses: Tensor<1>) -> Tensor<1> {
        let device = losses.device();
        losses.select(0, integers(&self.named, &device))
    }

    /// The cross-entropy of each image token, one after the other, from what comes out of the first layer.
    pub fn losses(&self, model: &Qwen2_5Vl, first: Tensor<3>) -> Tensor<1> {
        let device = first.device();
        let states = model.model.norm.forward(rows_of(first, &self.rows));
        let rows = self.tokens.start as usize..self.tokens.end as usize;
        // Frozen ones may be stored in 16 bits.
        let rows = model.model.embed_tokens.weight.val().slice_dim(0, rows).cast(DType::F32);
        let logits = states.matmul(rows.transpose());
        fused::cross_entropy(logits, integers(&self.numbers, &device))
    }
}

/// Rows of the flattened `[batch * time]` states.
fn rows_of(states: Tensor<3>, rows: &[i32]) -> Tensor<2> {
    let [batch, time, width] = states.dims();
    let device = states.device();
    states.reshape([batch * time, width]).select(0, integers(rows, &device))
}

fn integers(values: &[i32], device: &Device) -> Tensor<1, Int> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::bundled;
    use crate::training::batches::conversation;
    use image::RgbImage;

    #[test]
    fn image_tokens_are_numbered_by_picture_and_by_frame() {
        let processor = bundled::processor().unwrap();
        let images = || vec![processor.image.preprocess(&RgbImage::new(56, 56)).unwrap(); 2];
        let frames = vec![RgbImage::new(56, 56); 3];
        let video = vec![processor.image.preprocess_video(&frames, 2.0).unwrap()];
        let encode = |images: Vec<_>| {
            let messages =
                conversation(images.len(), "Where is the bed?", Some("2 m ahead, of picture 2, I think."));
            processor.encode(&messages, images, false).unwrap()
        };
        let one = encode(vec![images().remove(0)]);
        let (two, video) = (encode(images()), encode(video));
        let time = video.token_ids.len().max(two.token_ids.len());
        let found = PictureNumbers::new(&[&one, &two, &video], time, &processor);
        // Four tokens each, and none of the single picture's.
        let expected: Vec<i32> = [1, 2, 1, 2, 3].into_iter().flat_map(|number| [number; 4]).collect();
        assert_eq!((found.numbers.clone(), found.counts()), (expected, [20, 2]));
        let answers = AnswerTargets::new(&[&one, &two, &video], time);
        for (target, sample) in found.named.iter().zip([1, 2]) {
            let (row, token) = (answers.rows[*target as usize], answers.tokens[*target as usize]);
            assert_eq!((row as usize / time, token), (sample, 2));
            let before = [&one, &two, &video][sample].token_ids[..row as usize % time + 1].to_vec();
            assert!(processor.decode(&before).ends_with("ahead, of picture "));
        }
        let special = processor.tokenizer.special();
        for (at, row) in found.rows.iter().enumerate() {
            let (sample, pad) = if at < 8 { (&two, special.image_pad) } else { (&video, special.video_pad) };
            let start = if at < 8 { time } else { 2 * time };
            assert_eq!(sample.token_ids[*row as usize - start], pad);
        }
        assert_eq!(PictureNumbers::new(&[&one], time, &processor).counts(), [0, 0]);
    }
}
