//! Writes model folders in every precision, with what this program computes from them, for
//! `tests/reference/check_saved.py`:
//! `cargo run --release --no-default-features -p spatial-ladder-core --example write_model -- OUT`

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};
use spatial_ladder::model::qwen2_5_vl::LoraConfig;
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
        std::fs::write(folder.join("expected.json"), expected(&model, &text_ids)?)?;
        println!("{}", folder.display());
    }

    // Adapters whose B is not zero, as training leaves them.
    let base = Path::new(&out).join("f32");
    let config = LoraConfig { rank: 4, alpha: 8.0, targets: vec!["q_proj".into(), "down_proj".into()] };
    let mut model = Qwen2_5Vl::load(&base, &device)?.with_lora(&config, 1)?;
    for layer in &mut model.model.layers {
        for (_, linear) in layer.linears_mut() {
            let Some(lora) = &mut linear.lora else { continue };
            let dims = lora.up.dims();
            let values =
                (0..dims[0] * dims[1]).map(|i| ((i * 31) % 17) as f32 * 0.01 - 0.08).collect::<Vec<_>>();
            lora.up = Param::from_tensor(Tensor::from_data(TensorData::new(values, dims), &device));
        }
    }
    let folder = Path::new(&out).join("adapter");
    model.save_lora(&folder, &base.display().to_string())?;
    std::fs::write(folder.join("expected.json"), expected(&model, &text_ids)?)?;
    println!("{}", folder.display());
    Ok(())
}

/// The logits after the text, for the script.
fn expected(model: &Qwen2_5Vl, text_ids: &[u32]) -> Result<String, Box<dyn Error>> {
    let encoded = Encoded { token_ids: text_ids.to_vec(), images: Vec::new(), answer_spans: Vec::new() };
    let input = ModelInput::batch(&[&encoded], model.config(), &model.device())?;
    let hidden = model.hidden(&input, None).slice_dim(1, text_ids.len() - 1..text_ids.len());
    let logits: Vec<f32> = model.logits(hidden).into_data().iter::<f32>().collect();
    let expected = serde_json::json!({
        "text": TEXT, "text_ids": text_ids, "token_ids": text_ids, "logits": logits,
    });
    Ok(expected.to_string())
}
