//! `.sens` files, version 4, little-endian: one recording of a depth camera with its poses.
//!
//! ```text
//! u32 version; u64 length and sensor name; 4 × (4×4 f32): colour intrinsic, colour extrinsic, depth intrinsic,
//! depth extrinsic; i32 colour compression (0 raw, 1 PNG, 2 JPEG); i32 depth compression (0 raw u16, 1 zlib u16,
//! 2 occi); u32 colour width, height, depth width, height; f32 depth shift; u64 number of frames
//! each frame: 4×4 f32 camera to world; u64 colour time, depth time, colour bytes, depth bytes; both payloads
//! ```

use crate::scenes::SceneError;
use crate::scenes::scan::{SensorDepth, decode_color, rows_of};
use flate2::read::ZlibDecoder;
use glam::DMat4;
use memmap2::Mmap;
use std::fs::File;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An open recording. Pictures are decoded when asked for.
pub struct Sens<B = Mmap> {
    path: PathBuf,
    bytes: B,
    pub header: SensHeader,
    pub frames: Vec<SensFrame>,
    /// What was left out.
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SensHeader {
    pub sensor: String,
    pub color_intrinsic: DMat4,
    pub depth_intrinsic: DMat4,
    pub color_compression: i32,
    pub depth_compression: i32,
    pub color_size: [u32; 2],
    pub depth_size: [u32; 2],
    /// Depth units to the metre.
    pub depth_shift: f32,
    pub frame_count: u64,
}

#[derive(Debug, Clone, PartialEq)]
pub struct SensFrame {
    /// As written; poses of lost tracking are not finite.
    pub camera_to_world: DMat4,
    /// Microseconds.
    pub color_time: u64,
    color: Range<usize>,
    depth: Range<usize>,
}

const REMEDY: &str = "fetch the file again, or take what can be read with --skip-bad";
/// Bytes of a frame without its payloads.
const FRAME_HEADER: usize = 16 * 4 + 4 * 8;

impl Sens<Mmap> {
    /// Reads the header and finds the frames. The payloads stay on disk.
    pub fn open(path: &Path, skip_bad: bool) -> Result<Self, SceneError> {
        let read = |source| SceneError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        // SAFETY: the map is only read; should another process cut the file short, the system ends this one.
        #[allow(unsafe_code)]
        let bytes = unsafe { Mmap::map(&file) }.map_err(read)?;
        Self::new(path, bytes, skip_bad)
    }
}

impl<B: AsRef<[u8]>> Sens<B> {
    /// As [`Sens::open`], from bytes; `path` is what messages call them.
    pub fn new(path: &Path, bytes: B, skip_bad: bool) -> Result<Self, SceneError> {
        let fail = |(place, problem): (String, String)| SceneError::File {
            path: path.to_owned(),
            place,
            problem,
            remedy: REMEDY,
        };
        let mut cursor = Cursor { bytes: bytes.as_ref(), at: 0 };
        let header = SensHeader::read(&mut cursor)
            .map_err(|problem| fail((format!("header, byte {}", cursor.at), problem)))?;
        let mut frames = Vec::new();
        let mut warnings = Vec::new();
        for number in 0..header.frame_count {
            let start = cursor.at;
            match SensFrame::read(&mut cursor) {
                Ok(frame) => frames.push(frame),
                Err(problem) => {
                    let place = format!("frame {number} of {}, byte {start}", header.frame_count);
                    if !skip_bad {
                        return Err(fail((place, problem)));
                    }
                    warnings.push(format!("{}: {place}: {problem}; the rest is left out", path.display()));
                    break;
                }
            }
        }
        Ok(Self { path: path.to_owned(), bytes, header, frames, warnings })
    }

    /// The colour picture of a frame.
    pub fn color(&self, frame: usize) -> Result<image::RgbImage, SceneError> {
        let (bytes, fail) = self.payload(frame, |frame| frame.color.clone())?;
        let [width, height] = self.header.color_size;
        match self.header.color_compression {
            // A buffer that is too long would be taken as it is.
            0 => (bytes.len() == 3 * width as usize * height as usize)
                .then(|| image::RgbImage::from_raw(width, height, bytes.to_vec()))
                .flatten()
                .ok_or_else(|| fail(format!("has {} bytes instead of {width}×{height}×3", bytes.len()))),
            1 | 2 => {
                let image = decode_color(bytes).map_err(|problem| fail(format!("colour: {problem}")))?;
                if image.dimensions() != (width, height) {
                    let (x, y) = image.dimensions();
                    return Err(fail(format!("has {x}×{y} pixels of colour instead of {width}×{height}")));
                }
                Ok(image)
            }
            other => Err(fail(format!("colour compression {other} is unknown"))),
        }
    }

