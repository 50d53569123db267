//! The log-probabilities of completions: what the update differentiates, and what the rollout must have seen.

use crate::model::device::padding_multiple;
use crate::model::{KvCache, ModelError, ModelInput, Qwen2_5Vl, fused};
use crate::processor::Encoded;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// How log-probabilities are computed.
#[derive(Debug, Clone, Copy)]
pub struct Judging {
    /// That of the sampling, whose distribution they are of; above zero.
    pub temperature: f64,
    /// The published fault that videos are not looked at.
    pub blind_videos: bool,
}

/// Those of the completions' tokens, one after the other, differentiable. Completions of one prompt that follow each
/// other share its reading: most tokens of a group are its prompt's.
pub fn completion_log_probs(
    model: &Qwen2_5Vl,
    rollouts: &[&Encoded],
    judging: &Judging,
    device: &Device,
) -> Result<Tensor<1>, ModelError> {
    padded_log_probs(model, rollouts, judging, padding_multiple(device), device)
}

/// As [`completion_log_probs`], prompts and completions padded to multiples of so many tokens.
pub fn padded_log_probs(
    model: &Qwen2_5Vl,
    rollouts: &[&Encoded],
    judging: &Judging,
    multiple: usize,
    device: &Device,
) -> Result<Tensor<1>, ModelError> {
    let mut prompts: Vec<Encoded> = Vec::new();
    let mut readings = Vec::with_capacity(rollouts.len());
    let mut completions: Vec<&[u32]> = Vec::with_capacity(rollouts.len());
    for rollout in rollouts {
        let Some(span) = rollout.answer_spans.first().filter(|span| span.start > 0) else {
            return Err(ModelError::Input("a completion without a prompt before it".into()));
        };
        let prompt = &rollout.token_ids[..span.start];
        let same = |last: &Encoded| last.token_ids == prompt && last.images == rollout.images;
        if !prompts.last().is_some_and(same) {
            let images = rollout.images.clone();
            prompts.push(Encoded { token_ids: prompt.to_vec(), images, answer_spans: Vec::new() });
        }
        readings.push(prompts.len() - 1);
        completions.push(&rollout.token_ids[span.clone()]);
    }

    let read: Vec<&Encoded> = prompts.iter().collect();
    let mut input = ModelInput::padded(&read, model.config(), device, multiple)?;
    let images: Vec<_> = prompts.iter().flat_map(|prompt| &prompt.images).collect();
    if !images.is_empty() {
        let tokens = model.encode_images(&images)?;
        input = input.with_images(if judging.blind_videos {
            without_videos(model, &images, tokens, device)
        } else {
            tokens
        });
    }
    let mut cache = KvCache::default();
    let before = model.hidden(&input, Some(&mut cache));
    let [_, prompt_width, size] = before.dims();
    let last = |reading: &usize| (reading * prompt_width + input.lengths[*reading] - 1) as i64;
    let last = row(readings.iter().map(last).collect(), device);
    // The state before each completion's first token, which its prompt's last one predicts.
    let first = before.reshape([prompts.len() * prompt_width, size]).select(0, last);

    // What predicts a completion's last token is the one before it.
    let given: Vec<&[u32]> =
        completions.iter().map(|tokens| &tokens[..tokens.len().saturating_sub(1)]).collect();
    let mut states = first.reshape([rollouts.len(), 1, size]);
    if given.iter().any(|tokens| !tokens.is_empty()) {
        cache.keep_rows(&readings);
        let positions: Vec<usize> = readings.iter().map(|reading| input.next_positions[*reading]).collect();
        let further = ModelInput::next_tokens(&given, &positions, multiple, device);
        cache.reserve(prompt_width + further.token_ids.dims()[1]);
        states = Tensor::cat(vec![states, model.hidden(&further, Some(&mut cache))], 1);
    }
    let width = states.dims()[1];
    let places = completions
        .iter()
        .enumerate()
        .flat_map(|(index, tokens)| (0..tokens.len()).map(move |at| (index * width + at) as i64));
    let states = states.reshape([rollouts.len() * width, size]).select(0, row(places.collect(), device));
    let targets = completions.concat().into_iter().map(i64::from).collect();
    let mut logits = model.logits(states);
    if judging.temperature != 1.0 {
        logits = logits.div_scalar(judging.temperature);
    }
    Ok(fused::cross_entropy(logits, row(targets, device)).neg())
}

/// The images' tokens with those of videos replaced by what stands for them in the text.
fn without_videos(
    model: &Qwen2_5Vl,
    images: &[&crate::processor::PixelPatches],
    mut tokens: Tensor<2>,
    device: &Device,
) -> Tensor<2> {
    let merge = model.config().vision.spatial_merge_size.pow(2);
    let unseen = Tensor::<2, Int>::from_data([[model.config().video_token_id as i32]], device);
    let unseen = model.model.embed_tokens.forward(unseen).reshape([1, model.config().text.hidden_size]);
    let mut start = 0;
    for image in images {
        let count = image.grid_thw.iter().product::<usize>() / merge;
        if image.is_video() {
            let place = [start..start + count, 0..tokens.dims()[1]];
            tokens = tokens.slice_assign(place, unseen.clone().repeat_dim(0, count));
        }
        start += count;
    }
    tokens
}

fn row(values: Vec<i64>, device: &Device) -> Tensor<1, Int> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), device)
}
