//! The processor against transformers' own, from the fixtures that `tests/reference/processor.py` writes.

use image::RgbImage;
use serde_json::Value;
use spatial_ladder::processor::{Content, Message, Processor, Role, images, sample_frames, smart_resize};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/processor").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(fixture(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn rows(name: &str) -> Vec<Value> {
    serde_json::from_slice(&bytes(name)).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

/// The tiny model's, but that its videos have two frames in a patch and pictures no numbers, as published.
fn as_published() -> Processor {
    let mut processor = Processor::tiny().unwrap();
    processor.image.temporal_patch_size = 2;
    processor.image.add_vision_id = false;
    processor
}

#[test]
fn patches_are_those_of_the_reference() {
    let processor = as_published();
    let expected = bytes("patches.bin");
    let mut rest = expected.as_slice();
    for row in rows("patches.json") {
        let name = row["picture"].as_str().unwrap();
        let made = processor.image.preprocess(&images::load(&fixture(name)).unwrap()).unwrap();
        assert_eq!(ids(&row["grid_thw"]), made.grid_thw.map(|side| side as u32), "{name}");

        let (one, after) = rest.split_at(made.grid_thw.iter().product::<usize>() * 3 * 14 * 14);
        rest = after;
        let (mut largest, mut total) = (0.0_f32, 0.0_f64);
        for (patch, pixels) in made.data.chunks_exact(3 * 2 * 14 * 14).zip(one.chunks_exact(3 * 14 * 14)) {
            for channel in 0..3 {
                let (mean, std) = (processor.image.image_mean[channel], processor.image.image_std[channel]);
                for (i, &pixel) in pixels[channel * 196..][..196].iter().enumerate() {
                    for frame in 0..2 {
                        let value = patch[(channel * 2 + frame) * 196 + i];
                        let difference = ((value * std + mean) * 255.0 - f32::from(pixel)).abs();
                        largest = largest.max(difference);
                        total += f64::from(difference);
                    }
                }
            }
        }
        let average = total / made.data.len() as f64;
        println!("{name}: largest difference {largest:.3} of 255, average {average:.5}");
        // Pictures with a loss are decoded by another program than the reference's.
        let (allowed, allowed_average) = if name.ends_with(".jpg") { (8.0, 0.8) } else { (0.001, 0.001) };
        assert!(largest <= allowed && average <= allowed_average, "{name}: {largest}, {average}");
    }
    assert!(rest.is_empty());
}

#[test]
fn normalized_values_are_those_of_the_reference() {
    let processor = as_published();
    let made = processor.image.preprocess(&images::load(&fixture("as_is.png")).unwrap()).unwrap();
    let expected = bytes("as_is.bin");
    assert_eq!(made.data.len() * 4, expected.len());
    for (value, expected) in made.data.iter().zip(expected.chunks_exact(4)) {
        let expected = f32::from_le_bytes(expected.try_into().unwrap());
        assert!((value - expected).abs() < 1e-6, "{value} is not {expected}");
    }
}

/// The frames of `video.bin`.
fn video_frames() -> Vec<RgbImage> {
    let frame = |pixels: &[u8]| RgbImage::from_raw(61, 43, pixels.to_vec()).unwrap();
    bytes("video.bin").chunks_exact(61 * 43 * 3).map(frame).collect()
}

