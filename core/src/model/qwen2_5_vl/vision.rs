//! The vision tower: patches → blocks with window or full attention → one token for each square of
//! patches.
//!
//! Frames of equal size form a batch. Within a frame the patches are put in window order before they
//! are uploaded, windows with equally many patches next to each other, so that window attention is a
//! reshape and no mask over all patches ever exists.

use super::attention::attend;
use super::config::VisionConfig;
use super::layers::{Linear, Mlp, RmsNorm, linear};
use super::rope::Rotary;
use super::weights::{Init, Weights};
use crate::model::ModelError;
use crate::model::fused::{self, Pattern};
use crate::processor::PixelPatches;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::gelu};
use std::collections::BTreeMap;
use std::ops::Range;

/// Of every norm in the tower; fixed in the reference too.
const EPSILON: f64 = 1e-6;

/// `visual.*` of a checkpoint.
#[derive(Module, Debug)]
pub struct VisionTower {
    pub patch_embed: PatchEmbed,
    pub blocks: Vec<VisionBlock>,
    pub merger: PatchMerger,
    #[module(skip)]
    config: VisionConfig,
}

#[derive(Module, Debug)]
pub struct PatchEmbed {
    pub proj: PatchProjection,
}

/// A 3D convolution whose stride is its kernel: one matrix product, the weight kept as published.
#[derive(Module, Debug)]
pub struct PatchProjection {
    pub weight: Param<Tensor<5>>,
}

#[derive(Module, Debug)]
pub struct VisionBlock {
    pub norm1: RmsNorm,
    pub norm2: RmsNorm,
    pub attn: VisionAttention,
    pub mlp: Mlp,
}

#[derive(Module, Debug)]
pub struct VisionAttention {
    pub qkv: Linear,
    pub proj: Linear,
    #[module(skip)]
    heads: usize,
}

/// Norm, then two linear layers over the patches of a square together. In checkpoints the layers are
/// `mlp.0` and `mlp.2` (see `parameter_name` in the parent module).
#[derive(Module, Debug)]
pub struct PatchMerger {
    pub ln_q: RmsNorm,
    pub mlp: Vec<Linear>,
}

impl VisionTower {
    /// All linear layers but the projection of the patches.
    pub fn linears_mut(&mut self) -> impl Iterator<Item = &mut Linear> {
        self.blocks.iter_mut().flat_map(VisionBlock::linears_mut).chain(&mut self.merger.mlp)
    }

    pub fn new(weights: &mut Weights<'_>, config: &VisionConfig, deviation: f64) -> Result<Self, ModelError> {
        let hidden = config.hidden_size;
        let (patch, merged) = (config.patch_size, hidden * config.merge_unit());
        let proj = PatchProjection {
            weight: weights.get(
                "visual.patch_embed.proj.weight",
                [hidden, config.in_channels, config.temporal_patch_size, patch, patch],
                Init::Normal(deviation),
            )?,
        };
        let blocks = (0..config.depth)
            .map(|index| {
                let name = format!("visual.blocks.{index}");
                let mlp = [hidden, config.intermediate_size];
                Ok(VisionBlock {
                    norm1: RmsNorm::new(weights, &format!("{name}.norm1"), hidden, EPSILON)?,
                    norm2: RmsNorm::new(weights, &format!("{name}.norm2"), hidden, EPSILON)?,
                    attn: VisionAttention {
                        qkv: Linear::new(
                            weights,
                            &format!("{name}.attn.qkv"),
                            [hidden, 3 * hidden],
                            true,
                            deviation,
                        )?,
                        proj: Linear::new(
                            weights,
                            &format!("{name}.attn.proj"),
                            [hidden, hidden],
                            true,
                            deviation,
                        )?,
                        heads: config.num_heads,
                    },
                    mlp: Mlp::new(weights, &format!("{name}.mlp"), mlp, true, deviation)?,
                })
            })
            .collect::<Result<_, ModelError>>()?;
        let merger = PatchMerger {
            ln_q: RmsNorm::new(weights, "visual.merger.ln_q", hidden, EPSILON)?,
            mlp: vec![
                Linear::new(weights, "visual.merger.mlp.0", [merged, merged], true, deviation)?,
                Linear::new(
                    weights,
                    "visual.merger.mlp.2",
                    [merged, config.out_hidden_size],
                    true,
                    deviation,
                )?,
            ],
        };
        Ok(Self { patch_embed: PatchEmbed { proj }, blocks, merger, config: config.clone() })
    }

