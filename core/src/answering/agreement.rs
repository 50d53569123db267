//! How far two models agree on a text: what a quantized model lost.

use crate::model::{ModelError, ModelInput, Qwen2_5Vl};
use crate::processor::Encoded;
use burn::tensor::activation::log_softmax;
use serde::Serialize;

/// What [`agreement`] found, over all tokens of a text but the last.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    pub tokens: usize,
    /// How often both think the same token the likeliest next.
    pub same_likeliest: f64,
    /// Mean Kullback–Leibler divergence of the next token's distribution, nats.
    pub mean_kl: f64,
    /// Root mean square difference of the logits over the root mean square of the reference's.
    pub logit_error: f64,
    /// Perplexity of the text under each.
    pub reference_perplexity: f64,
    pub perplexity: f64,
}

/// Tokens whose logits are compared at a time.
const PIECE: usize = 64;

/// Compares what two models expect after each token of a text.
///
/// # Errors
/// Fewer than two tokens, or tokens that a model does not know.
pub fn agreement(
    reference: &Qwen2_5Vl,
    other: &Qwen2_5Vl,
    token_ids: &[u32],
) -> Result<Agreement, ModelError> {
    if token_ids.len() < 2 {
        return Err(ModelError::Input("models are compared on a text of at least two tokens".to_owned()));
    }
    let encoded = Encoded { token_ids: token_ids.to_vec(), images: Vec::new(), answer_spans: Vec::new() };
    let hidden = |model: &Qwen2_5Vl| {
        let input = ModelInput::batch(&[&encoded], model.config(), &model.device())?;
        let hidden = model.hidden(&input, None);
        let [_, tokens, size] = hidden.dims();
        Ok::<_, ModelError>(hidden.reshape([tokens, size]))
    };
    let (of_reference, of_other) = (hidden(reference)?, hidden(other)?);
    let count = token_ids.len() - 1;
    let (mut same, mut kl, mut error, mut square) = (0, 0.0, 0.0, 0.0);
    let mut log_likelihood = [0.0; 2];
    for start in (0..count).step_by(PIECE) {
        let rows = start..(start + PIECE).min(count);
        let values = |model: &Qwen2_5Vl, hidden: &burn::tensor::Tensor<2>| {
            let logits = model.logits(hidden.clone().slice_dim(0, rows.clone()));
            let width = logits.dims()[1];
            let likelihoods: Vec<f32> = log_softmax(logits.clone(), 1).into_data().iter::<f32>().collect();
            (width, logits.into_data().iter::<f32>().collect::<Vec<f32>>(), likelihoods)
        };
        let (width, logits, likelihoods) = values(reference, &of_reference);
        let (_, other_logits, other_likelihoods) = values(other, &of_other);
        for (row, token) in rows.clone().enumerate() {
            let part = row * width..(row + 1) * width;
            let (a, b) = (&logits[part.clone()], &other_logits[part.clone()]);
            let (p, q) = (&likelihoods[part.clone()], &other_likelihoods[part]);
            same += usize::from(largest(a) == largest(b));
            for i in 0..width {
                kl += f64::from(p[i]).exp() * f64::from(p[i] - q[i]);
                error += f64::from(a[i] - b[i]).powi(2);
                square += f64::from(a[i]).powi(2);
            }
            let next = token_ids[token + 1] as usize;
            for (sum, likelihoods) in log_likelihood.iter_mut().zip([p, q]) {
                *sum += f64::from(likelihoods[next]);
            }
        }
    }
    let count = count as f64;
    Ok(Agreement {
        tokens: token_ids.len() - 1,
        same_likeliest: same as f64 / count,
        mean_kl: kl / count,
        logit_error: (error / square.max(f64::MIN_POSITIVE)).sqrt(),
        reference_perplexity: (-log_likelihood[0] / count).exp(),
        perplexity: (-log_likelihood[1] / count).exp(),
    })
}

fn largest(values: &[f32]) -> Option<usize> {
    let best = values.iter().enumerate().max_by(|(_, a), (_, b)| a.total_cmp(b));
    best.map(|(index, _)| index)
}
