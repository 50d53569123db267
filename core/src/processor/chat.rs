//! The chat template of Qwen2.5-VL, written out: turns between `<|im_start|>` and `<|im_end|>`, each image
//! as one run of `<|image_pad|>` between `<|vision_start|>` and `<|vision_end|>`.

use super::{ProcessorError, Tokenizer};
use crate::samples::prompts::DEFAULT_SYSTEM;
use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    User,
    Assistant,
}

/// A part of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Index into the images and videos given to [`Processor::encode`](super::Processor::encode).
    Image(usize),
    Text(String),
}

/// A turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub content: Vec<Content>,
}

impl Message {
    pub fn system(text: impl Into<String>) -> Self {
        Self { role: Role::System, content: vec![Content::Text(text.into())] }
    }

    /// The images with these indices, then the text: the order in which every stage shows them.
    pub fn user(images: Range<usize>, text: impl Into<String>) -> Self {
        let content = images.map(Content::Image).chain([Content::Text(text.into())]).collect();
        Self { role: Role::User, content }
    }

    pub fn assistant(text: impl Into<String>) -> Self {
        Self { role: Role::Assistant, content: vec![Content::Text(text.into())] }
    }
}

/// A piece of the conversation between which the tokenizer must not look.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Text(String),
    StartOfTurn,
    EndOfTurn,
    Image(usize),
    StartOfAnswer,
    EndOfAnswer,
}

/// The template, filled in.
pub(super) fn segments(messages: &[Message], add_generation_prompt: bool) -> Vec<Segment> {
    let mut segments = Vec::new();
    if messages.first().is_some_and(|message| message.role != Role::System) {
        turn(&mut segments, &Message::system(DEFAULT_SYSTEM));
    }
    for message in messages {
        turn(&mut segments, message);
    }
    if add_generation_prompt {
        segments.push(Segment::StartOfTurn);
        segments.push(header(Role::Assistant));
    }
    segments
}

fn turn(segments: &mut Vec<Segment>, message: &Message) {
    let answers = message.role == Role::Assistant;
    segments.push(Segment::StartOfTurn);
    segments.push(header(message.role));
    if answers {
        segments.push(Segment::StartOfAnswer);
    }
    segments.extend(message.content.iter().map(|content| match content {
        Content::Image(index) => Segment::Image(*index),
        Content::Text(text) => Segment::Text(text.clone()),
    }));
    segments.push(Segment::EndOfTurn);
    if answers {
        segments.push(Segment::EndOfAnswer);
    }
    segments.push(Segment::Text("\n".to_owned()));
}

fn header(role: Role) -> Segment {
    let name = match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    Segment::Text(format!("{name}\n"))
}

/// Turns segments into tokens. Text that no special token divides is tokenized as one, as the reference
/// does; only where an answer starts the text is cut, because generation starts there too.
pub(super) struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    ids: Vec<u32>,
    text: String,
    answer_spans: Vec<Range<usize>>,
    answer_start: usize,
}

impl<'a> Encoder<'a> {
    pub fn new(tokenizer: &'a Tokenizer) -> Self {
        Self { tokenizer, ids: Vec::new(), text: String::new(), answer_spans: Vec::new(), answer_start: 0 }
    }

    pub fn text(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub fn special(&mut self, id: u32) -> Result<(), ProcessorError> {
        self.repeat(id, 1)
    }

    pub fn repeat(&mut self, id: u32, count: usize) -> Result<(), ProcessorError> {
        self.flush()?;
        self.ids.extend(std::iter::repeat_n(id, count));
        Ok(())
    }

    pub fn start_answer(&mut self) -> Result<(), ProcessorError> {
        self.flush()?;
        self.answer_start = self.ids.len();
        Ok(())
    }

    pub fn end_answer(&mut self) -> Result<(), ProcessorError> {
        self.flush()?;
        self.answer_spans.push(self.answer_start..self.ids.len());
        Ok(())
    }

    pub fn finish(mut self) -> Result<(Vec<u32>, Vec<Range<usize>>), ProcessorError> {
        self.flush()?;
        Ok((self.ids, self.answer_spans))
    }

    fn flush(&mut self) -> Result<(), ProcessorError> {
        if !self.text.is_empty() {
            self.ids.extend(self.tokenizer.encode(&self.text)?);
            self.text.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_without_a_system_message_gets_the_usual_one() {
        let with = segments(&[Message::system(DEFAULT_SYSTEM), Message::user(0..1, "Where?")], true);
        let without = segments(&[Message::user(0..1, "Where?")], true);
        assert_eq!(with, without);
        assert!(segments(&[], false).is_empty());
    }
}
