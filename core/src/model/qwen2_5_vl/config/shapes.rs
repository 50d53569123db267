//! Shapes of models: the bundled one, the published one, and one between them to measure with.

use super::{Qwen2_5VlConfig, SpecialTokens, TextConfig, VisionConfig};

/// The ids of the published tokenizer.
const PUBLISHED: SpecialTokens = SpecialTokens {
    image: 151_655,
    video: 151_656,
    vision_start: 151_652,
    vision_end: 151_653,
    end_of_turn: 151_645,
    pad: 151_643,
};

impl Qwen2_5VlConfig {
    /// The bundled model's shape: 2.9 million parameters with a vocabulary of 2,000. Pictures are
    /// 224×168 pixels, so windows of 112 pixels make two by two of them. A video's frames are patches by themselves: the few
    /// of its short videos are too far apart to lie two in a patch, which would show both at once.
    pub fn tiny(vocab_size: usize, tokens: &SpecialTokens) -> Self {
        let text = TextConfig {
            vocab_size,
            hidden_size: 160,
            intermediate_size: 432,
            num_hidden_layers: 5,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            max_position_embeddings: 4096,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            mrope_section: [4, 8, 8],
            initializer_range: 0.02,
        };
        let vision = VisionConfig {
            depth: 4,
            hidden_size: 128,
            intermediate_size: 256,
            num_heads: 4,
            fullatt_block_indexes: vec![1, 3],
            temporal_patch_size: 1,
            ..published_vision(160)
        };
        Self::put_together(text, vision, tokens)
    }

    /// About 0.25 billion parameters, with the published tokenizer: for measuring, not published anywhere.
    pub fn mid() -> Self {
        let text = TextConfig {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            mrope_section: [8, 12, 12],
            ..published_text()
        };
        let vision = VisionConfig {
            depth: 8,
            hidden_size: 640,
            intermediate_size: 1720,
            num_heads: 8,
            fullatt_block_indexes: vec![3, 7],
            ..published_vision(768)
        };
        Self::put_together(text, vision, &PUBLISHED)
    }

    /// Qwen2.5-VL-3B-Instruct, and SpatialLadder-3B, which is trained from it.
    pub fn published_3b() -> Self {
        Self::put_together(published_text(), published_vision(2048), &PUBLISHED)
    }

    fn put_together(text: TextConfig, vision: VisionConfig, tokens: &SpecialTokens) -> Self {
        Self {
            text,
            vision,
            tie_word_embeddings: true,
            image_token_id: tokens.image,
            video_token_id: tokens.video,
            vision_start_token_id: tokens.vision_start,
            vision_end_token_id: tokens.vision_end,
            eos_token_ids: vec![tokens.end_of_turn],
            pad_token_id: Some(tokens.pad),
            quantization: None,
        }
    }
}

fn published_text() -> TextConfig {
    TextConfig {
        vocab_size: 151_936,
        hidden_size: 2048,
        intermediate_size: 11_008,
        num_hidden_layers: 36,
        num_attention_heads: 16,
        num_key_value_heads: 2,
        max_position_embeddings: 128_000,
        rms_norm_eps: 1e-6,
        rope_theta: 1_000_000.0,
        mrope_section: [16, 24, 24],
        initializer_range: 0.02,
    }
}

fn published_vision(out_hidden_size: usize) -> VisionConfig {
    VisionConfig {
        depth: 32,
        hidden_size: 1280,
        intermediate_size: 3420,
        num_heads: 16,
        in_channels: 3,
        patch_size: 14,
        temporal_patch_size: 2,
        spatial_merge_size: 2,
        window_size: 112,
        fullatt_block_indexes: vec![7, 15, 23, 31],
        out_hidden_size,
        tokens_per_second: 2.0,
    }
}