    /// `[merged tokens of all images, out_hidden_size]`, image after image, row by row.
    ///
    /// # Errors
    /// An image whose grid does not fit its data or the merge size.
    pub fn forward(&self, images: &[&PixelPatches]) -> Result<Tensor<2>, ModelError> {
        let device = self.device();
        for image in images {
            check(&self.config, image)?;
        }
        // By size: frames in order of appearance, each once. Completions of one prompt all bring its pictures along.
        let mut sizes: BTreeMap<[usize; 2], Vec<&[f32]>> = BTreeMap::new();
        let mut frames: Vec<([usize; 2], usize)> = Vec::new();
        for image in images {
            let [_, height, width] = image.grid_thw;
            let size = [height, width];
            let known = sizes.entry(size).or_default();
            for frame in image.data.chunks_exact(height * width * self.config.patch_len()) {
                let place = known.iter().position(|other| *other == frame).unwrap_or(known.len());
                if place == known.len() {
                    known.push(frame);
                }
                frames.push((size, place));
            }
        }
        let mut outputs = Vec::new();
        // Where the tokens of the frames of a size begin in the concatenated outputs, and in which order they lie.
        let mut places: BTreeMap<[usize; 2], (usize, Vec<usize>)> = BTreeMap::new();
        let mut start = 0;
        for (size, frames) in &sizes {
            let plan = WindowPlan::new(&self.config, *size);
            outputs.push(self.forward_frames(frames, &plan, &device));
            places.insert(*size, (start, plan.inverse()));
            start += frames.len() * plan.order.len();
        }
        let mut indices = Vec::with_capacity(start);
        for (size, place) in &frames {
            let Some((start, inverse)) = places.get(size) else { continue };
            let start = start + place * inverse.len();
            indices.extend(inverse.iter().map(|place| (start + place) as i64));
        }
        let tokens = Tensor::cat(outputs, 0);
        if indices.len() == start && indices.iter().enumerate().all(|(row, index)| row as i64 == *index) {
            return Ok(tokens);
        }
        let count = indices.len();
        Ok(tokens.select(0, Tensor::<1, Int>::from_data(TensorData::new(indices, [count]), &device)))
    }

    /// Frames of one size → `[frames * tokens, out_hidden_size]`, each frame's tokens in window order.
    fn forward_frames(&self, frames: &[&[f32]], plan: &WindowPlan, device: &Device) -> Tensor<2> {
        let config = &self.config;
        let unit = config.merge_unit() * config.patch_len();
        let patches = plan.order.len() * config.merge_unit();
        let mut pixels = Vec::with_capacity(frames.len() * patches * config.patch_len());
        for frame in frames {
            for place in &plan.order {
                pixels.extend_from_slice(&frame[place * unit..(place + 1) * unit]);
            }
        }
        let shape = [frames.len(), patches, config.patch_len()];
        let pixels = Tensor::<3>::from_data(TensorData::new(pixels, shape), device);
        let rotary = Rotary::vision(config, &plan.patches(config.spatial_merge_size), device);
        let whole = [WindowGroup { patches: 0..patches, windows: 1 }];

        let weight = self.patch_embed.proj.weight.val();
        let mut hidden = linear(pixels, weight.reshape([config.hidden_size, config.patch_len()]), None);
        for (index, block) in self.blocks.iter().enumerate() {
            let full = config.fullatt_block_indexes.contains(&index);
            hidden = block.forward(hidden, &rotary, if full { &whole } else { &plan.groups });
        }
        self.merger.forward(hidden, config.merge_unit())
    }

    fn device(&self) -> Device {
        self.patch_embed.proj.weight.val().device()
    }
}

impl VisionBlock {
    fn linears_mut(&mut self) -> [&mut Linear; 5] {
        let (attention, mlp) = (&mut self.attn, &mut self.mlp);
        [&mut attention.qkv, &mut attention.proj, &mut mlp.gate_proj, &mut mlp.up_proj, &mut mlp.down_proj]
    }

    fn forward(&self, hidden: Tensor<3>, rotary: &Rotary, groups: &[WindowGroup]) -> Tensor<3> {
        let hidden = hidden.clone() + self.attn.forward(self.norm1.forward(hidden), rotary, groups);
        hidden.clone() + self.mlp.forward(self.norm2.forward(hidden))
    }
}