    /// What the depth camera measured in a frame.
    pub fn depth(&self, frame: usize) -> Result<SensorDepth, SceneError> {
        let (bytes, fail) = self.payload(frame, |frame| frame.depth.clone())?;
        let [width, height] = self.header.depth_size;
        let expected = 2 * width as usize * height as usize;
        let raw = match self.header.depth_compression {
            0 => bytes.to_vec(),
            1 => {
                let mut raw = Vec::new();
                // One byte more than expected tells that there is more, without reading all of it.
                ZlibDecoder::new(bytes)
                    .take(expected as u64 + 1)
                    .read_to_end(&mut raw)
                    .map_err(|error| fail(format!("depth: {error}")))?;
                raw
            }
            2 => {
                return Err(fail(
                    "depth is packed by occi, which is not read; convert it to zlib".to_owned(),
                ));
            }
            other => return Err(fail(format!("depth compression {other} is unknown"))),
        };
        if raw.len() != expected {
            return Err(fail(format!("has {} bytes of depth instead of {expected}", raw.len())));
        }
        let metres = raw.chunks_exact(2).map(|pair| f32::from(u16::from_le_bytes([pair[0], pair[1]])));
        Ok(SensorDepth {
            width,
            height,
            metres: metres.map(|units| units / self.header.depth_shift).collect(),
        })
    }

    fn payload(
        &self,
        frame: usize,
        range: impl Fn(&SensFrame) -> Range<usize>,
    ) -> Result<(&[u8], impl Fn(String) -> SceneError), SceneError> {
        let fail = move |problem| SceneError::File {
            path: self.path.clone(),
            place: format!("frame {frame}"),
            problem,
            remedy: REMEDY,
        };
        let found = self.frames.get(frame).map(range).and_then(|range| self.bytes.as_ref().get(range));
        match found {
            Some(bytes) => Ok((bytes, fail)),
            None => Err(fail("is not in the file".to_owned())),
        }
    }
}

impl SensHeader {
    fn read(cursor: &mut Cursor) -> Result<Self, String> {
        let version = cursor.u32()?;
        if version != 4 {
            return Err(format!("says version {version}; only 4 is read, and this may be no .sens file"));
        }
        let length = cursor.u64()?;
        let sensor = String::from_utf8_lossy(cursor.take(length)?).into_owned();
        let [color_intrinsic, _, depth_intrinsic, _] =
            [cursor.matrix()?, cursor.matrix()?, cursor.matrix()?, cursor.matrix()?];
        let (color_compression, depth_compression) = (cursor.u32()? as i32, cursor.u32()? as i32);
        let color_size = [cursor.u32()?, cursor.u32()?];
        let depth_size = [cursor.u32()?, cursor.u32()?];
        let depth_shift = f32::from_bits(cursor.u32()?);
        let frame_count = cursor.u64()?;
        if [color_size, depth_size].iter().flatten().any(|side| !(1..=16_384).contains(side)) {
            return Err(format!("pictures of {color_size:?} and {depth_size:?} pixels are not possible"));
        }
        if !(depth_shift.is_finite() && depth_shift > 0.0) {
            return Err(format!("a depth shift of {depth_shift} is not possible"));
        }
        Ok(Self {
            sensor,
            color_intrinsic,
            depth_intrinsic,
            color_compression,
            depth_compression,
            color_size,
            depth_size,
            depth_shift,
            frame_count,
        })
    }
}

impl SensFrame {
    fn read(cursor: &mut Cursor) -> Result<Self, String> {
        if cursor.left() < FRAME_HEADER {
            return Err("the file ends here".to_owned());
        }
        let camera_to_world = cursor.matrix()?;
        let (color_time, _) = (cursor.u64()?, cursor.u64()?);
        let (color, depth) = (cursor.u64()?, cursor.u64()?);
        Ok(Self { camera_to_world, color_time, color: cursor.skip(color)?, depth: cursor.skip(depth)? })
    }
}

/// A place in bytes that never leaves them.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn skip(&mut self, length: u64) -> Result<Range<usize>, String> {
        let left = self.left();
        let length = usize::try_from(length)
            .ok()
            .filter(|length| *length <= left)
            .ok_or_else(|| format!("{length} bytes are announced, but the file has only {left} more"))?;
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], String> {
        let range = self.skip(length)?;
        Ok(&self.bytes[range])
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.take(4)?.try_into().unwrap_or_default()))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.take(8)?.try_into().unwrap_or_default()))
    }

    fn matrix(&mut self) -> Result<DMat4, String> {
        let bytes = self.take(64)?;
        let mut numbers = [0.0; 16];
        for (number, four) in numbers.iter_mut().zip(bytes.chunks_exact(4)) {
            *number = f64::from(f32::from_le_bytes(four.try_into().unwrap_or_default()));
        }
        Ok(rows_of(&numbers))
    }
}
