//! A picture as patches for the vision tower, as Hugging Face's `Qwen2VLImageProcessor` makes them.

use super::ProcessorError;
use super::boxes::BoxFrames;
use super::resize::resize_rgb;
use image::RgbImage;
use serde_json::{Map, Value};

/// One image or video as the vision tower takes it.
#[derive(Debug, Clone, PartialEq)]
pub struct PixelPatches {
    /// `[t * h * w, channels * temporal_patch * patch * patch]`, row-major, patches in the order of the
    /// Hugging Face processor: merge blocks row by row, the patches of a block together.
    pub data: Vec<f32>,
    /// Patches in time, down and across: `[t, h, w]`.
    pub grid_thw: [usize; 3],
    /// Of a video, seconds from one patch in time to the next (`second_per_grid_ts`); `None` for an image.
    pub seconds_per_grid: Option<f32>,
    /// Width and height of the picture as given, in pixels, upright.
    pub original_size: (u32, u32),
    /// Width and height the model sees, in pixels; its boxes are in this frame.
    pub resized_size: (u32, u32),
}

impl PixelPatches {
    pub fn is_video(&self) -> bool {
        self.seconds_per_grid.is_some()
    }

    /// Between the picture as given and the picture the model sees.
    pub fn box_frames(&self) -> BoxFrames {
        BoxFrames { original: self.original_size, resized: self.resized_size }
    }
}

/// Most pixels of a video's frame where no file says otherwise: 768 merged patches, as in transformers'
/// `Qwen2VLVideoProcessor`.
const VIDEO_MAX_PIXELS: u64 = 768 * 28 * 28;

/// How pictures are prepared: the contents of a `preprocessor_config.json`.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageProcessor {
    /// A picture is enlarged to at least this many pixels …
    pub min_pixels: u64,
    /// … and shrunk to at most this many.
    pub max_pixels: u64,
    /// The same for each frame of a video.
    pub video_min_pixels: u64,
    pub video_max_pixels: u64,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Frames in a patch; a still picture is repeated.
    pub temporal_patch_size: usize,
    /// Side in patches of the block that becomes one token of the language model.
    pub merge_size: usize,
    /// Of red, green and blue, on a scale from 0 to 1.
    pub image_mean: [f32; 3],
    pub image_std: [f32; 3],
    /// Whether pictures are numbered in the text where there are several (`Picture 1: `), as the chat template of Qwen2.5-VL
    /// does with `add_vision_id`; off where the file does not say.
    pub add_vision_id: bool,
    /// The file's other fields, kept for [`Self::to_json`].
    others: Map<String, Value>,
}

/// The sides `(width, height)` to which a picture is resized: multiples of `factor` with nearly the same
/// ratio, `min_pixels` to `max_pixels` in all where the ratio allows. As `smart_resize` in transformers'
/// `image_processing_qwen2_vl.py`, including its rounding of halves to even.
pub fn smart_resize(
    (width, height): (u32, u32),
    factor: u32,
    min_pixels: u64,
    max_pixels: u64,
) -> Result<(u32, u32), ProcessorError> {
    check_aspect_ratio(width, height)?;
    let (w, h, factor) = (f64::from(width), f64::from(height), f64::from(factor.max(1)));
    let (min, max) = (min_pixels as f64, max_pixels as f64);
    let mut to_w = (w / factor).round_ties_even() * factor;
    let mut to_h = (h / factor).round_ties_even() * factor;
    if to_w * to_h > max {
        let shrink = (h * w / max).sqrt();
        to_w = factor.max((w / shrink / factor).floor() * factor);
        to_h = factor.max((h / shrink / factor).floor() * factor);
    } else if to_w * to_h < min {
        let grow = (min / (h * w)).sqrt();
        to_w = (w * grow / factor).ceil() * factor;
        to_h = (h * grow / factor).ceil() * factor;
    }
    Ok((to_w as u32, to_h as u32))
}

