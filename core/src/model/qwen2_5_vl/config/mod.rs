//! `config.json` of Qwen2.5-VL: the flat form that the published checkpoints use and the nested form
//! (`text_config`) of transformers 5.

mod read;
mod shapes;

use crate::model::ModelError;
use crate::model::quantization::{Bits, GROUP};
use serde_json::{Map, Value, json};
use std::path::Path;

/// Names our own way of storing weights in few bits: see [`crate::model::quantization`].
const QUANT_METHOD: &str = "spatial-ladder";

/// The vision tower.
#[derive(Debug, Clone, PartialEq)]
pub struct VisionConfig {
    pub depth: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_heads: usize,
    pub in_channels: usize,
    /// Pixels.
    pub patch_size: usize,
    /// Frames in a patch.
    pub temporal_patch_size: usize,
    /// Patches along each edge of the square that becomes one token.
    pub spatial_merge_size: usize,
    /// Pixels; attention stays inside windows of this edge length.
    pub window_size: usize,
    /// Blocks that attend over the whole frame instead.
    pub fullatt_block_indexes: Vec<usize>,
    /// Width of the merged tokens: `hidden_size` of the text model.
    pub out_hidden_size: usize,
    /// Steps of the temporal position in a second of video.
    pub tokens_per_second: f64,
}

/// The language model.
#[derive(Debug, Clone, PartialEq)]
pub struct TextConfig {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub max_position_embeddings: usize,
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    /// How many rotary frequencies follow time, height and width; their sum is half the head size.
    pub mrope_section: [usize; 3],
    /// Standard deviation of random weights.
    pub initializer_range: f64,
}

/// Everything that decides the shape of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Qwen2_5VlConfig {
    pub text: TextConfig,
    pub vision: VisionConfig,
    pub tie_word_embeddings: bool,
    pub image_token_id: u32,
    pub video_token_id: u32,
    pub vision_start_token_id: u32,
    pub vision_end_token_id: u32,
    /// Tokens that end an answer.
    pub eos_token_ids: Vec<u32>,
    pub pad_token_id: Option<u32>,
    /// Of the decoder's linear layers, if they are stored in few bits.
    pub quantization: Option<Bits>,
}

/// Ids of the tokens with a meaning of their own, as the tokenizer has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecialTokens {
    pub image: u32,
    pub video: u32,
    pub vision_start: u32,
    pub vision_end: u32,
    /// `<|im_end|>`
    pub end_of_turn: u32,
    /// `<|endoftext|>`
    pub pad: u32,
}

impl VisionConfig {
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads
    }

    /// Numbers in one patch: channels × frames × height × width.
    pub fn patch_len(&self) -> usize {
        self.in_channels * self.temporal_patch_size * self.patch_size * self.patch_size
    }

    /// Patches that become one token.
    pub fn merge_unit(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }
}

impl TextConfig {
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }
}

