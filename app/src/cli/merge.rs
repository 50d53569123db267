//! `spatial-ladder merge`: adapters added into the model that they belong to.

use anyhow::Context as _;
use spatial_ladder::model::qwen2_5_vl::peft::{base_folder, merge_folder};
use std::path::PathBuf;

/// Add LoRA adapters into their model: a model folder that needs no adapters any more
///
/// The adapters are read as Hugging Face's PEFT writes them; adapter_config.json names the folder of their model.
#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// Folder with adapter_config.json and adapter_model.safetensors
    pub adapter: PathBuf,
    /// Folder to write, new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

pub fn run(args: &MergeArgs) -> anyhow::Result<()> {
    let base = base_folder(&args.adapter)?
        .with_context(|| format!("{}: there is no adapter_config.json in it", args.adapter.display()))?;
    merge_folder(&args.adapter, &args.out)?;
    println!("{}: {} with the adapters of {}", args.out.display(), base.display(), args.adapter.display());
    Ok(())
}
