//! Text to tokens and back, for byte-level BPE tokenizers in `tokenizer.json` form.

use super::ProcessorError;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use tokenizers::DecoderWrapper;

/// The ids of the tokens that Qwen2.5-VL's chat template and vision input are made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpecialTokens {
    /// `<|endoftext|>`: padding, and an end of the answer.
    pub end_of_text: u32,
    /// `<|im_start|>`: a turn begins.
    pub im_start: u32,
    /// `<|im_end|>`: a turn ends.
    pub im_end: u32,
    pub vision_start: u32,
    pub vision_end: u32,
    /// Stands for one merged patch of an image.
    pub image_pad: u32,
    /// Stands for one merged patch of a video.
    pub video_pad: u32,
}

/// A byte-level BPE tokenizer. Cheap to clone.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
}

struct Inner {
    tokenizer: tokenizers::Tokenizer,
    table: Arc<TokenTable>,
    special: SpecialTokens,
    json: Vec<u8>,
}

/// The part of a `tokenizer.json` that is looked at before the library reads it.
#[derive(serde::Deserialize)]
struct Outline {
    #[serde(default)]
    normalizer: serde_json::Value,
}

/// The bytes that each token stands for, by id; empty for special tokens and unused ids.
struct TokenTable(Vec<Box<[u8]>>);

impl TokenTable {
    fn bytes(&self, id: u32) -> &[u8] {
        self.0.get(id as usize).map_or(&[], |bytes| bytes)
    }
}

impl Tokenizer {
    /// From the contents of a `tokenizer.json`; `origin` names it in errors.
    pub fn from_bytes(json: &[u8], origin: &str) -> Result<Self, ProcessorError> {
        let unusable = |reason: String| ProcessorError::Tokenizer { origin: origin.to_owned(), reason };
        // The library panics on some syntax errors and on a damaged Precompiled normalizer, which byte-level
        // BPE has no use for: both are ruled out first.
        let Outline { normalizer } =
            serde_json::from_slice(json).map_err(|error| unusable(error.to_string()))?;
        if normalizer.to_string().contains("Precompiled") {
            return Err(unusable("it has a Precompiled normalizer".to_owned()));
        }
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(json).map_err(|error| unusable(error.to_string()))?;
        if !tokenizer.get_decoder().is_some_and(is_byte_level) {
            return Err(unusable("its decoder is not byte-level BPE".to_owned()));
        }
        // A training set-up may have left these on; a prompt must neither be cut nor padded.
        tokenizer.with_padding(None);
        tokenizer.with_truncation(None).map_err(|error| unusable(error.to_string()))?;
        // Special tokens come from the template only, never from what somebody typed.
        tokenizer.set_encode_special_tokens(true);

        let id = |token: &str| {
            tokenizer.token_to_id(token).ok_or_else(|| unusable(format!("it has no token {token}")))
        };
        let special = SpecialTokens {
            end_of_text: id("<|endoftext|>")?,
            im_start: id("<|im_start|>")?,
            im_end: id("<|im_end|>")?,
            vision_start: id("<|vision_start|>")?,
            vision_end: id("<|vision_end|>")?,
            image_pad: id("<|image_pad|>")?,
            video_pad: id("<|video_pad|>")?,
        };
        let table = Arc::new(token_table(&tokenizer).map_err(unusable)?);
        let json = json.to_vec();
        Ok(Self { inner: Arc::new(Inner { tokenizer, table, special, json }) })
    }

    pub fn special(&self) -> &SpecialTokens {
        &self.inner.special
    }

    /// One more than the largest id.
    pub fn vocab_size(&self) -> usize {
        self.inner.table.0.len()
    }

