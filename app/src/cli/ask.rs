//! `spatial-ladder ask`: a question about pictures, answered in the terminal.

use anyhow::Context as _;
use image::RgbImage;
use spatial_ladder::answering::{Answer, Answerer, AskOptions, GenerationOptions, Prompt, Visuals, lettered};
use spatial_ladder::model::{DeviceChoice, device};
use spatial_ladder::processor::{images, sample_frames};
use std::io::Write as _;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

/// Ask a model about one or several pictures.
///
/// By default the question is put into the prompt of stage 1 (localization), and boxes in the answer are
/// printed in pixels of the first picture. `--thinking` uses the prompt of stage 3 instead, `--raw-prompt`
/// sends the text as it is. The answer streams to stdout, everything else goes to stderr.
#[derive(Debug, clap::Args)]
pub struct AskArgs {
    /// Model folder in Hugging Face form, run directory, or a built-in model: `tiny` (after the ladder),
    /// `tiny:foundation` (before it)
    #[arg(long, default_value = "tiny")]
    pub model: String,

    /// Picture to ask about (JPEG, PNG or WebP); can be repeated
    #[arg(long = "image", value_name = "FILE", required_unless_present = "video")]
    pub images: Vec<PathBuf>,

    /// Folder with the frames of a video, in the order of their names
    #[arg(long, value_name = "DIR", conflicts_with = "images")]
    pub video: Option<PathBuf>,

    /// How many frames of the folder are a second of the video. The model is shown 2 a second; a folder of chosen
    /// frames counts as that, as for the published model
    #[arg(long, value_name = "F", default_value_t = SHOWN_PER_SECOND, value_parser = frame_rate, requires = "video")]
    pub fps: f32,

    /// Frames that the model is shown, at most
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..), requires = "video")]
    pub max_frames: u16,

    /// The question, for example "Where is the chair?"
    #[arg(long, value_name = "TEXT")]
    pub question: String,

    /// Send the question as the whole user turn, without any instruction around it
    #[arg(long, conflicts_with = "thinking")]
    pub raw_prompt: bool,

    /// Ask the model to think first, between <think> tags
    #[arg(long)]
    pub thinking: bool,

    /// Ask for the letter of an option or a number, without a thought or boxes
    #[arg(long, conflicts_with_all = ["thinking", "raw_prompt"])]
    pub direct: bool,

    /// An answer to choose from; can be repeated. Letters are put before them. Implies --direct unless --thinking is given
    #[arg(long = "option", value_name = "TEXT", conflicts_with = "raw_prompt")]
    pub options: Vec<String>,

    /// Let the model answer only in the form asked for: a letter of the options, a number, or boxes
    #[arg(long, conflicts_with = "raw_prompt")]
    pub constrain: bool,

    /// Text that ends the answer, which is cut before it; can be repeated
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,

    /// Longest answer, in tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub max_new_tokens: usize,

    /// 0 always takes the likeliest token; 1 samples as the model would
    #[arg(long, value_name = "T", default_value_t = 0.0, value_parser = temperature)]
    pub temperature: f32,

    /// Samples from the N likeliest tokens only; 0 for all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top_k: usize,

    /// Samples from the likeliest tokens that together reach this probability
    #[arg(long, value_name = "P", default_value_t = 1.0, value_parser = probability)]
    pub top_p: f32,

    /// Above 1, makes tokens that were said before less likely
    #[arg(long, value_name = "R", default_value_t = 1.0, value_parser = penalty)]
    pub repetition_penalty: f32,

    /// Seed for sampling
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// auto | cpu | wgpu | vulkan | cuda[:n] | remote:HOST:PORT[/n]
    #[arg(long, value_name = "D", default_value = "auto")]
    pub device: String,

    /// Print the answer as one JSON object when it is complete, instead of streaming it
    #[arg(long)]
    pub json: bool,
}

/// The frame rate that the published model was trained with.
const SHOWN_PER_SECOND: f32 = 2.0;

fn frame_rate(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value <= 1000.0 => Ok(value),
        _ => Err("give a number above 0, at most 1000".into()),
    }
}

