//! Pictures from files. The page decodes them itself, and stands still meanwhile: their size is limited, so that this
//! is soon over and does not exhaust the memory of WebAssembly, which the page would not survive.

use super::link::text_of;
use image::{ImageReader, RgbImage};
use js_sys::Uint8Array;
use spatial_ladder::processor::{ProcessorError, images};
use std::io::Cursor;
use wasm_bindgen_futures::JsFuture;

/// Larger files are refused before they are read.
const MAX_MEGABYTES: f64 = 64.0;
/// Larger pictures are refused before they are decoded. Phones and cameras mostly take 12 to 24.
const MAX_MEGAPIXELS: u64 = 32;

/// Reads a file that the user chose or dropped.
///
/// # Errors
/// It is too large, or the browser cannot read it; names the file.
pub async fn read(file: &web_sys::File) -> Result<Vec<u8>, String> {
    let (name, megabytes) = (file.name(), file.size() / 1e6);
    if megabytes > MAX_MEGABYTES {
        return Err(format!(
            "{name} has {megabytes:.1} MB, the page reads at most {MAX_MEGABYTES} MB; scale the picture down first"
        ));
    }
    let buffer = JsFuture::from(file.array_buffer()).await;
    let buffer =
        buffer.map_err(|error| format!("{name}: the browser cannot read it ({})", text_of(&error)))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// Decodes a jpg, png or webp file; `name` names it in errors.
///
/// # Errors
/// It is too large, or no picture that [`images::decode`] reads.
pub fn decode(name: &str, file: &[u8]) -> Result<RgbImage, ProcessorError> {
    // What else may be wrong with a file is told by reading it.
    if let Some((width, height)) = dimensions(file)
        && u64::from(width) * u64::from(height) > MAX_MEGAPIXELS * 1_000_000
    {
        let (name, limit_megapixels) = (name.to_owned(), MAX_MEGAPIXELS);
        return Err(ProcessorError::ImageTooLarge { name, width, height, limit_megapixels });
    }
    images::decode(file, name)
}

/// Width and height in pixels, as the beginning of the file has them.
fn dimensions(file: &[u8]) -> Option<(u32, u32)> {
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().ok()?;
    // The default limit of memory would fail here on the very pictures that are too large.
    reader.no_limits();
    reader.into_dimensions().ok()
}
