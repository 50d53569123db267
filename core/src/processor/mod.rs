//! From pictures and words to what the model takes, and back: image preprocessing, tokenizer, chat
//! template, and the one place where boxes change coordinates (`boxes`).
//!
//! Follows Qwen2.5-VL as published by its `preprocessor_config.json`, `tokenizer.json` and chat template.

use std::ops::Range;

/// One image (or video) as the vision tower takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelPatches {
    /// `[t * h * w, channels * temporal_patch * patch * patch]`, row-major, patches in the order of the
    /// Hugging Face processor: merge blocks row by row, the patches of a block together.
    pub data: Vec<f32>,
    /// Patches in time, down and across: `[t, h, w]`.
    pub grid_thw: [usize; 3],
    /// Width and height of the picture as given, in pixels, upright.
    pub original_size: (u32, u32),
    /// Width and height the model sees, in pixels; its boxes are in this frame.
    pub resized_size: (u32, u32),
}

/// A conversation as the model takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    pub token_ids: Vec<u32>,
    /// In the order in which their `<|image_pad|>` runs stand in `token_ids`.
    pub images: Vec<PixelPatches>,
    /// Where the assistant speaks, each turn with its `<|im_end|>`: what an answer-only loss counts.
    pub answer_spans: Vec<Range<usize>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    User,
    Assistant,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Index into the images given to `Processor::encode`.
    Image(usize),
    Text(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub content: Vec<Content>,
}
