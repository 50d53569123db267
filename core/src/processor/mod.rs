//! From pictures and words to what the model takes, and back: image preprocessing, tokenizer, chat
//! template, and the one place where boxes change coordinates ([`boxes`]).
//!
//! Follows Qwen2.5-VL as published by its `preprocessor_config.json`, `tokenizer.json` and chat
//! template; `tests/fixtures/processor` holds what the reference implementation makes of the same input.

pub mod boxes;
mod chat;
mod error;
pub mod images;
mod preprocess;
mod resize;
mod tokenizer;

pub use chat::{Content, Message, Role};
pub use error::ProcessorError;
pub use preprocess::{ImageProcessor, PixelPatches, sample_frames, smart_resize};
pub use tokenizer::{SpecialTokens, TokenStream, Tokenizer};

use std::ops::Range;
use std::path::Path;

/// A conversation as the model takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    pub token_ids: Vec<u32>,
    /// Images and videos, in the order in which their runs of `<|image_pad|>` or `<|video_pad|>` stand in `token_ids`.
    pub images: Vec<PixelPatches>,
    /// Where the assistant speaks, each turn with its `<|im_end|>`: what an answer-only loss counts.
    pub answer_spans: Vec<Range<usize>>,
}

/// Tokenizer, chat template and image preprocessing of one model.
#[derive(Debug, Clone)]
pub struct Processor {
    pub tokenizer: Tokenizer,
    pub image: ImageProcessor,
    /// Files of the model folder that belong to the processor and are kept as they are: name, contents.
    companions: Vec<(&'static str, Vec<u8>)>,
}

const TOKENIZER_FILE: &str = "tokenizer.json";
const PREPROCESSOR_FILE: &str = "preprocessor_config.json";
const VIDEO_PREPROCESSOR_FILE: &str = "video_preprocessor_config.json";
/// What transformers 5 writes in place of these two.
const PROCESSOR_FILE: &str = "processor_config.json";

/// What transformers and vLLM want beside the two files above, or can do without.
const COMPANION_FILES: [&str; 7] = [
    VIDEO_PREPROCESSOR_FILE,
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "vocab.json",
    "merges.txt",
];

impl Processor {
    /// The processor of the bundled tiny model.
    pub fn tiny() -> Result<Self, ProcessorError> {
        let mut processor = Self::from_bytes(
            include_bytes!("../../../assets/tiny/tokenizer.json"),
            include_bytes!("../../../assets/tiny/preprocessor_config.json"),
        )?;
        processor.companions = vec![
            ("tokenizer_config.json", include_bytes!("../../../assets/tiny/tokenizer_config.json").to_vec()),
            ("chat_template.jinja", include_bytes!("../../../assets/tiny/chat_template.jinja").to_vec()),
            (
                "generation_config.json",
                include_bytes!("../../../assets/tiny/generation_config.json").to_vec(),
            ),
        ];
        Ok(processor)
    }

    /// From the contents of a model folder's `tokenizer.json` and `preprocessor_config.json`.
    pub fn from_bytes(
        tokenizer_json: &[u8],
        preprocessor_config_json: &[u8],
    ) -> Result<Self, ProcessorError> {
        Ok(Self {
            tokenizer: Tokenizer::from_bytes(tokenizer_json, TOKENIZER_FILE)?,
            image: ImageProcessor::from_bytes(preprocessor_config_json, PREPROCESSOR_FILE)?,
            companions: Vec::new(),
        })
    }

    /// From a model folder in Hugging Face form.
    pub fn load(dir: &Path) -> Result<Self, ProcessorError> {
        let read = |name: &str| {
            let path = dir.join(name);
            std::fs::read(&path).map_err(|source| ProcessorError::ModelFile { path, source })
        };
        let path = dir.join(TOKENIZER_FILE).display().to_string();
        let tokenizer = Tokenizer::from_bytes(&read(TOKENIZER_FILE)?, &path)?;
        let image = load_image_processor(dir)?;
        let mut companions = Vec::new();
        for name in COMPANION_FILES {
            if dir.join(name).is_file() {
                companions.push((name, read(name)?));
            }
        }
        Ok(Self { tokenizer, image, companions })
    }

