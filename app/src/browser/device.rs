//! Where the model runs in this browser: on WebGPU if there is a GPU that computes correctly,
//! otherwise on the CPU.

use super::link::text_of;
use super::protocol::{DeviceChoice, RunsOn};
use burn::tensor::{Device, Tensor, TensorData, activation::softmax};
use js_sys::Reflect;
use wasm_bindgen::{JsValue, prelude::wasm_bindgen};

#[wasm_bindgen]
extern "C" {
    /// web/start-worker.js
    #[wasm_bindgen(js_name = spatialLadderAdapter, catch)]
    async fn adapter() -> Result<JsValue, JsValue>;

    /// web/start-worker.js
    #[wasm_bindgen(js_name = spatialLadderTakeGpuErrors)]
    fn take_gpu_errors_text() -> String;
}

/// Largest difference between GPU and CPU in the self-check, whose values are around 1.
const TOLERANCE: f32 = 1e-3;

/// Picks and prepares the device.
///
/// # Errors
/// When WebGPU was asked for by name and cannot be had, or computes wrongly.
pub async fn choose(choice: DeviceChoice) -> Result<(Device, RunsOn), String> {
    if choice == DeviceChoice::Cpu {
        return Ok((Device::flex(), on_cpu(None)));
    }
    match webgpu(choice == DeviceChoice::Webgpu).await {
        Ok((device, name)) => {
            let name = format!("WebGPU ({name})");
            Ok((device, RunsOn { webgpu: true, name, note: None }))
        }
        Err(reason) if choice == DeviceChoice::Webgpu => {
            Err(format!("WebGPU cannot be used: {reason}. Open the page with ?device=cpu instead"))
        }
        Err(reason) => Ok((Device::flex(), on_cpu(Some(reason)))),
    }
}

fn on_cpu(note: Option<String>) -> RunsOn {
    RunsOn { webgpu: false, name: "CPU".into(), note }
}

async fn webgpu(accept_software: bool) -> Result<(Device, String), String> {
    let found = adapter().await.map_err(|error| text_of(&error))?;
    if found.is_null() {
        return Err("this browser offers no GPU to pages".into());
    }
    let field = |name: &str| Reflect::get(&found, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let name = field("name").as_string().unwrap_or_default();
    if field("software").is_truthy() && !accept_software {
        return Err(format!("its GPU ({name}) is imitated in software, which is slower than the CPU itself"));
    }
    let device = Device::wgpu_options().init_async().await.map_err(|error| error.to_string())?;
    let expected = self_check(&Device::flex()).await?;
    let computed = self_check(&device).await?;
    let agree = expected.len() == computed.len()
        && expected.iter().zip(&computed).all(|(a, b)| (a - b).abs() <= TOLERANCE);
    let errors = take_gpu_errors();
    if agree {
        Ok((device, name))
    } else if errors.is_empty() {
        Err(format!("the GPU ({name}) computes wrongly"))
    } else {
        Err(format!("the GPU ({name}) computes wrongly; it reports: {}", errors.join("; ")))
    }
}

/// What the GPU has complained about since the last call. Internal errors are left out: a kernel that
/// a driver refused shows in the result, and the self-check looks at results.
pub fn take_gpu_errors() -> Vec<String> {
    let text = take_gpu_errors_text();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with("GPUInternalError"));
    lines.map(str::to_owned).collect()
}

/// A little of all that the model does: a product of matrices, a norm, an attention-like softmax, a
/// product with one row, gathering and joining. Values are around 1.
async fn self_check(device: &Device) -> Result<Vec<f32>, String> {
    let wave = |rows: usize, columns: usize, step: f32| {
        let values = (0..rows * columns).map(|i| (i as f32 * step).sin()).collect::<Vec<_>>();
        Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), device)
    };
    let tokens = wave(37, 96, 0.37);
    let projected = tokens.clone().matmul(wave(96, 96, 0.73).transpose()) / 96.0;
    let mean_square = projected.clone().powi_scalar(2).mean_dim(1);
    let normed = projected / (mean_square + 1e-6).sqrt();
    let scores = softmax(normed.clone().matmul(tokens.transpose()) * 0.1, 1);
    let attended = scores.matmul(normed.clone());
    let last = attended.clone().slice([36..37, 0..96]).matmul(wave(96, 203, 0.51)) / 10.0;
    let joined = Tensor::cat(vec![attended, normed], 0);
    let picked = joined.select(0, Tensor::from_data([73_i64, 0, 36, 37, 5], device));
    let all = Tensor::cat(vec![last.reshape([203]), picked.reshape([480])], 0);
    let data = all.into_data_async().await.map_err(|error| format!("it cannot be read back ({error:?})"))?;
    data.try_to_vec::<f32>().map_err(|error| format!("{error:?}"))
}
