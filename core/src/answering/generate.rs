//! Tokens out of the model: one implementation for one prompt and for many, for the terminal, the
//! window and the browser. It is asynchronous because a browser cannot wait for its GPU;
//! `generate_blocking` waits for it everywhere else.

use super::memory::Memory;
use super::sampling::Sampler;
use crate::model::qwen2_5_vl::ModelInput;
use crate::model::{KvCache, ModelError, Qwen2_5Vl};
use crate::processor::Encoded;
use burn::tensor::{Int, Tensor, TensorData};
use std::ops::ControlFlow;
use web_time::Instant;

/// How to choose tokens and when to stop.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationOptions {
    pub max_new_tokens: usize,
    /// 0 always takes the likeliest token; 1 samples from the model's own distribution.
    pub temperature: f32,
    /// Only the k likeliest tokens; 0 for all.
    pub top_k: usize,
    /// Only the likeliest tokens that together reach this probability; 1 for all.
    pub top_p: f32,
    /// Above 1, tokens of the prompt and the answer become less likely (Keskar et al., arXiv 1909.05858): their logits
    /// are divided by it where positive, multiplied where negative.
    pub repetition_penalty: f32,
    pub seed: u64,
    /// The number of the first prompt among all that share the seed: those before it are answered elsewhere.
    pub first_answer: usize,
    /// Tokens that end an answer, besides the config's.
    pub stop_tokens: Vec<u32>,
    /// What the answer has to be.
    #[cfg(not(target_arch = "wasm32"))]
    pub constraint: Option<super::Constraint>,
    /// Whether to give the log-probability of each token.
    pub logprobs: bool,
    /// Goes on until `max_new_tokens` whatever the model says: for measuring.
    pub ignore_end: bool,
}

impl Default for GenerationOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 512,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            seed: 0,
            first_answer: 0,
            stop_tokens: Vec::new(),
            #[cfg(not(target_arch = "wasm32"))]
            constraint: None,
            logprobs: false,
            ignore_end: false,
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The model ended its turn.
    Complete,
    /// `max_new_tokens` was reached.
    Length,
    /// The caller asked to stop.
    Cancelled,
}

/// What was generated for one prompt.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    /// Without the token that ended it.
    pub token_ids: Vec<u32>,
    /// The token that ended it, where the model did.
    pub ended_by: Option<u32>,
    /// Where asked for, the natural logarithm of each token's probability under the model itself: before temperature,
    /// penalty and cuts. That of the token that ended it comes last.
    pub logprobs: Vec<f32>,
    pub ending: Ending,
}

/// Seconds that a batch took, and what it was spared.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GenerationTime {
    /// The vision tower.
    pub encode_s: f64,
    /// The prompt, up to the first token.
    pub prefill_s: f64,
    /// All tokens after the first.
    pub decode_s: f64,
    /// Tokens at the start of the prompt that were remembered and not read again.
    pub remembered_tokens: usize,
}

