//! Model folders, whole and damaged: what is written reads back, and every fault is named.

use super::*;
use crate::model::ModelInput;
use crate::model::quantization::Bits;
use crate::processor::Encoded;
use std::path::PathBuf;

fn small() -> Qwen2_5VlConfig {
    let tokens = SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
    let mut config = Qwen2_5VlConfig::tiny(40, &tokens);
    config.vision.depth = 1;
    config.vision.patch_size = 2;
    config.vision.window_size = 8;
    config.text.num_hidden_layers = 1;
    config
}

fn written() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let model = Qwen2_5Vl::init(&small(), Some(10..40), 3, &Device::flex()).unwrap();
    model.save(dir.path(), Precision::F32).unwrap();
    let weights = dir.path().join("model.safetensors");
    (dir, weights)
}

fn all_values(model: &Qwen2_5Vl) -> Vec<(String, Vec<f32>)> {
    model.named_tensors().into_iter().map(|tensor| (tensor.name.clone(), (tensor.values)())).collect()
}

fn error(dir: &Path) -> String {
    Qwen2_5Vl::load(dir, &Device::flex()).err().map(|error| error.to_string()).unwrap_or_default()
}

/// Rewrites the header of a safetensors file.
fn edit_header(path: &Path, edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>)) {
    let bytes = std::fs::read(path).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    edit(&mut header);
    let header = serde_json::to_vec(&header).unwrap();
    let mut edited = (header.len() as u64).to_le_bytes().to_vec();
    edited.extend(header);
    edited.extend(&bytes[8 + length..]);
    std::fs::write(path, edited).unwrap();
}

#[test]
fn a_written_folder_reads_back_exactly() {
    let (dir, _) = written();
    let model = Qwen2_5Vl::init(&small(), Some(10..40), 3, &Device::flex()).unwrap();
    let read = Qwen2_5Vl::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(read.config(), &small());
    assert_eq!(all_values(&read), all_values(&model));

    let reduced = tempfile::tempdir().unwrap();
    model.save(reduced.path(), Precision::Bf16).unwrap();
    let read = Qwen2_5Vl::load(reduced.path(), &Device::flex()).unwrap();
    for ((name, expected), (_, found)) in all_values(&model).iter().zip(all_values(&read)) {
        let close = expected.iter().zip(&found).all(|(a, b)| (a - b).abs() <= a.abs() / 128.0);
        assert!(close, "{name}");
    }
}

#[test]
fn shards_read_like_one_file_and_a_lost_one_is_named() {
    let (dir, weights) = written();
    let model = Qwen2_5Vl::load(dir.path(), &Device::flex()).unwrap();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut map = serde_json::Map::new();
    for (index, tensor) in model.named_tensors().into_iter().enumerate() {
        let (shard, name) =
            if index % 2 == 0 { (&mut first, "a.safetensors") } else { (&mut second, "b.safetensors") };
        map.insert(tensor.name.clone(), name.into());
        shard.push(tensor);
    }
    for (name, tensors) in [("a.safetensors", &first), ("b.safetensors", &second)] {
        let file = std::fs::File::create(dir.path().join(name)).unwrap();
        write_safetensors(tensors, Precision::F32, file).unwrap();
    }
    let index = serde_json::json!({ "weight_map": map }).to_string();
    std::fs::write(dir.path().join("model.safetensors.index.json"), index).unwrap();
    std::fs::remove_file(weights).unwrap();
    let read = Qwen2_5Vl::load(dir.path(), &Device::flex()).unwrap();
    assert_eq!(all_values(&read), all_values(&model));

    std::fs::remove_file(dir.path().join("b.safetensors")).unwrap();
    let error = error(dir.path());
    assert!(error.contains("b.safetensors: no such file") && error.contains("lists this shard"), "{error}");
}

#[test]
fn a_file_cut_in_half_says_so() {
    let (dir, weights) = written();
    let bytes = std::fs::read(&weights).unwrap();
    for length in [bytes.len() / 2, 100, 3, 0] {
        std::fs::write(&weights, &bytes[..length]).unwrap();
        let error = error(dir.path());
        assert!(error.contains("model.safetensors: the file is incomplete"), "{error}");
        assert!(error.contains(&format!("it has {length}; copy or download it again")), "{error}");
    }
}