fn temperature(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("give a number from 0 to 100".into()),
    }
}

fn probability(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if value > 0.0 && value <= 1.0 => Ok(value),
        _ => Err("give a number above 0, at most 1".into()),
    }
}

fn penalty(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(value) if (0.01..=100.0).contains(&value) => Ok(value),
        _ => Err("give a number from 0.01 to 100".into()),
    }
}

pub fn run(args: &AskArgs) -> anyhow::Result<()> {
    // What costs nothing is checked before the model is read.
    let choices = lettered(&args.options)?;
    let (pictures, rate) = match &args.video {
        Some(dir) => {
            let (frames, rate) =
                shown_frames(images::load_frames(dir)?, args.fps, usize::from(args.max_frames));
            (frames, Some(rate))
        }
        None => (args.images.iter().map(|path| images::load(path)).collect::<Result<Vec<_>, _>>()?, None),
    };
    let visuals = match rate {
        Some(frames_per_second) => Visuals::Video { frames: &pictures, frames_per_second },
        None => Visuals::Images(&pictures),
    };
    let device = args.device.parse::<DeviceChoice>()?.open()?;
    let answerer = Answerer::load(&args.model, &device)?;
    log::info!("{} on {}", args.model, device::describe(&device));

    let prompt = match (args.raw_prompt, args.thinking) {
        (true, _) => Prompt::Raw,
        (false, true) => Prompt::Thinking,
        (false, false) if args.direct || !args.options.is_empty() => Prompt::Direct,
        (false, false) => Prompt::Localization,
    };
    let constraint = args.constrain.then(|| answerer.constraint(prompt, &choices)).transpose()?;
    let generation = GenerationOptions {
        max_new_tokens: args.max_new_tokens,
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        repetition_penalty: args.repetition_penalty,
        seed: args.seed,
        constraint,
        ..Default::default()
    };
    let mut out = std::io::stdout().lock();
    let stop = super::interrupt::flag();
    let stream = |text: &str| {
        if stop.load(Ordering::Relaxed) {
            return ControlFlow::Break(());
        }
        if args.json {
            return ControlFlow::Continue(());
        }
        // A closed pipe (`| head`) ends the answer.
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    };
    let ask = AskOptions { prompt, choices, stop: args.stop.clone(), generation };
    let answer = answerer.ask(visuals, &args.question, &ask, stream)?;
    if args.json {
        serde_json::to_writer(&mut out, &answer).context("cannot write to stdout")?;
        return writeln!(out).context("cannot write to stdout");
    }
    // A reader that has gone away has seen enough.
    let _ = writeln!(out);
    print_summary(&answer);
    Ok(())
}

/// The frames that the model is shown, and how many of them are a second.
fn shown_frames(frames: Vec<RgbImage>, rate: f32, most: usize) -> (Vec<RgbImage>, f32) {
    let total = frames.len();
    let chosen = sample_frames(total, rate, SHOWN_PER_SECOND, [4, most], 2);
    let shown_rate = chosen.len() as f32 / total as f32 * rate;
    let chosen: std::collections::BTreeSet<usize> = chosen.into_iter().collect();
    let frames = frames.into_iter().enumerate().filter(|(index, _)| chosen.contains(index));
    (frames.map(|(_, frame)| frame).collect(), shown_rate)
}

fn print_summary(answer: &Answer) {
    for found in answer.boxes_to_show() {
        let [x1, y1, x2, y2] = found.bbox_2d;
        eprintln!("{}: ({x1}, {y1}) – ({x2}, {y2}) pixels", found.label);
    }
    for problem in &answer.problems {
        eprintln!("note: {problem}");
    }
    let time = &answer.timings;
    let rate = time.new_tokens as f64 / time.decode_s.max(1e-6);
    eprintln!(
        "{} prompt tokens in {:.2} s (pictures {:.2} s), {} new ones in {:.2} s ({rate:.0} a second); model read in {:.2} s",
        time.prompt_tokens, time.prefill_s, time.encode_s, time.new_tokens, time.decode_s, time.load_s,
    );
}