/// Answers a batch of prompts. `on_token` hears of every token as `(prompt, token)`, ending tokens left
/// out; when it breaks, everything stops at once and keeps what it has. It is asynchronous so that in a
/// browser it can let the event loop turn, without which no message to stop would ever arrive.
///
/// A prompt that comes several times in a row (the same reference, as for a group of completions) is read once.
///
/// With a `memory`, a single prompt is read as far only as it differs from the last one, and images that it knows are
/// not encoded again.
///
/// # Errors
/// Prompts that do not fit the model.
pub async fn generate(
    model: &Qwen2_5Vl,
    prompts: &[&Encoded],
    options: &GenerationOptions,
    memory: Option<&mut Memory>,
    mut on_token: impl AsyncFnMut(usize, u32) -> ControlFlow<()>,
) -> Result<(Vec<Generation>, GenerationTime), ModelError> {
    let mut time = GenerationTime::default();
    let start = Instant::now();
    let device = model.device();
    let (read, readings) = without_repetition(prompts);
    let mut input = ModelInput::batch(&read, model.config(), &device)?;
    let [_, width] = input.token_ids.dims();
    let mut memory = memory.filter(|_| prompts.len() == 1);
    let recalled = memory.as_mut().and_then(|memory| memory.recall(prompts[0], model.config()));
    let mut cache = match recalled {
        Some((count, cache)) => {
            time.remembered_tokens = count;
            input = input.after(count);
            cache
        }
        None => {
            let images: Vec<_> = read.iter().flat_map(|prompt| &prompt.images).collect();
            if !images.is_empty() {
                input = input.with_images(match &mut memory {
                    Some(memory) => memory.encode(model, &prompts[0].images)?,
                    None => model.encode_images(&images)?,
                });
                sync(&device)?;
            }
            KvCache::default()
        }
    };
    cache.reserve(width + options.max_new_tokens);
    time.encode_s = start.elapsed().as_secs_f64();

    let never = [model.config().image_token_id, model.config().video_token_id];
    let mut samplers: Vec<Sampler> = (options.first_answer as u64..)
        .zip(prompts)
        .map(|(row, prompt)| Sampler::new(options, row, &prompt.token_ids, never))
        .collect();
    let mut results = vec![
        Generation {
            token_ids: Vec::new(),
            ended_by: None,
            logprobs: Vec::new(),
            ending: Ending::Length
        };
        prompts.len()
    ];
    // The prompts in the order of the cache's rows, `None` for those that have ended, and where their next token stands.
    let mut rows: Vec<Option<usize>> = (0..prompts.len()).map(Some).collect();
    let mut positions: Vec<usize> = readings.iter().map(|reading| input.next_positions[*reading]).collect();

    let start = Instant::now();
    let mut hidden = last_tokens(model.hidden(&input, Some(&mut cache)), &input.lengths);
    if read.len() < prompts.len() {
        cache.keep_rows(&readings);
        let places: Vec<i64> = readings.iter().map(|reading| *reading as i64).collect();
        hidden = hidden.select(0, Tensor::from_data(TensorData::new(places, [prompts.len()]), &device));
    }
    let mut chosen = choose(model.logits(hidden), &rows, &mut samplers).await?;
    time.prefill_s = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let ends = |token: u32| {
        let known = model.config().eos_token_ids.contains(&token) || options.stop_tokens.contains(&token);
        known && !options.ignore_end
    };
    'decode: for step in 1..=options.max_new_tokens {
        for (place, Chosen { token, logprob }) in chosen.iter().enumerate() {
            let Some(row) = rows[place] else { continue };
            results[row].logprobs.extend(*logprob);
            if ends(*token) {
                results[row].ending = Ending::Complete;
                results[row].ended_by = Some(*token);
                rows[place] = None;
                continue;
            }
            results[row].token_ids.push(*token);
            if on_token(row, *token).await.is_break() {
                for row in rows.iter().flatten() {
                    results[*row].ending = Ending::Cancelled;
                }
                break 'decode;
            }
        }
        let running: Vec<usize> = (0..rows.len()).filter(|place| rows[*place].is_some()).collect();
        if running.is_empty() || step == options.max_new_tokens {
            break;
        }
        // Leaving rows out copies the others: a few that have ended are carried along until it pays.
        const PAYS: usize = 8;
        let ended = rows.len() - running.len();
        if ended > 0 && ended * PAYS >= rows.len() {
            cache.keep_rows(&running);
            rows = running.iter().map(|place| rows[*place]).collect();
            chosen = running.iter().map(|place| chosen[*place]).collect();
            positions = running.iter().map(|place| positions[*place]).collect();
        }
        let tokens: Vec<&[u32]> = chosen.iter().map(|chosen| std::slice::from_ref(&chosen.token)).collect();
        let input = ModelInput::next_tokens(&tokens, &positions, 1, &device);
        let hidden = last_tokens(model.hidden(&input, Some(&mut cache)), &input.lengths);
        chosen = choose(model.logits(hidden), &rows, &mut samplers).await?;
        positions.iter_mut().for_each(|position| *position += 1);
    }
    time.decode_s = start.elapsed().as_secs_f64();
    if let Some(memory) = memory {
        memory.keep(prompts[0], &results[0].token_ids, cache);
    }
    Ok((results, time))
}