    /// Writes the processor's files into a model folder, so that it can be loaded from there again, by
    /// this program or by transformers.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn save(&self, dir: &Path) -> Result<(), ProcessorError> {
        let image_config = self.image.to_json();
        let own = [(TOKENIZER_FILE, self.tokenizer.json()), (PREPROCESSOR_FILE, image_config.as_bytes())];
        let companions = self.companions.iter().map(|(name, bytes)| (*name, bytes.as_slice()));
        for (name, bytes) in own.into_iter().chain(companions) {
            crate::samples::files::write_atomic(&dir.join(name), bytes)?;
        }
        Ok(())
    }

    /// Puts a conversation into the model's words. Without a system message first, the model's usual one
    /// is put there; each image becomes as many `<|image_pad|>` as it has merged patches, a video as many
    /// `<|video_pad|>`. Where the model wants it ([`ImageProcessor::add_vision_id`]), several pictures are numbered.
    /// `add_generation_prompt` opens the assistant's turn at the end.
    ///
    /// Text is taken as text: a `<|im_end|>` that a user types is not the end of the turn.
    pub fn encode(
        &self,
        messages: &[Message],
        images: Vec<PixelPatches>,
        add_generation_prompt: bool,
    ) -> Result<Encoded, ProcessorError> {
        let special = self.tokenizer.special();
        let mut encoder = chat::Encoder::new(&self.tokenizer);
        let mut shown = Vec::new();
        let mut pictures = 0;
        let several = images.iter().filter(|patches| !patches.is_video()).count() > 1;
        for segment in chat::segments(messages, add_generation_prompt) {
            match segment {
                chat::Segment::Text(text) => encoder.text(&text),
                chat::Segment::StartOfTurn => encoder.special(special.im_start)?,
                chat::Segment::EndOfTurn => encoder.special(special.im_end)?,
                chat::Segment::Image(index) => {
                    let Some(patches) = images.get(index) else {
                        return Err(ProcessorError::NoSuchImage { index, count: images.len() });
                    };
                    if several && self.image.add_vision_id && !patches.is_video() {
                        pictures += 1;
                        encoder.text(&format!("Picture {pictures}: "));
                    }
                    encoder.special(special.vision_start)?;
                    let count = self.image.merged_tokens(patches.grid_thw);
                    let pad = if patches.is_video() { special.video_pad } else { special.image_pad };
                    encoder.repeat(pad, count)?;
                    encoder.special(special.vision_end)?;
                    shown.push(index);
                }
                chat::Segment::StartOfAnswer => encoder.start_answer()?,
                chat::Segment::EndOfAnswer => encoder.end_answer()?,
            }
        }
        let (token_ids, answer_spans) = encoder.finish()?;

        if let Some(index) = (0..images.len()).find(|index| !shown.contains(index)) {
            return Err(ProcessorError::UnusedImage { index });
        }
        let in_order = shown.iter().copied().eq(0..images.len());
        let images = if in_order {
            images
        } else {
            shown.iter().filter_map(|&index| images.get(index).cloned()).collect()
        };
        Ok(Encoded { token_ids, images, answer_spans })
    }

    /// The text of these tokens, special tokens left out, bytes that are no UTF-8 as U+FFFD.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids)
    }
}