#[test]
fn other_files_are_refused() {
    let (dir, weights) = written();
    for (bytes, expected) in [
        (b"PK\x03\x04 this is a zip archive".to_vec(), "does not start with the length of a header"),
        ([&16u64.to_le_bytes()[..], b"not json, really"].concat(), "its header is not valid JSON"),
    ] {
        std::fs::write(&weights, bytes).unwrap();
        let error = error(dir.path());
        assert!(error.contains("not a safetensors file") && error.contains(expected), "{error}");
    }
}

#[test]
fn wrong_tensors_are_named() {
    const NAME: &str = "model.layers.0.mlp.up_proj.weight";
    type Header = serde_json::Map<String, serde_json::Value>;
    type Edit = fn(&mut Header);
    let cases: [(Edit, &str); 5] = [
        (|header| drop(header.remove(NAME)), "tensor `model.layers.0.mlp.up_proj.weight` is missing"),
        (
            |header| {
                let entry = header[NAME].clone();
                header.insert("model.layers.7.extra".into(), entry);
            },
            "no place for 1 tensors, among them `model.layers.7.extra`",
        ),
        (
            |header| header[NAME]["shape"] = serde_json::json!([160, 432]),
            "has shape [160, 432], config.json asks for [432, 160]",
        ),
        (|header| header[NAME]["dtype"] = "I32".into(), "stored as I32; convert the model"),
        (
            |header| header[NAME]["data_offsets"] = serde_json::json!([0, 7]),
            "offsets do not fit type and shape",
        ),
    ];
    for (edit, expected) in cases {
        let (dir, weights) = written();
        edit_header(&weights, edit);
        let error = error(dir.path());
        assert!(error.contains("model.safetensors") && error.contains(expected), "{error}");
    }
}

#[test]
fn numbers_that_are_none_are_named() {
    let (dir, weights) = written();
    let mut bytes = std::fs::read(&weights).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&weights, bytes).unwrap();
    let error = error(dir.path());
    assert!(
        error.contains("`visual.patch_embed.proj.weight` holds NaN") && error.contains("earlier checkpoint"),
        "{error}"
    );
}

#[test]
fn folders_that_are_no_model_say_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(error(dir.path()).contains("config.json: no such file; a model folder holds"));
    std::fs::write(dir.path().join("config.json"), small().to_json()).unwrap();
    assert!(error(dir.path()).contains("model.safetensors: no such file"));
}

