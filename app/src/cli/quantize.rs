//! `spatial-ladder quantize`: a model's decoder in few bits, and what that costs.

use super::progress::bar;
use anyhow::Context as _;
use serde::Serialize;
use spatial_ladder::answering::{Agreement, agreement};
use spatial_ladder::model::quantization::Bits;
use spatial_ladder::model::qwen2_5_vl::quantize::{QuantizedFolder, quantize_folder};
use spatial_ladder::model::{DeviceChoice, Qwen2_5Vl};
use spatial_ladder::processor::{Message, Processor};
use std::path::PathBuf;

/// Store the decoder's linear layers of a model in eight or four bits
///
/// The vision tower, the embedding and the norms stay as they are. Afterwards both models read a text, and how far they
/// agree on every next token is printed.
#[derive(Debug, clap::Args)]
pub struct QuantizeArgs {
    /// Model folder in Hugging Face form
    pub model: PathBuf,
    /// 8 or 4
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(4..=8))]
    pub bits: u64,
    /// Folder to write, new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Text to compare the models on; a few paragraphs about rooms if not given
    #[arg(long, value_name = "FILE", conflicts_with = "no_check")]
    pub text: Option<PathBuf>,
    /// Do not compare the models afterwards
    #[arg(long)]
    pub no_check: bool,
    /// JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// What the models are compared on.
const TEXT: &str = "The room is a small office with one window. A desk stands against the wall under the window, and a \
    chair is pushed under it. To the left of the desk there is a bookshelf that is about two meters high; a trash can \
    stands between the two. If I am standing by the door and facing the desk, the bookshelf is to my front-left and the \
    sofa is behind me. The distance between the sofa and the desk, measured from the closest point of each, is 1.8 \
    meters. There are three chairs in this room: one at the desk and two at the round table. Which of these objects is \
    the closest to the lamp: the table, the sofa, the bookshelf or the window? The lamp stands in the corner beside the \
    sofa, so the sofa is the closest. <think>I can see the monitor on the desk and the picture on the wall behind it. \
    The picture is farther from the camera than the monitor.</think><answer>back</answer>";

#[derive(Debug, Serialize)]
struct Report {
    bits: u64,
    folder: QuantizedFolder,
    agreement: Option<Agreement>,
}

pub fn run(args: &QuantizeArgs) -> anyhow::Result<()> {
    let bits = Bits::from_number(args.bits).with_context(|| format!("--bits {}: give 4 or 8", args.bits))?;
    let text = match &args.text {
        Some(path) => {
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        }
        None => TEXT.to_owned(),
    };
    let bar = bar("MiB", 0);
    let folder = quantize_folder(&args.model, &args.out, bits, &|done, total| {
        bar.set_length(total >> 20);
        bar.set_position(done >> 20);
    })?;
    bar.finish();
    let agreement = if args.no_check { None } else { Some(compare(args, &text)?) };
    let report = Report { bits: args.bits, folder, agreement };
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let QuantizedFolder { tensors, weights, left, bytes_before, bytes_after } = report.folder;
    println!(
        "{}: {tensors} tensors with {:.1} million weights in {} bits, {left} left as they were; {:.1} → {:.1} MiB",
        args.out.display(),
        weights as f64 / 1e6,
        args.bits,
        mib(bytes_before),
        mib(bytes_after)
    );
    if let Some(found) = report.agreement {
        println!(
            "on {} tokens: the same likeliest token {:.1} % of the time, divergence {:.4} nats, logits off by {:.2} %, \
             perplexity {:.2} → {:.2}",
            found.tokens,
            100.0 * found.same_likeliest,
            found.mean_kl,
            100.0 * found.logit_error,
            found.reference_perplexity,
            found.perplexity
        );
    }
    Ok(())
}

fn compare(args: &QuantizeArgs, text: &str) -> anyhow::Result<Agreement> {
    eprintln!("comparing …");
    let device = DeviceChoice::Cpu.open()?;
    let processor = Processor::load(&args.model)?;
    let message = Message::user(0..0, text);
    let tokens = processor.encode(&[message], Vec::new(), false)?.token_ids;
    let reference = Qwen2_5Vl::load(&args.model, &device)?;
    let limit = reference.config().text.max_position_embeddings;
    let quantized = Qwen2_5Vl::load(&args.out, &device)?;
    Ok(agreement(&reference, &quantized, &tokens[..tokens.len().min(limit)])?)
}
