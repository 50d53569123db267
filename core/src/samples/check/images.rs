//! The images that rows name: each is decoded once, however many rows name it.

use crate::samples::DataType;
use crate::samples::files::FileError;
use rayon::prelude::*;
use std::collections::HashMap;
use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Width and height of the images that can be decoded.
pub(super) type ImageSizes<'rows> = HashMap<&'rows str, (u32, u32)>;

/// Decodes the images in parallel and keeps no pixels. Gives the sizes of the sound ones, and what is wrong with
/// the others. Images that `cancel` came before are in neither.
pub(super) fn measure<'rows>(
    root: &Path,
    images: &[&'rows str],
    progress: &(dyn Fn(usize, usize) + Sync),
    cancel: &AtomicBool,
) -> (ImageSizes<'rows>, HashMap<&'rows str, String>) {
    let done = AtomicUsize::new(0);
    type Measured<'a> = (&'a str, Result<(u32, u32), String>);
    let measured: Vec<Measured> = images
        .par_iter()
        .filter(|_| !cancel.load(Ordering::Relaxed))
        .map(|&image| {
            let size = decode(root, image).map(|pixels| (pixels.width(), pixels.height()));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, images.len());
            (image, size)
        })
        .collect();
    let (mut sizes, mut problems) = (ImageSizes::default(), HashMap::new());
    for (image, size) in measured {
        match size {
            Ok(size) => drop(sizes.insert(image, size)),
            Err(problem) => drop(problems.insert(image, problem)),
        }
    }
    (sizes, problems)
}

/// A single image is one, several views and videos are at least two.
pub fn image_count_fault(count: usize, data_type: DataType) -> Option<String> {
    let (fits, expected) = match data_type {
        DataType::SingleImage => (count == 1, "exactly 1"),
        DataType::MultiView | DataType::Video => (count >= 2, "2 or more"),
    };
    (!fits).then(|| format!("has {count} images, but a {} row has {expected}", data_type.name()))
}

/// The whole image; the error says what is wrong with which file.
pub(super) fn decode(root: &Path, image: &str) -> Result<image::DynamicImage, String> {
    let inside =
        Path::new(image).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if image.is_empty() || !inside {
        return Err(format!("the path {image:?} does not stay inside the data set folder"));
    }
    let path = root.join(image);
    let bytes = std::fs::read(&path).map_err(|error| FileError::io("read", &path)(error).to_string())?;
    if bytes.starts_with(&[0xff, 0xd8]) && is_cut_off(&bytes) {
        return Err(format!("{image} is cut off: its JPEG data has no end"));
    }
    image::load_from_memory(&bytes).map_err(|error| format!("{image} cannot be decoded: {error}"))
}

/// Whether JPEG data lacks its end marker. Decoders fill what is missing with grey and say nothing.
fn is_cut_off(jpeg: &[u8]) -> bool {
    let last = |marker: [u8; 2]| jpeg.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) < last([0xff, 0xda])
}