/// From `preprocessor_config.json`, with `video_preprocessor_config.json` where there is one, or from
/// `processor_config.json`, which holds both.
fn load_image_processor(dir: &Path) -> Result<ImageProcessor, ProcessorError> {
    let [image, video, both] =
        [PREPROCESSOR_FILE, VIDEO_PREPROCESSOR_FILE, PROCESSOR_FILE].map(|name| dir.join(name));
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| ProcessorError::ModelFile { path: path.to_owned(), source })
    };
    if !image.is_file() && both.is_file() {
        let origin = both.display().to_string();
        let wrong = |reason: String| ProcessorError::ImageConfig { origin: origin.clone(), reason };
        let config: serde_json::Value = serde_json::from_slice(&read(&both)?)
            .map_err(|error| wrong(format!("not valid JSON: {error}")))?;
        let part = |name: &str| config.get(name).map(|part| part.to_string().into_bytes());
        let image = part("image_processor").ok_or_else(|| wrong("it has no image_processor".to_owned()))?;
        let processor = ImageProcessor::from_bytes(&image, &origin)?;
        return match part("video_processor") {
            Some(video) => processor.with_video_config(&video, &origin),
            None => Ok(processor),
        };
    }
    let processor = ImageProcessor::from_bytes(&read(&image)?, &image.display().to_string())?;
    match video.is_file() {
        true => processor.with_video_config(&read(&video)?, &video.display().to_string()),
        false => Ok(processor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(processor: &Processor, side: u32) -> PixelPatches {
        processor.image.preprocess(&image::RgbImage::new(side, side)).unwrap()
    }

    #[test]
    fn images_follow_their_place_in_the_text() {
        let processor = Processor::tiny().unwrap();
        let images = vec![picture(&processor, 56), picture(&processor, 84)];
        let backwards = Message {
            role: Role::User,
            content: vec![Content::Image(1), Content::Text(" or ".into()), Content::Image(0)],
        };
        let encoded = processor.encode(&[backwards], images.clone(), true).unwrap();
        assert_eq!(encoded.images, [images[1].clone(), images[0].clone()]);
        let pads =
            |ids: &[u32]| ids.iter().filter(|&&id| id == processor.tokenizer.special().image_pad).count();
        assert_eq!(pads(&encoded.token_ids), 9 + 4);

        let asked = Message::user(0..1, "Where?");
        let error = processor.encode(std::slice::from_ref(&asked), images, true).unwrap_err();
        assert!(matches!(error, ProcessorError::UnusedImage { index: 1 }));
        let error = processor.encode(&[asked], Vec::new(), true).unwrap_err();
        assert!(matches!(error, ProcessorError::NoSuchImage { index: 0, count: 0 }));
    }

    #[test]
    fn several_pictures_are_numbered_where_the_model_wants_it() {
        let mut processor = Processor::tiny().unwrap();
        let words = |processor: &Processor, count: usize| {
            let images = vec![picture(processor, 56); count];
            let asked = Message::user(0..count, "Where?");
            processor.decode(&processor.encode(&[asked], images, false).unwrap().token_ids)
        };
        assert!(words(&processor, 2).contains("Picture 1: Picture 2: Where?"), "{}", words(&processor, 2));
        assert!(!words(&processor, 1).contains("Picture"));
        let frames = vec![image::RgbImage::new(56, 56); 4];
        let video = processor.image.preprocess_video(&frames, 2.0).unwrap();
        let asked = Message::user(0..2, "Where?");
        let encoded = processor.encode(&[asked], vec![video, picture(&processor, 56)], false).unwrap();
        assert!(!processor.decode(&encoded.token_ids).contains("Picture"));
        processor.image.add_vision_id = false;
        assert!(!words(&processor, 2).contains("Picture"));
    }

    #[test]
    fn the_prompt_is_how_the_whole_conversation_begins() {
        let processor = Processor::tiny().unwrap();
        let asked = Message::user(0..0, "Where is the tv?");
        let answer = "\n\n```json\n[]\n```";
        let prompt = processor.encode(std::slice::from_ref(&asked), Vec::new(), true).unwrap();
        let whole = processor.encode(&[asked, Message::assistant(answer)], Vec::new(), false).unwrap();
        let span = whole.answer_spans[0].clone();
        assert_eq!(prompt.token_ids, whole.token_ids[..span.start]);
        assert_eq!(processor.decode(&whole.token_ids[span]), answer);
    }

    #[test]
    fn what_is_saved_can_be_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let mut processor = Processor::tiny().unwrap();
        processor.image.max_pixels = 100_352;
        processor.save(folder.path()).unwrap();
        let loaded = Processor::load(folder.path()).unwrap();
        assert_eq!(loaded.image.max_pixels, 100_352);
        assert_eq!(loaded.tokenizer.json(), processor.tokenizer.json());
        assert_eq!(loaded.companions, processor.companions);

        std::fs::remove_file(folder.path().join("tokenizer.json")).unwrap();
        let error = Processor::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json") && error.contains("weights"), "{error}");
    }
}