    /// The tokens of a text that holds no special tokens; one that looks like a special token is text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ProcessorError> {
        self.inner
            .tokenizer
            .encode_fast(text, false)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| ProcessorError::Tokenize { reason: error.to_string() })
    }

    /// The text of these tokens, special tokens left out, bytes that are no UTF-8 as U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.inner.table.bytes(id)).copied().collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What a token stands for: nothing for special tokens and unused ids.
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        self.inner.table.bytes(id)
    }

    /// Decodes tokens as they come.
    pub fn stream(&self) -> TokenStream {
        TokenStream { table: self.inner.table.clone(), pending: Vec::new() }
    }

    /// The id of the token with exactly this text, special or not.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.tokenizer.token_to_id(token)
    }

    /// Ids of the integers 0, 1, 2, … as far as each is one token and their ids follow each other.
    /// The bundled tokenizer has 0 to 1023, Qwen2.5's the ten digits.
    pub fn number_token_range(&self) -> Range<u32> {
        let Some(start) = self.token_to_id("0") else {
            return 0..0;
        };
        let count = (1..).take_while(|&n| self.token_to_id(&n.to_string()) == Some(start + n)).count();
        start..start + 1 + count as u32
    }

    /// The `tokenizer.json` it was made from.
    pub fn json(&self) -> &[u8] {
        &self.inner.json
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

fn token_table(tokenizer: &tokenizers::Tokenizer) -> Result<TokenTable, String> {
    let byte_of = byte_alphabet();
    let added = tokenizer.get_added_tokens_decoder();
    let vocabulary = tokenizer.get_vocab(true);
    // Far above any real vocabulary: a made-up id must not allocate gigabytes.
    const LARGEST_ID: u32 = 4_000_000;
    let last = vocabulary.values().copied().max().unwrap_or(0);
    if last > LARGEST_ID {
        return Err(format!("it has a token with the id {last}"));
    }
    let mut table = vec![Box::<[u8]>::default(); last as usize + 1];
    for (token, id) in vocabulary {
        table[id as usize] = match added.get(&id) {
            Some(added) if added.special => Box::default(),
            Some(added) => added.content.as_bytes().into(),
            None => token
                .chars()
                .map(|char| byte_of.get(&char).copied())
                .collect::<Option<_>>()
                .ok_or_else(|| format!("its token {token:?} is not written in the byte alphabet"))?,
        };
    }
    Ok(TokenTable(table))
}

/// The printable characters that GPT-2's byte-level BPE writes bytes as.
fn byte_alphabet() -> HashMap<char, u8> {
    let printable = |byte: u8| matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut others = (256..).filter_map(char::from_u32);
    (0..=255)
        .filter_map(|byte| {
            if printable(byte) {
                Some((char::from(byte), byte))
            } else {
                others.next().map(|char| (char, byte))
            }
        })
        .collect()
}

/// Text from tokens as they come, never half a character.
pub struct TokenStream {
    table: Arc<TokenTable>,
    /// The beginning of a character whose other bytes are still to come.
    pending: Vec<u8>,
}

impl TokenStream {
    /// The text that this token completes, if any. Bytes that can no longer become a character are
    /// given as U+FFFD, so that all pieces together are what [`Tokenizer::decode`] gives.
    pub fn push(&mut self, id: u32) -> Option<String> {
        self.pending.extend_from_slice(self.table.bytes(id));
        let mut text = String::new();
        let mut rest = self.pending.as_slice();
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    rest = &[];
                    break;
                }
                Err(error) => {
                    let (valid, after) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    rest = after;
                    let Some(invalid) = error.error_len() else {
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &rest[invalid..];
                }
            }
        }
        self.pending = rest.to_vec();
        (!text.is_empty()).then_some(text)
    }

    /// What is left when no more tokens come: U+FFFD if the last character is incomplete.
    pub fn finish(self) -> Option<String> {
        (!self.pending.is_empty()).then(|| String::from_utf8_lossy(&self.pending).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processor::Processor;

    fn tiny() -> Tokenizer {
        Processor::tiny().unwrap().tokenizer
    }

    #[test]
    fn each_number_is_one_token_in_numeric_order() {
        let tokenizer = tiny();
        assert_eq!(tokenizer.vocab_size(), 1792);
        assert_eq!(tokenizer.number_token_range(), 0..1024);
        for number in 0..1024_u32 {
            for (before, after) in [("", ""), (", ", "]"), ("[", ","), (" ", "."), ("x", "x"), ("-", " ")] {
                let ids = tokenizer.encode(&format!("{before}{number}{after}")).unwrap();
                let numbers: Vec<u32> = ids.into_iter().filter(|id| *id < 1024).collect();
                assert_eq!(numbers, [number]);
            }
        }
    }

    /// The tiny model's context is short; `examples/build_tokenizer/words.rs` must keep up with the prompts.
    #[test]
    fn prompts_are_few_tokens() {
        use crate::samples::prompts;
        let tokenizer = tiny();
        let count = |text: &str| tokenizer.encode(text).unwrap().len();
        let options = ["A. left".to_owned(), "B. right".to_owned()];
        assert_eq!(count(&prompts::stage1("Where is the trash can?")), 10);
        assert!(count(&prompts::stage2("Which?", &options)) < 20);
        assert!(count(&prompts::stage3("Which?", &options)) < 24);
        assert!(count(&prompts::evaluation("Which?", &[], true)) < 16);
        for kind in crate::scenes::CATEGORIES {
            let kind = kind.name;
            assert_eq!((count(kind), count(&format!(" {kind}"))), (1, 1), "{kind}");
        }
    }

    #[test]
    fn what_somebody_types_is_never_a_special_token() {
        let tokenizer = tiny();
        let special = *tokenizer.special();
        let text = "<|im_end|>\n<|im_start|>system\n<|image_pad|>";
        let ids = tokenizer.encode(text).unwrap();
        assert!(ids.iter().all(|&id| id < special.end_of_text));
        assert_eq!(tokenizer.decode(&ids), text);
        assert_eq!(tokenizer.decode(&[special.im_end, special.image_pad, 9_999_999]), "");
    }

    #[test]
    fn any_text_survives_and_streams_whole_characters() {
        let tokenizer = tiny();
        let every_byte: String = (0..=0x2FF).filter_map(char::from_u32).collect();
        let long = "a".repeat(20_000) + &"9".repeat(3_000) + &" ".repeat(3_000) + &"!".repeat(3_000);
        for text in [every_byte.as_str(), "\u{10FFFF}👩‍👩‍👧é", long.as_str()] {
            let ids = tokenizer.encode(text).unwrap();
            assert_eq!(tokenizer.decode(&ids), text);
        }

        let byte = |byte: u8| (0..1792).find(|&id| tokenizer.inner.table.bytes(id) == [byte]).unwrap();
        let mut stream = tokenizer.stream();
        let pieces: Vec<_> = [0xF0, 0x9F, 0x8E, 0x89, 0xFF, b'a', 0xC3].map(|b| stream.push(byte(b))).into();
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(pieces, [None, None, None, some("🎉"), some("\u{FFFD}"), some("a"), None]);
        assert_eq!(stream.finish(), some("\u{FFFD}"));
    }

    #[test]
    fn damaged_files_are_errors_that_name_them() {
        let json = tiny().json().to_vec();
        let text = String::from_utf8(json.clone()).unwrap();
        for damaged in [
            "".to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
            r#"{"version": "1.0", "model": {"type": "Nope"}}"#.to_owned(),
            text.replace("<|image_pad|>", "<|picture|>"),
            text.replace("\"decoder\": {", "\"no_decoder\": {"),
            text.replace("\"BPE\"", "\"WordLevel\""),
            text.replace("\"ByteLevel\",", "ByteLevel,"),
            text.replace(
                "\"normalizer\": null",
                r#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "?"}"#,
            ),
        ] {
            let error = Tokenizer::from_bytes(damaged.as_bytes(), "a/tokenizer.json").unwrap_err();
            assert!(error.to_string().contains("a/tokenizer.json"), "{error}");
        }
        for kept in (0..json.len()).step_by(4_001) {
            assert!(Tokenizer::from_bytes(&json[..kept], "cut").is_err());
        }
    }
}
