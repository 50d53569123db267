//! From the JSON of a `config.json` to a checked config; errors name the field.

use super::{QUANT_METHOD, Qwen2_5VlConfig, TextConfig, VisionConfig};
use crate::model::quantization::{Bits, GROUP};
use serde_json::{Map, Value};

pub(super) fn parse(root: &Map<String, Value>) -> Result<Qwen2_5VlConfig, String> {
    match root.get("model_type") {
        Some(Value::String(name)) if name == "qwen2_5_vl" => {}
        Some(other) => {
            return Err(format!(
                "model_type {other} is not supported; this program runs Qwen2.5-VL (\"qwen2_5_vl\")"
            ));
        }
        None => return Err("the field `model_type` is missing; expected \"qwen2_5_vl\"".into()),
    }
    let nested = match root.get("text_config") {
        Some(Value::Object(text)) => Some(Fields { map: text, place: "text_config." }),
        _ => None,
    };
    let root = Fields { map: root, place: "" };
    let text = nested.unwrap_or(root);
    let vision = match root.map.get("vision_config") {
        Some(Value::Object(map)) => Fields { map, place: "vision_config." },
        _ => return Err("the field `vision_config` is missing or not an object".into()),
    };
    let config = Qwen2_5VlConfig {
        text: text_config(text)?,
        vision: vision_config(vision)?,
        // Before transformers 5 it stood in the text part.
        tie_word_embeddings: root.bool("tie_word_embeddings", false)?
            || text.bool("tie_word_embeddings", false)?,
        image_token_id: root.id("image_token_id")?,
        video_token_id: root.id("video_token_id")?,
        vision_start_token_id: root.id("vision_start_token_id")?,
        vision_end_token_id: root.id("vision_end_token_id")?,
        eos_token_ids: match root.ids("eos_token_id")? {
            ids if ids.is_empty() => text.ids("eos_token_id")?,
            ids => ids,
        },
        pad_token_id: root.ids("pad_token_id")?.first().copied(),
        quantization: quantization(root)?,
    };
    check(&config)?;
    Ok(config)
}

fn quantization(root: Fields<'_>) -> Result<Option<Bits>, String> {
    let Some(fields) = root.object("quantization_config")? else {
        return Ok(None);
    };
    let method = fields.map.get("quant_method").and_then(Value::as_str).unwrap_or("?");
    if method != QUANT_METHOD {
        return Err(format!(
            "the weights are quantized by \"{method}\", which is not supported; take the model without quantization and \
             use `spatial-ladder quantize`"
        ));
    }
    let (bits, group) = (fields.size("bits")?, fields.size_or("group_size", GROUP)?);
    match Bits::from_number(bits as u64).filter(|_| group == GROUP) {
        Some(bits) => Ok(Some(bits)),
        None => Err(format!(
            "`quantization_config` asks for {bits} bits in groups of {group}; 4 or 8 in groups of {GROUP} are known"
        )),
    }
}

fn text_config(fields: Fields<'_>) -> Result<TextConfig, String> {
    fields.expect_silu()?;
    if fields.bool("use_sliding_window", false)? {
        return Err("sliding-window attention (`use_sliding_window`: true) is not supported".into());
    }
    let heads = fields.size("num_attention_heads")?;
    let rope = fields.object("rope_parameters")?.or(fields.object("rope_scaling")?);
    let section = rope.and_then(|rope| rope.map.get("mrope_section"));
    let section = section
        .ok_or("the field `rope_scaling.mrope_section` is missing; it holds three counts, as [16, 24, 24]")?;
    let rope_theta = match rope.and_then(|rope| rope.map.get("rope_theta")) {
        Some(theta) => theta.as_f64().ok_or("`rope_parameters.rope_theta` should be a number")?,
        None => fields.number("rope_theta", Some(1_000_000.0))?,
    };
    Ok(TextConfig {
        vocab_size: fields.size("vocab_size")?,
        hidden_size: fields.size("hidden_size")?,
        intermediate_size: fields.size("intermediate_size")?,
        num_hidden_layers: fields.size("num_hidden_layers")?,
        num_attention_heads: heads,
        num_key_value_heads: fields.size_or("num_key_value_heads", heads)?,
        max_position_embeddings: fields.size_or("max_position_embeddings", 32_768)?,
        rms_norm_eps: fields.number("rms_norm_eps", Some(1e-6))?,
        rope_theta,
        mrope_section: serde_json::from_value(section.clone())
            .map_err(|_| "`mrope_section` should hold three counts, as [16, 24, 24]".to_owned())?,
        initializer_range: fields.number("initializer_range", Some(0.02))?,
    })
}

fn vision_config(fields: Fields<'_>) -> Result<VisionConfig, String> {
    fields.expect_silu()?;
    let blocks = match fields.map.get("fullatt_block_indexes") {
        Some(value) => serde_json::from_value(value.clone()).map_err(|_| {
            "`vision_config.fullatt_block_indexes` should be a list of block numbers".to_owned()
        })?,
        None => vec![7, 15, 23, 31],
    };
    Ok(VisionConfig {
        depth: fields.size("depth")?,
        hidden_size: fields.size("hidden_size")?,
        intermediate_size: fields.size("intermediate_size")?,
        num_heads: fields.size("num_heads")?,
        in_channels: fields.size_or("in_channels", fields.size_or("in_chans", 3)?)?,
        patch_size: fields.size_or("patch_size", 14)?,
        temporal_patch_size: fields.size_or("temporal_patch_size", 2)?,
        spatial_merge_size: fields.size_or("spatial_merge_size", 2)?,
        window_size: fields.size_or("window_size", 112)?,
        fullatt_block_indexes: blocks,
        out_hidden_size: fields.size("out_hidden_size")?,
        tokens_per_second: fields.number("tokens_per_second", Some(4.0))?,
    })
}

