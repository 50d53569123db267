//! A recording of any bytes: it is read or refused, and so is every picture in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spatial_ladder::scenes::scannet::Sens;
use std::path::Path;

/// Pictures looked at; more of them show nothing new.
const FRAMES: usize = 3;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz.sens");
    let strict = Sens::new(path, bytes, false);
    let Ok(sens) = Sens::new(path, bytes, true) else {
        assert!(strict.is_err(), "refused only when faults may be left out");
        return;
    };
    assert_eq!(strict.is_err(), !sens.warnings.is_empty(), "a fault is either refused or warned of");
    for frame in 0..sens.frames.len().min(FRAMES) {
        if let Ok(color) = sens.color(frame) {
            assert_eq!(color.as_raw().len(), color.width() as usize * color.height() as usize * 3);
        }
        if let Ok(depth) = sens.depth(frame) {
            assert_eq!(depth.metres.len(), depth.width as usize * depth.height as usize);
        }
    }
    assert!(sens.color(sens.frames.len()).is_err());
});