impl Qwen2_5VlConfig {
    /// Reads `config.json` in a model folder.
    pub fn load(dir: &Path) -> Result<Self, ModelError> {
        let path = dir.join("config.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ModelError::MissingFile {
                    path,
                    remedy: "a model folder holds config.json, model.safetensors, tokenizer.json and \
                             preprocessor_config.json. Give such a folder, the directory of a finished run, a checkpoint of \
                             a run that is not finished (RUN/checkpoints/step_…), or `tiny` for the built-in model"
                        .into(),
                });
            }
            Err(source) => return Err(ModelError::Io { path, source }),
        };
        Self::from_json(&text, &path)
    }

    /// Parses the text of a `config.json`; `path` is only for error messages. Keys that do not matter
    /// here are ignored (published files hold dozens); keys that do are checked by name.
    pub fn from_json(text: &str, path: &Path) -> Result<Self, ModelError> {
        let fail = |message: String| ModelError::Config { path: path.to_owned(), message };
        let root: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| fail(format!("not valid JSON: {error}")))?;
        read::parse(&root).map_err(fail)
    }

    /// Whether a token stands for a part of an image or a video.
    pub fn is_visual(&self, token: u32) -> bool {
        token == self.image_token_id || token == self.video_token_id
    }

    /// The text of a `config.json` that transformers 4 and 5 both read.
    pub fn to_json(&self) -> String {
        let (text, vision) = (&self.text, &self.vision);
        let value = json!({
            "architectures": ["Qwen2_5_VLForConditionalGeneration"],
            "model_type": "qwen2_5_vl",
            "vocab_size": text.vocab_size,
            "hidden_size": text.hidden_size,
            "intermediate_size": text.intermediate_size,
            "num_hidden_layers": text.num_hidden_layers,
            "num_attention_heads": text.num_attention_heads,
            "num_key_value_heads": text.num_key_value_heads,
            "hidden_act": "silu",
            "max_position_embeddings": text.max_position_embeddings,
            "initializer_range": text.initializer_range,
            "rms_norm_eps": text.rms_norm_eps,
            "rope_theta": text.rope_theta,
            "rope_scaling": { "type": "mrope", "mrope_section": text.mrope_section },
            "attention_dropout": 0.0,
            "use_sliding_window": false,
            "tie_word_embeddings": self.tie_word_embeddings,
            "image_token_id": self.image_token_id,
            "video_token_id": self.video_token_id,
            "vision_start_token_id": self.vision_start_token_id,
            "vision_end_token_id": self.vision_end_token_id,
            "bos_token_id": Value::Null,
            "eos_token_id": match self.eos_token_ids.as_slice() { [one] => json!(one), many => json!(many) },
            "pad_token_id": self.pad_token_id,
            "vision_config": {
                "model_type": "qwen2_5_vl",
                "depth": vision.depth,
                "hidden_size": vision.hidden_size,
                "intermediate_size": vision.intermediate_size,
                "num_heads": vision.num_heads,
                "hidden_act": "silu",
                "in_channels": vision.in_channels,
                "in_chans": vision.in_channels,
                "patch_size": vision.patch_size,
                "temporal_patch_size": vision.temporal_patch_size,
                "spatial_merge_size": vision.spatial_merge_size,
                "window_size": vision.window_size,
                "fullatt_block_indexes": vision.fullatt_block_indexes,
                "out_hidden_size": vision.out_hidden_size,
                "tokens_per_second": vision.tokens_per_second as i64,
                "initializer_range": text.initializer_range,
            },
        });
        let mut value = value;
        if let Some(bits) = self.quantization {
            value["quantization_config"] = json!({
                "quant_method": QUANT_METHOD, "bits": bits.number(), "group_size": GROUP,
            });
        }
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> Qwen2_5VlConfig {
        let tokens =
            SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
        Qwen2_5VlConfig::tiny(2000, &tokens)
    }

    fn read(text: &str) -> Result<Qwen2_5VlConfig, String> {
        Qwen2_5VlConfig::from_json(text, Path::new("config.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn written_config_reads_back() {
        assert_eq!(read(&tiny().to_json()).unwrap(), tiny());
    }

    #[test]
    fn nested_config_of_transformers_5_reads_the_same() {
        let mut flat: Map<String, Value> = serde_json::from_str(&tiny().to_json()).unwrap();
        let mut text = Map::new();
        for name in [
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_hidden_layers",
            "num_attention_heads",
            "num_key_value_heads",
            "max_position_embeddings",
            "initializer_range",
            "rms_norm_eps",
            "eos_token_id",
        ] {
            text.insert(name.into(), flat.remove(name).unwrap());
        }
        flat.remove("rope_scaling");
        flat.remove("rope_theta");
        text.insert(
            "rope_parameters".into(),
            json!({ "rope_theta": 10000.0, "rope_type": "default", "mrope_section": [4, 8, 8] }),
        );
        flat.insert("text_config".into(), Value::Object(text));
        flat.insert("some_future_key".into(), json!([1, 2]));
        assert_eq!(read(&Value::Object(flat).to_string()).unwrap(), tiny());
    }

    #[test]
    fn errors_name_the_field() {
        let text = tiny().to_json();
        let cases = [
            (text.replace("\"qwen2_5_vl\",\n  \"vocab", "\"llama\",\n  \"vocab"), "model_type \"llama\""),
            (
                text.replace("\"intermediate_size\": 256", "\"x\": 1"),
                "`vision_config.intermediate_size` is missing",
            ),
            (
                text.replace("\"vocab_size\": 2000", "\"vocab_size\": \"many\""),
                "`vocab_size` should be a positive whole number, found \"many\"",
            ),
            (
                text.replace("\"num_attention_heads\": 4", "\"num_attention_heads\": 3"),
                "160 is not a multiple of 3",
            ),
            (text.replace("\"image_token_id\": 5", "\"image_token_id\": 5000"), "image_token_id is 5000"),
            (text[..text.len() / 2].to_owned(), "not valid JSON"),
        ];
        for (text, expected) in cases {
            let error = read(&text).unwrap_err();
            assert!(error.starts_with("config.json: ") && error.contains(expected), "{error}");
        }
    }
}
