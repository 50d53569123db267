//! The language model: grouped-query attention with three-dimensional rotary positions.

use super::attention::{Mask, causal_attention};
use super::cache::KvCache;
use super::config::TextConfig;
use super::layers::{Linear, Mlp, RmsNorm};
use super::rope::Rotary;
use super::weights::{Init, Weights};
use crate::model::{ModelError, fused};
use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor};

/// `model.*` of a checkpoint.
#[derive(Module, Debug)]
pub struct TextModel {
    pub embed_tokens: Embedding,
    pub layers: Vec<DecoderLayer>,
    pub norm: RmsNorm,
    #[module(skip)]
    config: TextConfig,
}

/// One row for each token of the vocabulary.
#[derive(Module, Debug)]
pub struct Embedding {
    pub weight: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
pub struct DecoderLayer {
    pub input_layernorm: RmsNorm,
    pub self_attn: TextAttention,
    pub post_attention_layernorm: RmsNorm,
    pub mlp: Mlp,
}

#[derive(Module, Debug)]
pub struct TextAttention {
    pub q_proj: Linear,
    pub k_proj: Linear,
    pub v_proj: Linear,
    pub o_proj: Linear,
    #[module(skip)]
    heads: usize,
    #[module(skip)]
    key_value_heads: usize,
}

impl TextModel {
    pub fn new(weights: &mut Weights<'_>, config: &TextConfig) -> Result<Self, ModelError> {
        let deviation = config.initializer_range;
        let (hidden, epsilon) = (config.hidden_size, config.rms_norm_eps);
        let shape = [config.vocab_size, hidden];
        let weight = weights.get_matrix("model.embed_tokens.weight", shape, Init::Normal(deviation))?;
        let key_value = config.num_key_value_heads * config.head_dim();
        let layers = (0..config.num_hidden_layers)
            .map(|index| {
                let name = format!("model.layers.{index}");
                let mut linear = |part: &str, outputs, bias| {
                    Linear::new(
                        weights,
                        &format!("{name}.self_attn.{part}"),
                        [hidden, outputs],
                        bias,
                        deviation,
                    )
                };
                let self_attn = TextAttention {
                    q_proj: linear("q_proj", hidden, true)?,
                    k_proj: linear("k_proj", key_value, true)?,
                    v_proj: linear("v_proj", key_value, true)?,
                    o_proj: linear("o_proj", hidden, false)?,
                    heads: config.num_attention_heads,
                    key_value_heads: config.num_key_value_heads,
                };
                let mlp = [hidden, config.intermediate_size];
                let after = format!("{name}.post_attention_layernorm");
                Ok(DecoderLayer {
                    input_layernorm: RmsNorm::new(
                        weights,
                        &format!("{name}.input_layernorm"),
                        hidden,
                        epsilon,
                    )?,
                    self_attn,
                    post_attention_layernorm: RmsNorm::new(weights, &after, hidden, epsilon)?,
                    mlp: Mlp::new(weights, &format!("{name}.mlp"), mlp, false, deviation)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        let norm = RmsNorm::new(weights, "model.norm", hidden, epsilon)?;
        Ok(Self { embed_tokens: Embedding { weight }, layers, norm, config: config.clone() })
    }

    /// Embedded tokens `[batch, tokens, hidden]` → the same shape after the final norm.
    ///
    /// `positions` is `[3, batch, tokens]`; `lengths` the real tokens of each right-padded row.
    /// `watch` is shown what comes out of each layer, by its place.
    pub fn forward(
        &self,
        embedded: Tensor<3>,
        positions: Tensor<3, Int>,
        lengths: &[usize],
        mut cache: Option<&mut KvCache>,
        watch: &mut dyn FnMut(usize, &Tensor<3>),
    ) -> Tensor<3> {
        let [_, tokens, _] = embedded.dims();
        let rotary = Rotary::text(&self.config, positions);
        let before = cache.as_mut().map_or(0, |cache| cache.begin(lengths, tokens));
        let gaps = cache.as_ref().map_or_else(Default::default, |cache| cache.gaps());
        let mask = Mask::causal(before, tokens, gaps, fused::applies(&embedded), &embedded.device());
        let mut hidden = embedded;
        for (index, layer) in self.layers.iter().enumerate() {
            let cache = cache.as_mut().map(|cache| (&mut **cache, index));
            hidden = layer.forward(hidden, &rotary, &mask, cache);
            watch(index, &hidden);
        }
        self.norm.forward(hidden)
    }
}

impl Embedding {
    /// `[batch, tokens]` → `[batch, tokens, hidden]`
    pub fn forward(&self, token_ids: Tensor<2, Int>) -> Tensor<3> {
        let rows = burn::tensor::module::embedding(self.weight.val(), token_ids);
        // Everything between the weights is computed in f32.
        if rows.dtype() == DType::F32 { rows } else { rows.cast(DType::F32) }
    }
}

impl DecoderLayer {
    /// Its linear layers by their names within it.
    pub fn linears(&self) -> [(&'static str, &Linear); 7] {
        let (attention, mlp) = (&self.self_attn, &self.mlp);
        [
            ("self_attn.q_proj", &attention.q_proj),
            ("self_attn.k_proj", &attention.k_proj),
            ("self_attn.v_proj", &attention.v_proj),
            ("self_attn.o_proj", &attention.o_proj),
            ("mlp.gate_proj", &mlp.gate_proj),
            ("mlp.up_proj", &mlp.up_proj),
            ("mlp.down_proj", &mlp.down_proj),
        ]
    }

    /// As [`Self::linears`].
    pub fn linears_mut(&mut self) -> [(&'static str, &mut Linear); 7] {
        let (attention, mlp) = (&mut self.self_attn, &mut self.mlp);
        [
            ("self_attn.q_proj", &mut attention.q_proj),
            ("self_attn.k_proj", &mut attention.k_proj),
            ("self_attn.v_proj", &mut attention.v_proj),
            ("self_attn.o_proj", &mut attention.o_proj),
            ("mlp.gate_proj", &mut mlp.gate_proj),
            ("mlp.up_proj", &mut mlp.up_proj),
            ("mlp.down_proj", &mut mlp.down_proj),
        ]
    }

    fn forward(
        &self,
        hidden: Tensor<3>,
        rotary: &Rotary,
        mask: &Mask,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<3> {
        let attended =
            self.self_attn.forward(self.input_layernorm.forward(hidden.clone()), rotary, mask, cache);
        let hidden = hidden + attended;
        hidden.clone() + self.mlp.forward(self.post_attention_layernorm.forward(hidden))
    }
}

impl TextAttention {
    fn forward(
        &self,
        hidden: Tensor<3>,
        rotary: &Rotary,
        mask: &Mask,
        cache: Option<(&mut KvCache, usize)>,
    ) -> Tensor<3> {
        let [batch, tokens, size] = hidden.dims();
        let (heads, shared) = (self.heads, self.key_value_heads);
        let head_dim = size / heads;
        let query = self.q_proj.forward(hidden.clone()).reshape([batch, tokens, heads, head_dim]);
        let key = self.k_proj.forward(hidden.clone()).reshape([batch, tokens, shared, head_dim]);
        let value = self.v_proj.forward(hidden).reshape([batch, tokens, shared, head_dim]);
        let query = rotary.apply(query);
        let key = rotary.apply(key);
        let (key, value) = match cache {
            Some((cache, layer)) => {
                let (key, value) = cache.extend(layer, key.swap_dims(1, 2), value.swap_dims(1, 2));
                (key.swap_dims(1, 2), value.swap_dims(1, 2))
            }
            None => (key, value),
        };
        let attended = causal_attention(query, key, value, mask);
        self.o_proj.forward(attended.reshape([batch, tokens, size]))
    }
}