impl VisionAttention {
    fn forward(&self, hidden: Tensor<3>, rotary: &Rotary, groups: &[WindowGroup]) -> Tensor<3> {
        let [frames, patches, size] = hidden.dims();
        let (heads, head_dim) = (self.heads, size / self.heads);
        if fused::applies(&hidden) {
            let shape = [frames, patches, heads, head_dim];
            let part = |index: usize| {
                self.qkv.forward_rows(hidden.clone(), index * size..(index + 1) * size).reshape(shape)
            };
            let (query, key) = (rotary.apply(part(0)), rotary.apply(part(1)));
            let pattern = Pattern::Segments(groups.iter().flat_map(WindowGroup::segments).collect());
            let attended = fused::attention(query, key, part(2), pattern);
            return self.proj.forward(attended.reshape([frames, patches, size]));
        }
        let qkv = self.qkv.forward(hidden).reshape([frames, patches, 3 * heads, head_dim]);
        // Query and key turn together.
        let turned = rotary.apply(qkv.clone().slice_dim(2, 0..2 * heads));
        let query = turned.clone().slice_dim(2, 0..heads);
        let key = turned.slice_dim(2, heads..2 * heads);
        let value = qkv.slice_dim(2, 2 * heads..3 * heads);

        let attended = groups.iter().map(|group| {
            let length = group.patches.len() / group.windows;
            let windows = |x: &Tensor<4>| {
                let part = match group.patches.len() == patches {
                    true => x.clone(),
                    false => x.clone().slice_dim(1, group.patches.clone()),
                };
                part.reshape([frames * group.windows, length, heads, head_dim]).swap_dims(1, 2)
            };
            attend(windows(&query), windows(&key), windows(&value), None).swap_dims(1, 2).reshape([
                frames,
                group.patches.len(),
                size,
            ])
        });
        self.proj.forward(Tensor::cat(attended.collect(), 1))
    }
}

impl PatchMerger {
    fn forward(&self, hidden: Tensor<3>, merge_unit: usize) -> Tensor<2> {
        let [frames, patches, size] = hidden.dims();
        let mut hidden =
            self.ln_q.forward(hidden).reshape([frames * patches / merge_unit, merge_unit * size]);
        for (index, layer) in self.mlp.iter().enumerate() {
            hidden = layer.forward(if index == 0 { hidden } else { gelu(hidden) });
        }
        hidden
    }
}

fn check(config: &VisionConfig, image: &PixelPatches) -> Result<(), ModelError> {
    let [time, height, width] = image.grid_thw;
    let merge = config.spatial_merge_size;
    let expected = time * height * width * config.patch_len();
    let whole = height.is_multiple_of(merge) && width.is_multiple_of(merge) && expected > 0;
    if whole && image.data.len() == expected {
        return Ok(());
    }
    Err(ModelError::Input(format!(
        "an image of {time}×{height}×{width} patches with {} numbers does not fit the model, which merges \
         {merge}×{merge} patches of {} numbers; preprocessor_config.json and config.json disagree",
        image.data.len(),
        config.patch_len(),
    )))
}

/// Windows with equally many patches, next to each other in a frame.
struct WindowGroup {
    /// Where they lie among the frame's patches.
    patches: Range<usize>,
    windows: usize,
}

impl WindowGroup {
    /// The patches of each window.
    fn segments(&self) -> impl Iterator<Item = Range<usize>> {
        let length = self.patches.len() / self.windows;
        self.patches.clone().step_by(length.max(1)).map(move |start| start..start + length)
    }
}

/// How a frame's tokens (squares of patches) are put in window order.
struct WindowPlan {
    /// Tokens down and across.
    tokens: [usize; 2],
    /// Raster index of each token, in window order.
    order: Vec<usize>,
    groups: Vec<WindowGroup>,
}

impl WindowPlan {
    /// For a frame of `[height, width]` patches.
    fn new(config: &VisionConfig, [height, width]: [usize; 2]) -> Self {
        let merge = config.spatial_merge_size;
        let (rows, columns) = (height / merge, width / merge);
        let edge = config.window_size / config.patch_size / merge;
        let mut windows = Vec::new();
        for top in (0..rows).step_by(edge) {
            for left in (0..columns).step_by(edge) {
                let down = top..(top + edge).min(rows);
                let across = left..(left + edge).min(columns);
                windows.push(
                    down.flat_map(|r| across.clone().map(move |c| r * columns + c)).collect::<Vec<_>>(),
                );
            }
        }
        // A stable sort: attention does not mind the order of windows, equal lengths come together.
        windows.sort_by_key(|window| std::cmp::Reverse(window.len()));
        let mut groups: Vec<WindowGroup> = Vec::new();
        let mut start = 0;
        for same in windows.chunk_by(|a, b| a.len() == b.len()) {
            let patches = same.len() * same[0].len() * config.merge_unit();
            groups.push(WindowGroup { patches: start..start + patches, windows: same.len() });
            start += patches;
        }
        Self { tokens: [rows, columns], order: windows.concat(), groups }
    }

    /// Row and column of every patch in window order.
    fn patches(&self, merge: usize) -> Vec<(usize, usize)> {
        let [_, columns] = self.tokens;
        let corner = |token: usize| (token / columns * merge, token % columns * merge);
        let square = move |(row, column)| {
            (0..merge).flat_map(move |down| (0..merge).map(move |right| (row + down, column + right)))
        };
        self.order.iter().flat_map(|token| square(corner(*token))).collect()
    }

    /// Where each token, in raster order, went.
    fn inverse(&self) -> Vec<usize> {
        let mut inverse = vec![0; self.order.len()];
        for (place, token) in self.order.iter().enumerate() {
            inverse[*token] = place;
        }
        inverse
    }
}
