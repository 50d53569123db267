//! Writes model folders in every precision, with what this program computes from them, for
//! `tests/reference/check_saved.py`:
//! `cargo run --release --no-default-features -p spatial-ladder-core --example write_model -- OUT`

use spatial_ladder::model::{Device, ModelInput, Precision, Qwen2_5Vl, bundled};
use spatial_ladder::processor::{Encoded, Processor};
use std::error::Error;
use std::path::Path;

const TEXT: &str = "Where are the trash can, the sofa and the coffee table? <think>1 2 3</think>";

fn main() -> Result<(), Box<dyn Error>> {
    let Some(out) = std::env::args().nth(1) else {
        return Err("usage: write_model OUT".into());
    };
    let device = Device::flex();
    let processor = Processor::tiny()?;
    let text_ids = processor.tokenizer.encode(TEXT)?;
    for (name, precision) in [("f32", Precision::F32), ("f16", Precision::F16), ("bf16", Precision::Bf16)] {
        let folder = Path::new(&out).join(name);
        bundled::Bundled::Ladder.open(0, &device)?.save(&folder, precision)?;
        processor.save(&folder)?;
        // On a device with gradients nothing stays in fewer bits than it computes with.
        let model = Qwen2_5Vl::load(&folder, &device.clone().autodiff())?;
        let encoded = Encoded { token_ids: text_ids.clone(), images: Vec::new(), answer_spans: Vec::new() };
        let input = ModelInput::batch(&[&encoded], model.config(), &model.device())?;
        let hidden = model.hidden(&input, None).slice_dim(1, text_ids.len() - 1..text_ids.len());
        let logits: Vec<f32> = model.logits(hidden).into_data().iter::<f32>().collect();
        let expected = serde_json::json!({
            "text": TEXT, "text_ids": text_ids, "token_ids": text_ids, "logits": logits,
        });
        std::fs::write(folder.join("expected.json"), expected.to_string())?;
        println!("{}", folder.display());
    }
    Ok(())
}