/// The reference takes no picture that is more than 200 times as long as wide.
pub(super) fn check_aspect_ratio(width: u32, height: u32) -> Result<(), ProcessorError> {
    if width == 0 || height == 0 {
        return Err(ProcessorError::EmptyImage { width, height });
    }
    let (long, short) = (u64::from(width.max(height)), u64::from(width.min(height)));
    if long > 200 * short {
        return Err(ProcessorError::AspectRatio { width, height });
    }
    Ok(())
}

impl ImageProcessor {
    /// From the contents of a `preprocessor_config.json`; `origin` names it in errors. Fields that change
    /// nothing for Qwen2.5-VL are kept and ignored; a field that asks for what is not done here is an error.
    pub fn from_bytes(json: &[u8], origin: &str) -> Result<Self, ProcessorError> {
        let wrong = |reason: String| ProcessorError::ImageConfig { origin: origin.to_owned(), reason };
        let fields: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| wrong(format!("not valid JSON: {error}")))?;
        let config = Fields(&fields);

        for (name, needed) in [
            ("do_resize", Value::from(true)),
            ("do_rescale", Value::from(true)),
            ("do_normalize", Value::from(true)),
            ("do_center_crop", Value::from(false)),
            ("do_pad", Value::from(false)),
            ("resample", Value::from(3)),
        ] {
            if fields.get(name).is_some_and(|value| !value.is_null() && *value != needed) {
                return Err(wrong(format!("{name} must be {needed} for Qwen2.5-VL")));
            }
        }
        if let Some(factor) = fields.get("rescale_factor").and_then(Value::as_f64)
            && (factor * 255.0 - 1.0).abs() > 1e-6
        {
            return Err(wrong(format!("rescale_factor must be 1/255, not {factor}")));
        }