/// [`generate`], waiting for it.
#[cfg(not(target_arch = "wasm32"))]
pub fn generate_blocking(
    model: &Qwen2_5Vl,
    prompts: &[&Encoded],
    options: &GenerationOptions,
    mut on_token: impl FnMut(usize, u32) -> ControlFlow<()>,
) -> Result<(Vec<Generation>, GenerationTime), ModelError> {
    let on_token = async |prompt, token| on_token(prompt, token);
    burn::tensor::read_sync(generate(model, prompts, options, None, on_token))
}

/// The prompts with what follows itself left out, and for each prompt which of these it is.
fn without_repetition<'a>(prompts: &[&'a Encoded]) -> (Vec<&'a Encoded>, Vec<usize>) {
    let mut read: Vec<&Encoded> = Vec::new();
    let mut readings = Vec::with_capacity(prompts.len());
    for prompt in prompts {
        if !read.last().is_some_and(|last| std::ptr::eq(*last, *prompt)) {
            read.push(prompt);
        }
        readings.push(read.len() - 1);
    }
    (read, readings)
}

/// The hidden state of each row's last real token: `[batch, tokens, hidden]` → `[batch, hidden]`.
fn last_tokens(hidden: Tensor<3>, lengths: &[usize]) -> Tensor<2> {
    let [batch, tokens, size] = hidden.dims();
    let places: Vec<i64> =
        lengths.iter().enumerate().map(|(row, length)| (row * tokens + length - 1) as i64).collect();
    let places = Tensor::<1, Int>::from_data(TensorData::new(places, [batch]), &hidden.device());
    hidden.reshape([batch * tokens, size]).select(0, places)
}

/// A token and, where asked for, its log-probability.
#[derive(Debug, Clone, Copy)]
struct Chosen {
    token: u32,
    logprob: Option<f32>,
}

/// One token for each row of `[batch, vocabulary]`. `rows` are the samplers of these; what a row without one gets means nothing.
async fn choose(
    logits: Tensor<2>,
    rows: &[Option<usize>],
    samplers: &mut [Sampler],
) -> Result<Vec<Chosen>, ModelError> {
    let vocabulary = logits.dims()[1];
    if rows.iter().flatten().all(|row| samplers[*row].takes_the_largest()) {
        let data = logits.argmax(1).into_data_async().await.map_err(failed)?;
        return Ok(data.iter::<i64>().map(|id| Chosen { token: id as u32, logprob: None }).collect());
    }
    let logits: Vec<f32> = logits.into_data_async().await.map_err(failed)?.try_to_vec().map_err(failed)?;
    let mut chosen = vec![Chosen { token: 0, logprob: None }; rows.len()];
    let mut samplers: Vec<Option<&mut Sampler>> = samplers.iter_mut().map(Some).collect();
    let running = rows.iter().zip(logits.chunks_exact(vocabulary)).zip(&mut chosen);
    let work =
        running.filter_map(|((row, logits), chosen)| Some((samplers[(*row)?].take()?, logits, chosen)));
    let choose = |(sampler, logits, chosen): (&mut Sampler, &[f32], &mut Chosen)| {
        let (token, logprob) = sampler.choose(logits);
        *chosen = Chosen { token, logprob };
    };
    #[cfg(not(target_arch = "wasm32"))]
    {
        use rayon::prelude::*;
        work.collect::<Vec<_>>().into_par_iter().for_each(choose);
    }
    #[cfg(target_arch = "wasm32")]
    work.for_each(choose);
    Ok(chosen)
}

/// So that the time of one phase is not counted in the next. Browsers cannot wait; there the phases blur.
fn sync(device: &burn::tensor::Device) -> Result<(), ModelError> {
    if cfg!(target_arch = "wasm32") { Ok(()) } else { device.sync().map_err(failed) }
}

fn failed(error: impl std::fmt::Display) -> ModelError {
    ModelError::Device { name: "compute".into(), reason: error.to_string() }
}
