//! Pictures of scans: decoded within limits, and made smaller together with their cameras.

use super::{ScanOptions, SensorDepth};
use crate::geometry::Intrinsics;
use crate::scenes::SceneError;
use image::{ImageReader, Limits, RgbImage, imageops};
use std::io::Cursor;
use std::path::Path;

/// Pixels a side at most: more is a sign of damage.
const MAX_SIDE: u32 = 16_384;

/// The image in these bytes; the error is what is wrong with them.
fn decode(bytes: &[u8]) -> Result<image::DynamicImage, String> {
    let mut reader =
        ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    reader.limits(limits);
    reader.decode().map_err(|error| error.to_string())
}

/// A colour picture.
pub fn decode_color(bytes: &[u8]) -> Result<RgbImage, String> {
    Ok(decode(bytes)?.into_rgb8())
}

/// A depth picture of 16-bit numbers, `per_metre` to the metre.
pub fn decode_depth(bytes: &[u8], per_metre: f32) -> Result<SensorDepth, String> {
    let image::DynamicImage::ImageLuma16(image) = decode(bytes)? else {
        return Err("is not a 16-bit grey image".to_owned());
    };
    let (width, height) = image.dimensions();
    Ok(SensorDepth { width, height, metres: image.iter().map(|&raw| f32::from(raw) / per_metre).collect() })
}

/// A picture in a file of its own; `remedy` is what to do where it cannot be decoded.
pub fn read_picture<T>(
    path: &Path,
    remedy: &'static str,
    decode: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<T, SceneError> {
    let bytes = std::fs::read(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    decode(&bytes).map_err(|problem| SceneError::File {
        path: path.to_owned(),
        place: "picture".to_owned(),
        problem,
        remedy,
    })
}

/// The camera of the same picture made small enough.
pub fn fit(camera: &Intrinsics, options: &ScanOptions) -> Intrinsics {
    let scale = (options.max_width as f32 / camera.width.max(1) as f32)
        .min(options.max_height as f32 / camera.height.max(1) as f32)
        .min(1.0);
    let side = |pixels: u32| ((pixels as f32 * scale + 0.5) as u32).max(1);
    let (width, height) = (side(camera.width), side(camera.height));
    let x = width as f32 / camera.width.max(1) as f32;
    let y = height as f32 / camera.height.max(1) as f32;
    Intrinsics { width, height, fx: camera.fx * x, fy: camera.fy * y, cx: camera.cx * x, cy: camera.cy * y }
}

/// The picture in the size that the camera has.
pub fn resized(picture: RgbImage, camera: &Intrinsics) -> RgbImage {
    if picture.dimensions() == (camera.width, camera.height) {
        picture
    } else {
        imageops::resize(&picture, camera.width, camera.height, imageops::FilterType::Triangle)
    }
}