        let [min_pixels, max_pixels] = config.pixels([56 * 56, 1280 * 28 * 28]).map_err(wrong)?;
        let side = |name: &str, default: usize| match config.whole(name, 1024) {
            Ok(value) => Ok(value.map_or(default, |value| value as usize)),
            Err(reason) => Err(wrong(reason)),
        };
        Ok(Self {
            min_pixels,
            max_pixels,
            video_min_pixels: min_pixels,
            video_max_pixels: max_pixels.min(VIDEO_MAX_PIXELS).max(min_pixels),
            patch_size: side("patch_size", 14)?,
            temporal_patch_size: side("temporal_patch_size", 2)?,
            merge_size: side("merge_size", 2)?,
            image_mean: config.rgb("image_mean", [0.481_454_66, 0.457_827_5, 0.408_210_73]).map_err(wrong)?,
            image_std: {
                let std = config.rgb("image_std", [0.268_629_54, 0.261_302_6, 0.275_777_1]).map_err(wrong)?;
                if std.iter().any(|&std| std <= 0.0) {
                    return Err(wrong("image_std must be above 0".to_owned()));
                }
                std
            },
            add_vision_id: match fields.get("add_vision_id") {
                None | Some(Value::Null) => false,
                Some(Value::Bool(numbered)) => *numbered,
                Some(other) => {
                    return Err(wrong(format!("add_vision_id must be true or false, not {other}")));
                }
            },
            others: fields,
        })
    }

    /// With the limits for videos that a `video_preprocessor_config.json` gives; `origin` names it in errors.
    pub fn with_video_config(self, json: &[u8], origin: &str) -> Result<Self, ProcessorError> {
        let wrong = |reason: String| ProcessorError::ImageConfig { origin: origin.to_owned(), reason };
        let fields: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| wrong(format!("not valid JSON: {error}")))?;
        let unsaid = [128 * 28 * 28, VIDEO_MAX_PIXELS];
        let [video_min_pixels, video_max_pixels] = Fields(&fields).pixels(unsaid).map_err(wrong)?;
        Ok(Self { video_min_pixels, video_max_pixels, ..self })
    }

    /// The `preprocessor_config.json` of this processor.
    pub fn to_json(&self) -> String {
        let mut fields = self.others.clone();
        fields.insert("min_pixels".to_owned(), self.min_pixels.into());
        fields.insert("max_pixels".to_owned(), self.max_pixels.into());
        if fields.contains_key("size") {
            let size = serde_json::json!({
                "shortest_edge": self.min_pixels, "longest_edge": self.max_pixels,
            });
            fields.insert("size".to_owned(), size);
        }
        fields.insert("patch_size".to_owned(), self.patch_size.into());
        fields.insert("temporal_patch_size".to_owned(), self.temporal_patch_size.into());
        fields.insert("merge_size".to_owned(), self.merge_size.into());
        format!("{:#}\n", Value::Object(fields))
    }

    /// Side in pixels of the block that becomes one token of the language model.
    pub fn factor(&self) -> u32 {
        (self.patch_size * self.merge_size) as u32
    }

    /// Tokens of the language model that an image of this grid takes.
    pub fn merged_tokens(&self, [t, h, w]: [usize; 3]) -> usize {
        t * h * w / (self.merge_size * self.merge_size)
    }

    /// The size `(width, height)` at which the model sees a picture of this size.
    pub fn resized_size(&self, original: (u32, u32)) -> Result<(u32, u32), ProcessorError> {
        smart_resize(original, self.factor(), self.min_pixels, self.max_pixels)
    }

    /// Resizes, normalizes and cuts into patches.
    pub fn preprocess(&self, image: &RgbImage) -> Result<PixelPatches, ProcessorError> {
        let original_size = image.dimensions();
        let resized_size = self.resized_size(original_size)?;
        let frame = resized(image, resized_size);
        let (data, grid_thw) = self.patches(&[frame], resized_size);
        Ok(PixelPatches { data, grid_thw, seconds_per_grid: None, original_size, resized_size })
    }

    /// The same for the frames of a video, shown at `frames_per_second`. The last frame is repeated until the patches
    /// in time are full.
    ///
    /// # Errors
    /// No frames, frames of different sizes, or a rate that is not above 0.
    pub fn preprocess_video(
        &self,
        frames: &[RgbImage],
        frames_per_second: f32,
    ) -> Result<PixelPatches, ProcessorError> {
        let Some(first) = frames.first() else {
            return Err(ProcessorError::EmptyVideo);
        };
        if !(frames_per_second.is_finite() && frames_per_second > 0.0) {
            return Err(ProcessorError::FrameRate { frames_per_second });
        }
        let original_size = first.dimensions();
        if let Some(index) = frames.iter().position(|frame| frame.dimensions() != original_size) {
            let (expected, found) = (original_size, frames[index].dimensions());
            return Err(ProcessorError::FrameSize { index, expected, found });
        }
        let limits = (self.video_min_pixels, self.video_max_pixels);
        let resized_size = smart_resize(original_size, self.factor(), limits.0, limits.1)?;
        let frames: Vec<Vec<u8>> = frames.iter().map(|frame| resized(frame, resized_size)).collect();
        let (data, grid_thw) = self.patches(&frames, resized_size);
        let seconds_per_grid = Some(self.temporal_patch_size as f32 / frames_per_second);
        Ok(PixelPatches { data, grid_thw, seconds_per_grid, original_size, resized_size })
    }

    /// Frames of this size, normalized and cut into patches, and the grid of these.
    fn patches(&self, frames: &[Vec<u8>], (width, height): (u32, u32)) -> (Vec<f32>, [usize; 3]) {
        let (width, height) = (width as usize, height as usize);
        let (patch, merge, depth) = (self.patch_size, self.merge_size, self.temporal_patch_size);
        let (grid_t, grid_h, grid_w) = (frames.len().div_ceil(depth), height / patch, width / patch);
        let normalized = self.normalization_table();
        let mut data = Vec::with_capacity(grid_t * depth * 3 * width * height);
        for group in frames.chunks(depth) {
            for block in 0..(grid_h / merge) * (grid_w / merge) {
                let block_row = block / (grid_w / merge) * merge;
                let block_column = block % (grid_w / merge) * merge;
                for within in 0..merge * merge {
                    let top = (block_row + within / merge) * patch;
                    let left = (block_column + within % merge) * patch;
                    for (channel, table) in normalized.iter().enumerate() {
                        for frame in group {
                            for y in top..top + patch {
                                let row = &frame[(y * width + left) * 3..(y * width + left + patch) * 3];
                                data.extend(row[channel..].iter().step_by(3).map(|&v| table[v as usize]));
                            }
                        }
                        // A still picture is a video whose frames are all the same.
                        let last = data.len() - patch * patch;
                        for _ in group.len()..depth {
                            data.extend_from_within(last..last + patch * patch);
                        }
                    }
                }
            }
        }
        (data, [grid_t, grid_h, grid_w])
    }

    /// For each channel, what each of the 256 byte values becomes.
    fn normalization_table(&self) -> [[f32; 256]; 3] {
        std::array::from_fn(|channel| {
            // Rescaling to 0..=1 is folded into mean and deviation, as the reference does.
            let mean = self.image_mean[channel] * 255.0;
            let std = self.image_std[channel] * 255.0;
            std::array::from_fn(|value| (value as f32 - mean) / std)
        })
    }
}

