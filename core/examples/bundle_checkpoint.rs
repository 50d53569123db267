//! Makes a trained model the one that is built into the program: writes its weights in half precision.
//!
//! `cargo run --release -p spatial-ladder-core --example bundle_checkpoint -- RUN/model assets/tiny/foundation`

use spatial_ladder::model::{Device, Precision, Qwen2_5Vl};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folders: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, target] = folders.as_slice() else {
        return Err("give the model folder and the folder to write to".into());
    };
    let model = Qwen2_5Vl::load(model, &Device::flex())?;
    model.save(target, Precision::F16)?;
    // The config is shared by all bundled models and lies one folder higher.
    std::fs::remove_file(target.join("config.json"))?;
    let bytes = std::fs::metadata(target.join("model.safetensors"))?.len();
    println!("{}: {:.1} MB", target.display(), bytes as f64 / 1e6);
    Ok(())
}