#[test]
fn a_folder_that_cannot_be_written_keeps_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let model = Qwen2_5Vl::init(&small(), None, 0, &Device::flex()).unwrap();
    let error = model.save(&file.join("model"), Precision::F16).unwrap_err().to_string();
    assert!(error.contains("file/model"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn images_and_tokens_have_to_match() {
    let model = Qwen2_5Vl::init(&small(), None, 0, &Device::flex()).unwrap();
    let image = PixelPatches {
        data: vec![0.5; 16 * model.config().vision.patch_len()],
        seconds_per_grid: None,
        grid_thw: [1, 4, 4],
        original_size: (8, 8),
        resized_size: (8, 8),
    };
    let encoded = |pads: usize, images: Vec<PixelPatches>| Encoded {
        token_ids: [vec![1, 3], vec![5; pads], vec![4, 7]].concat(),
        images,
        answer_spans: Vec::new(),
    };
    assert!(model.prepare(&[&encoded(4, vec![image.clone()])]).is_ok());
    for (pads, images) in
        [(3, vec![image.clone()]), (8, vec![image.clone()]), (0, vec![image.clone()]), (4, vec![])]
    {
        let error = model.prepare(&[&encoded(pads, images)]).unwrap_err().to_string();
        assert!(error.contains(&format!("the text holds {pads} image tokens")), "{error}");
    }
    let mut odd = image.clone();
    odd.grid_thw = [1, 2, 4];
    assert!(model.encode_images(&[&odd]).unwrap_err().to_string().contains("does not fit the model"));
    let mut beyond = encoded(4, vec![image]);
    beyond.token_ids.push(40);
    assert!(
        model
            .prepare(&[&beyond])
            .unwrap_err()
            .to_string()
            .contains("token 40 is beyond the vocabulary of 40")
    );
}

/// Hidden states of a short text.
fn hidden(model: &Qwen2_5Vl) -> Vec<f32> {
    let encoded = Encoded { token_ids: (10..30).collect(), images: Vec::new(), answer_spans: Vec::new() };
    let input = ModelInput::batch(&[&encoded], model.config(), &model.device()).unwrap();
    model.hidden(&input, None).into_data().iter::<f32>().collect()
}

#[test]
fn weights_stay_in_bfloat16_on_the_cpu_but_not_for_training() {
    let dir = tempfile::tempdir().unwrap();
    let model = Qwen2_5Vl::init(&small(), None, 3, &Device::flex()).unwrap();
    model.save(dir.path(), Precision::Bf16).unwrap();
    let dtype = |device: &Device| {
        let model = Qwen2_5Vl::load(dir.path(), device).unwrap();
        let layer = &model.model.layers[0];
        let matrix = layer.mlp.up_proj.weight.as_ref().unwrap().val().dtype();
        (matrix, model.model.embed_tokens.weight.val().dtype(), layer.input_layernorm.weight.val().dtype())
    };
    let (whole, half) = (burn::tensor::DType::F32, burn::tensor::DType::BF16);
    assert_eq!(dtype(&Device::flex()), (half, half, whole));
    assert_eq!(dtype(&Device::flex().autodiff()), (whole, whole, whole));
}

#[test]
fn a_quantized_folder_reads_back_packed_or_widened() {
    let source = tempfile::tempdir().unwrap();
    let model = Qwen2_5Vl::init(&small(), None, 3, &Device::flex()).unwrap();
    model.save(source.path(), Precision::Bf16).unwrap();
    std::fs::write(source.path().join("tokenizer.json"), "{}").unwrap();
    for bits in [Bits::Four, Bits::Eight] {
        let parent = tempfile::tempdir().unwrap();
        let out = parent.path().join("quantized");
        let done = quantize::quantize_folder(source.path(), &out, bits, &|_, _| ()).unwrap();
        // 432 inputs of the last layer are no whole groups.
        assert_eq!((done.tensors, done.left), (6, 1));
        assert!(done.bytes_after < done.bytes_before);
        assert!(out.join("tokenizer.json").is_file());

        let packed = Qwen2_5Vl::load(&out, &Device::flex()).unwrap();
        assert!(packed.model.layers[0].mlp.up_proj.packed.is_some());
        let widened = Qwen2_5Vl::load(&out, &Device::flex().autodiff()).unwrap();
        assert!(widened.model.layers[0].mlp.up_proj.packed.is_none());
        let (found, expected, exact) = (hidden(&packed), hidden(&widened), hidden(&model));
        let off = |other: &[f32]| {
            let square = |values: &mut dyn Iterator<Item = f32>| values.map(|x| x * x).sum::<f32>().sqrt();
            let error = square(&mut found.iter().zip(other).map(|(a, b)| a - b));
            error / square(&mut other.iter().copied())
        };
        // Against the same weights, and against those they were made of.
        assert!(off(&expected) < 1e-2, "{bits:?}: {}", off(&expected));
        assert!(off(&exact) < if bits == Bits::Four { 0.2 } else { 0.02 }, "{bits:?}: {}", off(&exact));

        let refused = |error: Result<_, ModelError>| error.err().unwrap().to_string();
        let again = quantize::quantize_folder(&out, &parent.path().join("twice"), bits, &|_, _| ());
        assert!(refused(again.map(drop)).contains("quantized already"));
        let over = quantize::quantize_folder(source.path(), &out, bits, &|_, _| ());
        assert!(refused(over.map(drop)).contains("not empty"));
        assert!(refused(packed.save(&parent.path().join("saved"), Precision::F32)).contains("quantized"));

        let weights = out.join("model.safetensors");
        let scale = "model.layers.0.mlp.up_proj.weight_scale";
        edit_header(&weights, |header| drop(header.remove(scale)));
        assert!(error(&out).contains(&format!("tensor `{scale}` is missing")), "{}", error(&out));
    }
    let config = std::fs::read_to_string(source.path().join("config.json")).unwrap();
    let foreign =
        config.replacen('{', "{\"quantization_config\": {\"quant_method\": \"awq\", \"bits\": 4},", 1);
    std::fs::write(source.path().join("config.json"), foreign).unwrap();
    assert!(error(source.path()).contains("\"awq\", which is not supported"), "{}", error(source.path()));
}
