//! The messages between the page and its model worker.
//!
//! Each is posted as one object `{ json, bytes }`: the message as JSON text, and beside it the file
//! that goes with it, as a transferred `Uint8Array` that is not copied.

use serde::{Deserialize, Serialize};
use spatial_ladder::answering::{Answer, Prompt};

/// Where the model shall run, as `?device=` in the page's address says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceChoice {
    /// WebGPU where it is there and computes correctly, otherwise the CPU.
    #[default]
    Auto,
    Cpu,
    Webgpu,
}

impl DeviceChoice {
    /// Reads the query part of an address: `?device=cpu`, `?device=webgpu`; anything else is `Auto`.
    pub fn from_query(query: &str) -> Self {
        let value = query.trim_start_matches('?').split('&').find_map(|pair| pair.strip_prefix("device="));
        match value {
            Some("cpu") => Self::Cpu,
            Some("webgpu") => Self::Webgpu,
            _ => Self::Auto,
        }
    }
}

/// Page to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Request {
    /// The first message: choose a device and load the model. Sent once.
    Load {
        device: DeviceChoice,
        /// Folder of the model's files, relative to the worker's script or absolute.
        model_url: String,
    },
    /// A question about the picture file (jpg, png or webp) that is posted beside the message; `choices` are the answers
    /// to choose from, each with its letter.
    /// Answered by any number of [`Response::Token`], then one [`Response::Answer`] or
    /// [`Response::Refused`], all with the same `id`.
    Ask { id: u32, question: String, prompt: Prompt, choices: Vec<String>, max_new_tokens: usize },
    /// Stop answering `id` after the token under way. No effect when that answer is complete.
    Cancel { id: u32 },
}

/// Worker to page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Response {
    /// The worker's program runs and waits for [`Request::Load`].
    Started,
    /// What is being done until [`Response::Ready`].
    Loading { stage: LoadStage },
    /// The model can be asked.
    Ready { device: RunsOn, model: String, load_s: f64 },
    /// Some more text of the answer.
    Token { id: u32, text: String },
    /// The whole answer; `stopped` when it was cut short by [`Request::Cancel`].
    Answer { id: u32, answer: Box<Answer>, stopped: bool },
    /// This question cannot be answered (a broken picture, too long a text); others can.
    Refused { id: u32, message: String },
    /// The model's files cannot be fetched or read, whatever the device. The page has to end the worker.
    NotLoaded { message: String },
    /// The worker cannot go on: its program or its device has failed. The page has to end it.
    Failed { message: String },
}

/// What the worker does before it is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum LoadStage {
    /// Asking the browser for a GPU, and checking that it computes correctly.
    Device,
    /// Bytes of the model's files fetched so far, and of all of them.
    Download { done: u64, total: u64 },
    /// Turning the files into a model on the device; `webgpu` as in [`RunsOn`].
    Weights { webgpu: bool },
}

/// The device that the model runs on, and why not another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunsOn {
    pub webgpu: bool,
    /// For people: `WebGPU (nvidia ampere)`, `CPU`.
    pub name: String,
    /// Why WebGPU is not used although nobody forbade it.
    pub note: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_choice_is_read_from_the_address() {
        assert_eq!(DeviceChoice::from_query(""), DeviceChoice::Auto);
        assert_eq!(DeviceChoice::from_query("?device=cpu"), DeviceChoice::Cpu);
        assert_eq!(DeviceChoice::from_query("?a=b&device=webgpu"), DeviceChoice::Webgpu);
        assert_eq!(DeviceChoice::from_query("?device=abacus"), DeviceChoice::Auto);
    }

    #[test]
    fn messages_keep_their_wire_form() {
        let ask = Request::Ask {
            id: 7,
            question: "Where is the chair?".into(),
            prompt: Prompt::Thinking,
            choices: vec!["A. left".into()],
            max_new_tokens: 64,
        };
        let json = serde_json::to_string(&ask).unwrap();
        assert_eq!(
            json,
            r#"{"type":"ask","id":7,"question":"Where is the chair?","prompt":"thinking","choices":["A. left"],"max_new_tokens":64}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&json).unwrap(), ask);

        let loading = Response::Loading { stage: LoadStage::Download { done: 1, total: 2 } };
        let json = serde_json::to_string(&loading).unwrap();
        assert_eq!(json, r#"{"type":"loading","stage":{"stage":"download","done":1,"total":2}}"#);
        assert_eq!(serde_json::from_str::<Response>(&json).unwrap(), loading);
    }
}