#[test]
fn video_patches_and_chosen_frames_are_those_of_the_reference() {
    let processor = as_published();
    let expected: Value = serde_json::from_slice(&bytes("video.json")).unwrap();
    let made = processor.image.preprocess_video(&video_frames(), 2.0).unwrap();
    assert_eq!(ids(&expected["grid_thw"]), made.grid_thw.map(|side| side as u32));
    assert_eq!((made.grid_thw[0], made.seconds_per_grid), (3, Some(1.0)));
    let pixels = bytes("video_patches.bin");
    assert_eq!(made.data.len(), pixels.len());
    for (place, (value, pixel)) in made.data.iter().zip(&pixels).enumerate() {
        let channel = place / (2 * 14 * 14) % 3;
        let (mean, std) = (processor.image.image_mean[channel], processor.image.image_std[channel]);
        let found = (value * std + mean) * 255.0;
        assert!((found - f32::from(*pixel)).abs() < 0.01, "number {place}: {found} is not {pixel}");
    }

    let rows = expected["sampled"].as_array().unwrap();
    assert!(rows.len() > 50);
    for row in rows {
        let number = |i: usize| row[i].as_f64().unwrap();
        let limits = [4, number(3) as usize];
        let made = sample_frames(number(0) as usize, number(1) as f32, number(2) as f32, limits, 2);
        let made: Vec<u32> = made.into_iter().map(|index| index as u32).collect();
        assert_eq!(made, ids(&row[4]), "{} frames at {} a second", row[0], row[1]);
    }
}

#[test]
fn sizes_are_those_of_the_reference() {
    for row in rows("sizes.json") {
        let number = |i: usize| row[i].as_u64();
        let size = (number(0).unwrap() as u32, number(1).unwrap() as u32);
        let made = smart_resize(size, 28, number(2).unwrap(), number(3).unwrap());
        let expected = number(4).zip(number(5)).map(|(w, h)| (w as u32, h as u32));
        assert_eq!(made.ok(), expected, "{row}");
    }
}

#[test]
fn tokens_are_those_of_the_reference_and_decode_to_the_text() {
    let tokenizer = Processor::tiny().unwrap().tokenizer;
    for row in rows("texts.json") {
        let text = row["text"].as_str().unwrap();
        let made = tokenizer.encode(text).unwrap();
        assert_eq!(made, ids(&row["ids"]), "{text:?}");
        assert_eq!(tokenizer.decode(&made), text);

        let mut stream = tokenizer.stream();
        let mut streamed: String = made.iter().filter_map(|&id| stream.push(id)).collect();
        streamed.extend(stream.finish());
        assert_eq!(streamed, text);
    }
}

#[test]
fn conversations_are_those_of_the_reference() {
    for (name, processor) in
        [("conversations.json", as_published()), ("numbered.json", Processor::tiny().unwrap())]
    {
        for row in rows(name) {
            compare_conversation(&row, &processor);
        }
    }
}

fn compare_conversation(row: &Value, processor: &Processor) {
    let mut shown = 0..;
    let messages: Vec<Message> = row["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| Message {
            role: match message["role"].as_str() {
                Some("system") => Role::System,
                Some("user") => Role::User,
                _ => Role::Assistant,
            },
            content: message["content"]
                .as_array()
                .unwrap()
                .iter()
                .map(|part| match part["text"].as_str() {
                    Some(text) => Content::Text(text.to_owned()),
                    // Pictures and videos alike: what it is shows in what was preprocessed.
                    None => Content::Image(shown.next().unwrap()),
                })
                .collect(),
        })
        .collect();
    let images = row["images"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| match name.as_str().unwrap() {
            "video.bin" => processor.image.preprocess_video(&video_frames(), 2.0).unwrap(),
            name => processor.image.preprocess(&images::load(&fixture(name)).unwrap()).unwrap(),
        })
        .collect();
    let made = processor.encode(&messages, images, row["generate"].as_bool().unwrap()).unwrap();
    assert_eq!(made.token_ids, ids(&row["ids"]));

    let answers: Vec<String> =
        made.answer_spans.iter().map(|span| processor.decode(&made.token_ids[span.clone()])).collect();
    let said: Vec<&str> = messages
        .iter()
        .filter(|message| message.role == Role::Assistant)
        .map(|message| match &message.content[0] {
            Content::Text(text) => text.as_str(),
            Content::Image(_) => "",
        })
        .collect();
    assert_eq!(answers, said);
    for span in &made.answer_spans {
        assert_eq!(made.token_ids[span.end - 1], processor.tokenizer.special().im_end);
    }
}
