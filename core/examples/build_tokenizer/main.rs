//! Makes the tokenizer of the bundled tiny model, with the small files that go with it:
//! `cargo run -p spatial-ladder-core --no-default-features --example build_tokenizer -- assets/tiny`
//!
//! A byte-level BPE in `tokenizer.json` form, 1,792 tokens. By id: the integers 0 to 1023 (token n is the
//! number n, so that neighbouring coordinates can get neighbouring embeddings), the other 246 bytes, the
//! pieces listed in `words.rs`, what byte-pair merges learn from them, and Qwen2.5-VL's special tokens.

mod words;

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

const NUMBERS: u32 = 1024;
const SPECIAL: [&str; 7] = [
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
];
const VOCABULARY: usize = 1792;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("which folder? For the bundled model: assets/tiny")?;
    let folder = Path::new(&folder);
    std::fs::create_dir_all(folder)?;
    let tokenizer = tokenizer()?;
    for (name, contents) in [
        ("tokenizer.json", format!("{tokenizer:#}\n")),
        ("tokenizer_config.json", format!("{:#}\n", tokenizer_config())),
        ("preprocessor_config.json", format!("{:#}\n", preprocessor_config())),
        ("generation_config.json", format!("{:#}\n", generation_config())),
        ("chat_template.jinja", CHAT_TEMPLATE.to_owned()),
    ] {
        std::fs::write(folder.join(name), contents)?;
    }
    println!("{} tokens in {}", VOCABULARY, folder.display());
    Ok(())
}

fn tokenizer() -> Result<Value, Box<dyn Error>> {
    let alphabet = byte_alphabet();
    let spell = |text: &str| text.bytes().map(|byte| alphabet[usize::from(byte)]).collect::<String>();

    let mut vocabulary: Vec<String> = (0..NUMBERS).map(|number| number.to_string()).collect();
    vocabulary.extend(
        (0..=u8::MAX)
            .filter(|byte| !byte.is_ascii_digit())
            .map(|byte| alphabet[usize::from(byte)].to_string()),
    );
    for piece in pieces() {
        let piece = spell(&piece);
        if !vocabulary.contains(&piece) {
            vocabulary.push(piece);
        }
    }
    let pieces_end = vocabulary.len();
    let merges = learn_merges(&mut vocabulary, &corpus().iter().map(|word| spell(word)).collect::<Vec<_>>())?;
    println!("{pieces_end} tokens before merging, {} merges", merges.len());

    let first_special = vocabulary.len();
    let vocab: Map<String, Value> =
        vocabulary.into_iter().enumerate().map(|(id, token)| (token, id.into())).collect();
    if vocab.len() != first_special {
        return Err("a token is listed twice".into());
    }
    let added: Vec<Value> = SPECIAL
        .iter()
        .enumerate()
        .map(|(index, content)| {
            json!({
                "id": first_special + index, "content": content, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true,
            })
        })
        .collect();
    let byte_level =
        json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false });
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                { "type": "Split", "pattern": { "Regex": split_pattern() }, "behavior": "Isolated", "invert": false },
                byte_level,
            ],
        },
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "byte_fallback": false,
            // A piece that is a token is that token, however its merges would go: above all numbers.
            "ignore_merges": true,
            "vocab": vocab,
            "merges": merges,
        },
    }))
}

/// Everything that is one token because `words.rs` says so.
fn pieces() -> Vec<String> {
    let spaced = |word: &&str| format!(" {word}");
    let mut pieces: Vec<String> = words::PHRASES.iter().chain(&words::MARKS).map(|s| s.to_string()).collect();
    for word in words::CATEGORIES.iter().chain(&words::CAPITALIZED) {
        pieces.push(word.to_string());
        pieces.push(spaced(word));
    }
    pieces.extend(words::WORDS.iter().chain(&words::CAPITALIZED_LATER).map(spaced));
    pieces
}

