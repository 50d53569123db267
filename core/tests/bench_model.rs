use burn::tensor::{Device, Int, Tensor, TensorData};
use spatial_ladder::answering::{GenerationOptions, generate_blocking};
use spatial_ladder::model::qwen2_5_vl::SpecialTokens;
use spatial_ladder::model::*;
use spatial_ladder::processor::{Encoded, PixelPatches};
use std::ops::ControlFlow;
use std::time::Instant;

fn sample(len: usize) -> Encoded {
    let (h, w) = (12, 16);
    let data = (0..h * w * 1176).map(|i| ((i * 7919 + 13) % 1000) as f32 / 500.0 - 1.0).collect();
    let mut token_ids = vec![3u32];
    token_ids.extend([5; 48]);
    token_ids.push(4);
    token_ids.extend((0..len as u32).map(|i| 20 + i % 900));
    Encoded {
        token_ids,
        images: vec![PixelPatches {
            data,
            grid_thw: [1, h, w],
            original_size: (320, 240),
            resized_size: (224, 168),
        }],
        answer_spans: vec![],
    }
}

fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let f: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (f[11].parse::<f64>().unwrap() + f[12].parse::<f64>().unwrap()) / 100.0
}

#[test]
fn bench() {
    let tokens = SpecialTokens { image: 5, video: 6, vision_start: 3, vision_end: 4, end_of_turn: 2, pad: 0 };
    let config = Qwen2_5VlConfig::tiny(2000, &tokens);
    let device = Device::flex().autodiff();
    let model = Qwen2_5Vl::init(&config, Some(900..1900), 1, &device).unwrap();
    println!("{} parameters", burn::module::Module::num_params(&model));
    let encoded = sample(120);
    let batch: Vec<&Encoded> = vec![&encoded; 16];
    for round in 0..4 {
        let c = cpu();
        let t = Instant::now();
        let input = ModelInput::batch(&batch, &config, &device).unwrap();
        let images: Vec<_> = batch.iter().flat_map(|e| &e.images).collect();
        let vision = model.encode_images(&images).unwrap();
        let t1 = t.elapsed().as_secs_f64();
        let hidden = model.hidden(&input.with_images(vision), None);
        let t2 = t.elapsed().as_secs_f64();
        let [b, n, h] = hidden.dims();
        let rows: Vec<i64> = (0..b).flat_map(|r| (n - 60..n).map(move |c| (r * n + c) as i64)).collect();
        let count = rows.len();
        let rows = Tensor::<1, Int>::from_data(TensorData::new(rows, [count]), &device);
        let logits = burn::tensor::activation::log_softmax(
            model.logits(hidden.reshape([b * n, h]).select(0, rows)),
            1,
        );
        let targets = Tensor::<2, Int>::ones([count, 1], &device);
        let loss = logits.gather(1, targets).mean().neg();
        let t3 = t.elapsed().as_secs_f64();
        let grads = loss.backward();
        let t4 = t.elapsed().as_secs_f64();
        drop(grads);
        println!(
            "{round}: vision {t1:.3} text {:.3} loss {:.3} backward {:.3} total {t4:.3} cpu {:.2}",
            t2 - t1,
            t3 - t2,
            t4 - t3,
            cpu() - c
        );
    }
    let model = burn::module::Module::valid(&model);
    let prompt = sample(70);
    for n in [1, 32] {
        let prompts: Vec<&Encoded> = vec![&prompt; n];
        let options = GenerationOptions { max_new_tokens: 60, ..Default::default() };
        let t = Instant::now();
        let c = cpu();
        let (r, time) =
            generate_blocking(&model, &prompts, &options, |_, _| ControlFlow::Continue(())).unwrap();
        println!(
            "generate {n}: cpu {:.2}, {:.3} s, {} tokens, {time:?}",
            cpu() - c,
            t.elapsed().as_secs_f64(),
            r[0].token_ids.len()
        );
    }
}
