//! Pictures from files: JPEG, PNG or WebP by content, turned upright, as 8-bit RGB.

use super::ProcessorError;
use super::preprocess::check_aspect_ratio;
use image::{DynamicImage, ImageBuffer, ImageDecoder, ImageError, ImageFormat, ImageReader, Rgb, RgbImage};
use std::io::Cursor;
use std::path::Path;

/// Larger pictures are refused before they are decoded: a file of a few bytes can claim any size.
pub const MAX_MEGAPIXELS: u64 = 128;

/// Reads a picture from a file.
pub fn load(path: &Path) -> Result<RgbImage, ProcessorError> {
    let bytes =
        std::fs::read(path).map_err(|source| ProcessorError::ImageFile { path: path.to_owned(), source })?;
    decode(&bytes, &path.display().to_string())
}

/// Reads a picture from the contents of a file; `name` names it in errors. Transparency is laid over
/// white; of 16-bit channels the upper byte is kept; of an animation the first picture.
pub fn decode(bytes: &[u8], name: &str) -> Result<RgbImage, ProcessorError> {
    let damaged = |reason: String| ProcessorError::ImageDamaged { name: name.to_owned(), reason };
    let unreadable = |error: ImageError| match error {
        ImageError::Unsupported(_) => ProcessorError::ImageFormat { name: name.to_owned() },
        error => damaged(error.to_string()),
    };
    let format = image::guess_format(bytes)
        .ok()
        .filter(|format| matches!(format, ImageFormat::Jpeg | ImageFormat::Png | ImageFormat::WebP))
        .ok_or_else(|| ProcessorError::ImageFormat { name: name.to_owned() })?;
    if format == ImageFormat::Jpeg && !jpeg_is_complete(bytes) {
        return Err(damaged("the JPEG data ends early".to_owned()));
    }

    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // Our own limit is below; the default one of 512 MiB would refuse 16-bit pictures within it.
    reader.no_limits();
    let mut decoder = reader.into_decoder().map_err(unreadable)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > MAX_MEGAPIXELS * 1_000_000 {
        let limit_megapixels = MAX_MEGAPIXELS;
        let name = name.to_owned();
        return Err(ProcessorError::ImageTooLarge { name, width, height, limit_megapixels });
    }
    check_aspect_ratio(width, height)
        .map_err(|source| ProcessorError::NamedImage { name: name.to_owned(), source: Box::new(source) })?;
    let orientation = decoder.orientation().map_err(unreadable)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    picture.apply_orientation(orientation);
    Ok(to_rgb(picture))
}

/// Reads the frames of a video from a folder: all its JPEG, PNG and WebP files, in the order of their names, numbers in
/// them by value (`2.jpg` before `10.jpg`).
///
/// # Errors
/// The folder cannot be read, holds no picture, or holds a damaged one.
#[cfg(not(target_arch = "wasm32"))]
pub fn load_frames(dir: &Path) -> Result<Vec<RgbImage>, ProcessorError> {
    let io = |source| ProcessorError::ImageFile { path: dir.to_owned(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|e| ["jpg", "jpeg", "png", "webp"].contains(&e.to_lowercase().as_str())) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(ProcessorError::NoFrames { dir: dir.to_owned() });
    }
    paths.sort_by_cached_key(|path| name_parts(&path.to_string_lossy()));
    paths.iter().map(|path| load(path)).collect()
}

/// The text and the numbers of a name in turn: names compare by these as people would sort them.
#[cfg(not(target_arch = "wasm32"))]
fn name_parts(name: &str) -> Vec<(String, u64, String)> {
    let mut parts = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let text = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (before, after) = rest.split_at(text);
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, after) = after.split_at(digits);
        // The digits themselves keep `01` and `1` apart, and numbers too large to read in some order.
        parts.push((before.to_owned(), number.parse().unwrap_or(u64::MAX), number.to_owned()));
        rest = after;
    }
    parts
}

/// Whether a JPEG has its end marker. The decoder fills up a truncated one with grey without a word.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    // Walk over the header's segments, which may hold a whole thumbnail with an end marker of its own.
    let mut position = 2;
    while let Some(&[marker_start, marker, high, low]) = bytes.get(position..position + 4) {
        if marker_start != 0xFF {
            return false;
        }
        match marker {
            0xFF => position += 1,
            // Picture data: from here on a 0xFF of the data is always followed by 0x00.
            0xDA => {
                return bytes[position..].windows(2).any(|pair| pair == [0xFF, 0xD9]);
            }
            _ => position += 2 + usize::from(u16::from_be_bytes([high, low])),
        }
    }
    false
}