/// Relations between fields that the layers rely on.
fn check(config: &Qwen2_5VlConfig) -> Result<(), String> {
    let (text, vision) = (&config.text, &config.vision);
    let divides = |name: &str, whole: usize, part: usize| {
        if whole.is_multiple_of(part) {
            Ok(())
        } else {
            Err(format!("{name}: {whole} is not a multiple of {part}"))
        }
    };
    divides("hidden_size by num_attention_heads", text.hidden_size, text.num_attention_heads)?;
    divides(
        "num_attention_heads by num_key_value_heads",
        text.num_attention_heads,
        text.num_key_value_heads,
    )?;
    divides("vision_config.hidden_size by num_heads", vision.hidden_size, vision.num_heads)?;
    divides("vision_config: head size by 4", vision.head_dim(), 4)?;
    divides(
        "vision_config.window_size by patch_size × spatial_merge_size",
        vision.window_size,
        vision.patch_size * vision.spatial_merge_size,
    )?;
    let rotary: usize = text.mrope_section.iter().sum();
    if rotary * 2 != text.head_dim() {
        return Err(format!(
            "mrope_section adds up to {rotary}, half the head size is {}",
            text.head_dim() / 2
        ));
    }
    if vision.out_hidden_size != text.hidden_size {
        return Err(format!(
            "vision_config.out_hidden_size is {}, hidden_size is {}; they must be equal",
            vision.out_hidden_size, text.hidden_size
        ));
    }
    let ids = [
        ("image_token_id", config.image_token_id),
        ("video_token_id", config.video_token_id),
        ("vision_start_token_id", config.vision_start_token_id),
        ("vision_end_token_id", config.vision_end_token_id),
    ];
    for (name, id) in ids {
        if id as usize >= text.vocab_size {
            return Err(format!("{name} is {id}, but vocab_size is {}", text.vocab_size));
        }
    }
    Ok(())
}

/// Fields of one JSON object, with errors that name them in full.
#[derive(Clone, Copy)]
struct Fields<'a> {
    map: &'a Map<String, Value>,
    place: &'static str,
}

impl<'a> Fields<'a> {
    /// `null` counts as absent, as in transformers.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn missing(&self, name: &str) -> String {
        format!("the field `{}{name}` is missing", self.place)
    }

    fn wrong(&self, name: &str, expected: &str, value: &Value) -> String {
        format!("`{}{name}` should be {expected}, found {value}", self.place)
    }

    fn size(&self, name: &str) -> Result<usize, String> {
        let value = self.get(name).ok_or_else(|| self.missing(name))?;
        // The upper bound keeps products of two sizes far from overflow.
        match value.as_u64() {
            Some(size) if (1..=1 << 28).contains(&size) => Ok(size as usize),
            _ => Err(self.wrong(name, "a positive whole number", value)),
        }
    }

    fn size_or(&self, name: &str, default: usize) -> Result<usize, String> {
        if self.get(name).is_some() { self.size(name) } else { Ok(default) }
    }

    fn number(&self, name: &str, default: Option<f64>) -> Result<f64, String> {
        match (self.get(name), default) {
            (Some(value), _) => value
                .as_f64()
                .filter(|x| *x > 0.0)
                .ok_or_else(|| self.wrong(name, "a positive number", value)),
            (None, Some(default)) => Ok(default),
            (None, None) => Err(self.missing(name)),
        }
    }

    fn bool(&self, name: &str, default: bool) -> Result<bool, String> {
        match self.get(name) {
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(name, "true or false", value)),
            None => Ok(default),
        }
    }

    fn id(&self, name: &str) -> Result<u32, String> {
        self.ids(name)?.first().copied().ok_or_else(|| self.missing(name))
    }

    /// One id, a list of ids, or none.
    fn ids(&self, name: &str) -> Result<Vec<u32>, String> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let values = match value {
            Value::Array(values) => values.as_slice(),
            value => std::slice::from_ref(value),
        };
        let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
        values.iter().map(|v| id(v).ok_or_else(|| self.wrong(name, "a token id", value))).collect()
    }

    fn object(&self, name: &str) -> Result<Option<Fields<'a>>, String> {
        match self.get(name) {
            Some(Value::Object(map)) => Ok(Some(Fields { map, place: self.place })),
            Some(value) => Err(self.wrong(name, "an object", value)),
            None => Ok(None),
        }
    }

    fn expect_silu(&self) -> Result<(), String> {
        match self.get("hidden_act") {
            Some(Value::String(name)) if name == "silu" => Ok(()),
            Some(value) => Err(self.wrong("hidden_act", "\"silu\"", value)),
            None => Ok(()),
        }
    }
}