/// The pixels of a picture at another size.
fn resized(image: &RgbImage, size: (u32, u32)) -> Vec<u8> {
    let as_usize = |(width, height): (u32, u32)| (width as usize, height as usize);
    resize_rgb(image.as_raw(), as_usize(image.dimensions()), as_usize(size))
}

/// Which frames of a video the model is shown: as `sample_frames` of transformers' `Qwen2VLVideoProcessor`, evenly from
/// the first on, so that about `target` of them make a second, at least `fewest` and at most `most`, a multiple of
/// `depth`.
pub fn sample_frames(
    total: usize,
    rate: f32,
    target: f32,
    [fewest, most]: [usize; 2],
    depth: usize,
) -> Vec<usize> {
    let depth = depth.max(1);
    let most = most.min(total) / depth * depth;
    let wanted = (total as f64 / f64::from(rate) * f64::from(target)).max(fewest as f64).min(most as f64);
    // Fewer frames than fill one patch: all of them.
    let count = if most == 0 { total } else { (wanted as usize / depth * depth).max(depth) };
    (0..count).map(|index| (index as f64 * (total as f64 / count as f64)) as usize).collect()
}

/// Typed access to a JSON object, with errors that name the field.
struct Fields<'a>(&'a Map<String, Value>);

impl Fields<'_> {
    /// A whole number from 1 to `limit`.
    fn whole(&self, name: &str, limit: u64) -> Result<Option<u64>, String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value
                .as_u64()
                .filter(|value| (1..=limit).contains(value))
                .map(Some)
                .ok_or_else(|| format!("{name} must be a whole number from 1 to {limit}, not {value}")),
        }
    }

    /// The fewest and the most pixels. `min_pixels` and `max_pixels` go before the newer `size`, as in the reference.
    fn pixels(&self, unsaid: [u64; 2]) -> Result<[u64; 2], String> {
        const MOST: u64 = 1 << 40;
        let empty = Map::new();
        let size = Fields(self.0.get("size").and_then(Value::as_object).unwrap_or(&empty));
        let either = |old: &str, new: &str, unsaid: u64| match self.whole(old, MOST)? {
            Some(value) => Ok::<u64, String>(value),
            None => Ok(size.whole(new, MOST)?.unwrap_or(unsaid)),
        };
        let fewest = either("min_pixels", "shortest_edge", unsaid[0])?;
        let most = either("max_pixels", "longest_edge", unsaid[1])?;
        if fewest > most {
            return Err(format!("min_pixels ({fewest}) is above max_pixels ({most})"));
        }
        Ok([fewest, most])
    }

    fn rgb(&self, name: &str, default: [f32; 3]) -> Result<[f32; 3], String> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => serde_json::from_value(value.clone())
                .map_err(|_| format!("{name} must be three numbers, not {value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<ImageProcessor, ProcessorError> {
        ImageProcessor::from_bytes(json.as_bytes(), "test.json")
    }

    #[test]
    fn sizes_follow_the_reference() {
        // Width and height, then what transformers' smart_resize(height, width) gives with 784 and 38,400.
        for (from, to) in [
            ((640, 480), (224, 168)),
            ((320, 240), (224, 168)),
            ((1, 1), (28, 28)),
            ((200, 1), (420, 28)),
            ((42, 14), (56, 28)),
            ((20_000, 400), (1372, 28)),
        ] {
            assert_eq!(smart_resize(from, 28, 784, 38_400).unwrap(), to, "{from:?}");
        }
        assert!(smart_resize((201, 1), 28, 784, 38_400).is_err());
        assert!(smart_resize((0, 5), 28, 784, 38_400).is_err());
    }

    #[test]
    fn size_and_pixel_fields_are_both_understood() {
        let old = config(r#"{"min_pixels": 784, "max_pixels": 38400}"#).unwrap();
        let new = config(r#"{"size": {"shortest_edge": 784, "longest_edge": 38400}}"#).unwrap();
        assert_eq!((old.min_pixels, old.max_pixels), (new.min_pixels, new.max_pixels));
        assert_eq!(config(&new.to_json()).unwrap().max_pixels, 38_400);
    }

    #[test]
    fn unusable_configs_say_why() {
        for (json, word) in [
            ("[]", "JSON"),
            (r#"{"min_pixels": 0}"#, "min_pixels"),
            (r#"{"patch_size": "14"}"#, "patch_size"),
            (r#"{"min_pixels": 9, "max_pixels": 8}"#, "max_pixels"),
            (r#"{"resample": 2}"#, "resample"),
            (r#"{"image_mean": [1, 2]}"#, "image_mean"),
            (r#"{"image_std": [1, 2, 0]}"#, "image_std"),
            (r#"{"rescale_factor": 1.0}"#, "rescale_factor"),
        ] {
            let error = config(json).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("test.json"), "{error}");
        }
    }

    #[test]
    fn frames_fill_patches_in_time() {
        let processor = config(r#"{"min_pixels": 784, "max_pixels": 38400}"#).unwrap();
        let frames: Vec<_> =
            [10_u8, 20, 30].map(|grey| RgbImage::from_pixel(56, 28, image::Rgb([grey; 3]))).into();
        let video = processor.preprocess_video(&frames, 2.0).unwrap();
        assert_eq!((video.grid_thw, video.seconds_per_grid), ([2, 2, 4], Some(1.0)));
        let still = |grey: &RgbImage| processor.preprocess(grey).unwrap().data[0];
        // The first and last number of red in the first patch of each group: two frames, then one twice.
        let patch = 3 * 2 * 14 * 14;
        let ends = |start: usize| (video.data[start], video.data[start + 2 * 14 * 14 - 1]);
        assert_eq!(ends(0), (still(&frames[0]), still(&frames[1])));
        assert_eq!(ends(8 * patch), (still(&frames[2]), still(&frames[2])));

        let wrong =
            |frames: &[RgbImage], rate| processor.preprocess_video(frames, rate).unwrap_err().to_string();
        assert!(wrong(&[], 2.0).contains("no frames"));
        assert!(wrong(&frames, 0.0).contains("above 0"));
        assert!(wrong(&[frames[0].clone(), RgbImage::new(28, 28)], 2.0).contains("frame 2"));
    }

    #[test]
    fn patches_of_a_block_come_together() {
        let processor = config(r#"{"min_pixels": 784, "max_pixels": 38400}"#).unwrap();
        // Each 14x14 patch of a 56x28 picture has its own grey, numbered as the tower wants them.
        let order = [[0, 1, 4, 5], [2, 3, 6, 7]];
        let image =
            RgbImage::from_fn(56, 28, |x, y| image::Rgb([20 * order[y as usize / 14][x as usize / 14]; 3]));
        let patches = processor.preprocess(&image).unwrap();
        assert_eq!(patches.grid_thw, [1, 2, 4]);
        assert_eq!(patches.data.len(), 8 * 3 * 2 * 14 * 14);
        for (index, patch) in patches.data.chunks_exact(3 * 2 * 14 * 14).enumerate() {
            let expected = (20.0 * index as f32 / 255.0 - processor.image_mean[2]) / processor.image_std[2];
            assert!((patch[patch.len() - 1] - expected).abs() < 1e-5);
        }
    }
}