fn to_rgb(picture: DynamicImage) -> RgbImage {
    match picture {
        DynamicImage::ImageRgb8(rgb) => rgb,
        DynamicImage::ImageLuma8(_) => picture.into_rgb8(),
        DynamicImage::ImageLuma16(_) | DynamicImage::ImageRgb16(_) => {
            let rgb: ImageBuffer<Rgb<u16>, _> = picture.into_rgb16();
            map_pixels(rgb.dimensions(), rgb.pixels().map(|pixel| pixel.0.map(upper_byte)))
        }
        DynamicImage::ImageLumaA16(_) | DynamicImage::ImageRgba16(_) => {
            let rgba = picture.into_rgba16();
            map_pixels(rgba.dimensions(), rgba.pixels().map(|pixel| over_white(pixel.0.map(upper_byte))))
        }
        other => {
            let rgba = other.into_rgba8();
            map_pixels(rgba.dimensions(), rgba.pixels().map(|pixel| over_white(pixel.0)))
        }
    }
}

fn upper_byte(value: u16) -> u8 {
    (value >> 8) as u8
}

fn over_white([red, green, blue, alpha]: [u8; 4]) -> [u8; 3] {
    let alpha = u32::from(alpha);
    [red, green, blue].map(|value| ((u32::from(value) * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
}

fn map_pixels((width, height): (u32, u32), pixels: impl Iterator<Item = [u8; 3]>) -> RgbImage {
    let mut pixels = pixels;
    RgbImage::from_fn(width, height, |_, _| Rgb(pixels.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(width: u32, height: u32, format: ImageFormat) -> Vec<u8> {
        let picture = RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, (x * y) as u8]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn fails(bytes: &[u8], word: &str) {
        let error = decode(bytes, "room.jpg").unwrap_err().to_string();
        assert!(error.contains("room.jpg") && error.contains(word), "{error}");
    }

    #[test]
    fn formats_are_told_by_content() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let bytes = encoded(40, 30, format);
            assert_eq!(decode(&bytes, "misnamed.txt").unwrap().dimensions(), (40, 30), "{format:?}");
        }
        fails(b"", "convert");
        fails(b"GIF89a\x01\x00\x01\x00", "convert");
        fails(b"<html>not found</html>", "convert");
    }

    #[test]
    fn a_picture_cut_anywhere_is_an_error() {
        for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP] {
            let bytes = encoded(40, 30, format);
            for kept in (12..bytes.len() - 12).step_by(7) {
                fails(&bytes[..kept], "damaged");
            }
        }
    }

    #[test]
    fn a_jpeg_with_bytes_after_its_end_is_whole() {
        let mut bytes = encoded(40, 30, ImageFormat::Jpeg);
        bytes.extend(b"\n\0appended by a camera");
        assert!(decode(&bytes, "").is_ok());
    }

    #[test]
    fn sizes_are_checked_before_decoding() {
        assert_eq!(decode(&encoded(1, 1, ImageFormat::Png), "").unwrap().dimensions(), (1, 1));
        assert_eq!(decode(&encoded(20_000, 100, ImageFormat::Jpeg), "").unwrap().width(), 20_000);
        fails(&encoded(20_000, 20, ImageFormat::Png), "crop");

        // A PNG that only claims its size.
        let mut huge = encoded(1, 1, ImageFormat::Png);
        huge[16..20].copy_from_slice(&60_000_u32.to_be_bytes());
        huge[20..24].copy_from_slice(&60_000_u32.to_be_bytes());
        let checksum = crc32fast::hash(&huge[12..29]);
        huge[29..33].copy_from_slice(&checksum.to_be_bytes());
        fails(&huge, "megapixels");
    }

    #[test]
    fn sixteen_bits_keep_their_upper_byte() {
        let deep = ImageBuffer::<image::LumaA<u16>, _>::from_fn(2, 1, |x, _| {
            image::LumaA([0x80FF, if x == 0 { 0xFFFF } else { 0 }])
        });
        let mut bytes = Cursor::new(Vec::new());
        deep.write_to(&mut bytes, ImageFormat::Png).unwrap();
        let rgb = decode(bytes.get_ref(), "").unwrap();
        assert_eq!((rgb[(0, 0)].0, rgb[(1, 0)].0), ([0x80; 3], [0xFF; 3]));
    }
}
