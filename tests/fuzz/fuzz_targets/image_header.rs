//! An image of any bytes: its size is refused or told, and the decoder, where it succeeds, says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spatial_ladder::samples::import::header_size;
use std::io::Cursor;

/// Pixels up to which an image is also decoded.
const DECODED: u64 = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let Ok((width, height)) = header_size(Cursor::new(bytes)) else { return };
    assert!(width > 0 && height > 0);
    if u64::from(width) * u64::from(height) <= DECODED
        && let Ok(image) = image::load_from_memory(bytes)
    {
        assert_eq!((image.width(), image.height()), (width, height));
    }
});
