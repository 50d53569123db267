//! Rows of any bytes: each is sound or a fault with its line, and what is sound stays so when it is written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde::Serialize;
use spatial_ladder::samples::import::{ImageSizes, Released, read_rows};
use spatial_ladder::samples::{
    ColdStartSample, Evidence, FoundationSample, GroundingSample, JsonlReader, SpatialSample,
};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A folder with the images `a/0.png` and `a/1.png` of 64×48 pixels.
static IMAGES: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("spatial-ladder-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("a")).expect("a folder for temporary files");
    for name in ["a/0.png", "a/1.png"] {
        image::RgbImage::new(64, 48).save(folder.join(name)).expect("an image is written");
    }
    folder
});

fn check<T: Released + Serialize>(bytes: &[u8]) {
    let mut sizes = ImageSizes::new(&IMAGES);
    let mut faults = Vec::new();
    let rows = read_rows::<T>("fuzz.jsonl", bytes, &mut sizes, &mut faults).expect("memory can be read");
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty()).count();
    assert_eq!(rows.len() + faults.len(), lines, "every line is a row or a fault");

    let mut written = Vec::new();
    for numbered in &rows {
        serde_json::to_writer(&mut written, &numbered.row).expect("a row is written");
        written.push(b'\n');
    }
    let again = read_rows::<T>("again.jsonl", written.as_slice(), &mut sizes, &mut faults).expect("readable");
    assert_eq!(again.len(), rows.len(), "what is written is read back without a fault");
}

fuzz_target!(|bytes: &[u8]| {
    check::<GroundingSample>(bytes);
    check::<SpatialSample>(bytes);
    check::<ColdStartSample>(bytes);
    let path = Path::new("fuzz.jsonl");
    JsonlReader::<FoundationSample, _>::new(path, bytes).for_each(drop);
    JsonlReader::<Evidence, _>::new(path, bytes).for_each(drop);
});