/// Where text is cut before merging: phrases whole, names of two words whole, numbers whole, words with
/// the space before them, runs of marks, runs of white space.
fn split_pattern() -> String {
    let mut phrases = words::PHRASES.to_vec();
    phrases.sort_by_key(|phrase| std::cmp::Reverse(phrase.len()));
    let mut names: Vec<&str> = words::CATEGORIES.iter().copied().filter(|name| name.contains(' ')).collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    let phrases: Vec<String> = phrases.into_iter().map(escape).collect();
    let names: Vec<String> = names.into_iter().map(escape).collect();
    [
        phrases.join("|"),
        format!(r" ?(?:{})(?![\p{{L}}\p{{M}}])", names.join("|")),
        r", (?=[0-9])".to_owned(),
        r" ?[^\s\p{P}\p{S}0-9]+".to_owned(),
        r"[0-9]+".to_owned(),
        // A run of marks ends where a tag may begin.
        r" ?(?:<|(?:(?!<)[\p{P}\p{S}])+)".to_owned(),
        r"\s+(?!\S)".to_owned(),
        r"\s+".to_owned(),
    ]
    .join("|")
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        if r"\.+*?()|[]{}^$".contains(char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

/// Words to learn merges from, as the split cuts them.
fn corpus() -> Vec<String> {
    let listed = words::CATEGORIES.iter().chain(&words::WORDS).flat_map(|name| name.split(' '));
    listed
        .chain(words::ENGLISH.split_whitespace())
        .flat_map(|word| [format!(" {word}"), word.to_owned()])
        .collect()
}

/// Byte-pair encoding: joins the commonest pair of neighbours until the vocabulary is full. Among equally
/// common pairs the first in alphabetical order, so that the result never varies.
fn learn_merges(
    vocabulary: &mut Vec<String>,
    words: &[String],
) -> Result<Vec<(String, String)>, Box<dyn Error>> {
    let mut words: Vec<Vec<String>> =
        words.iter().map(|word| word.chars().map(|char| char.to_string()).collect()).collect();
    let mut merges = Vec::new();
    while vocabulary.len() + SPECIAL.len() < VOCABULARY {
        let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
        for word in &words {
            for pair in word.windows(2) {
                *counts.entry((&pair[0], &pair[1])).or_default() += 1;
            }
        }
        let highest = counts.values().copied().max().ok_or("no pair is left to merge")?;
        let (left, right) = counts
            .into_iter()
            .find(|(_, count)| *count == highest)
            .map(|((left, right), _)| (left.to_owned(), right.to_owned()))
            .ok_or("no pair is left to merge")?;
        let joined = format!("{left}{right}");
        for word in &mut words {
            let mut i = 0;
            while i + 1 < word.len() {
                if word[i] == left && word[i + 1] == right {
                    word[i].clone_from(&joined);
                    word.remove(i + 1);
                }
                i += 1;
            }
        }
        if !vocabulary.contains(&joined) {
            vocabulary.push(joined);
        }
        merges.push((left, right));
    }
    Ok(merges)
}

/// The printable characters as which byte-level BPE writes bytes.
fn byte_alphabet() -> [char; 256] {
    let mut others = (256..).filter_map(char::from_u32);
    std::array::from_fn(|byte| match byte as u8 {
        printable @ (b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF) => char::from(printable),
        _ => others.next().unwrap_or_default(),
    })
}

fn tokenizer_config() -> Value {
    json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "Qwen2_5_VLProcessor",
        "bos_token": null,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": null,
        "add_bos_token": false,
        "add_prefix_space": false,
        "clean_up_tokenization_spaces": false,
        "model_max_length": 4096,
    })
}

fn preprocessor_config() -> Value {
    json!({
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "min_pixels": 784,
        "max_pixels": 38400,
        "patch_size": 14,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    })
}

fn generation_config() -> Value {
    let id = |name: &str| SPECIAL.iter().position(|s| *s == name).map(|i| VOCABULARY - SPECIAL.len() + i);
    json!({
        "do_sample": false,
        "eos_token_id": [id("<|im_end|>"), id("<|endoftext|>")],
        "pad_token_id": id("<|endoftext|>"),
    })
}

/// The same turns that `processor::chat` makes, for transformers and vLLM.
const CHAT_TEMPLATE: &str = r#"{%- if messages and messages[0].role != "system" -%}
    {{- "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" -}}
{%- endif -%}
{%- for message in messages -%}
    {{- "<|im_start|>" + message.role + "\n" -}}
    {%- if message.content is string -%}
        {{- message.content -}}
    {%- else -%}
        {%- for part in message.content -%}
            {%- if part.type == "image" -%}
                {{- "<|vision_start|><|image_pad|><|vision_end|>" -}}
            {%- elif part.type == "video" -%}
                {{- "<|vision_start|><|video_pad|><|vision_end|>" -}}
            {%- elif part.type == "text" -%}
                {{- part.text -}}
            {%- endif -%}
        {%- endfor -%}
    {%- endif -%}
    {{- "<|im_end|>\n" -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{- "<|im_start|>assistant\n" -}}
{%- endif -%}
"#;
