//! Rows of the foundation stage: dense truth about a picture, and a caption. Never a question of the ladder.

use super::config::QuestionConfig;
use super::observations::Observation;
use crate::samples::{Captioned, FoundationObject, FoundationSample, caption};
use image::GrayImage;

/// The row for one picture of this size and its instance image, or `None` when no object is large enough to be taught.
///
/// Objects are renumbered from 1, the largest box first, because an instance image has 8 bits; whatever is
/// too small to be taught is 0, as walls are.
pub fn foundation(
    (width, height): (u32, u32),
    instances: &[u16],
    observations: &[Observation],
    config: &QuestionConfig,
    image: &str,
    mask: &str,
) -> Option<(FoundationSample, GrayImage)> {
    let min_pixels = (config.min_foundation_share * width as f32 * height as f32).max(1.0);
    let mut taught: Vec<&Observation> =
        observations.iter().filter(|observation| observation.visible_pixels as f32 >= min_pixels).collect();
    taught
        .sort_by(|a, b| b.pixel_box.area().total_cmp(&a.pixel_box.area()).then(a.instance.cmp(&b.instance)));
    taught.truncate(usize::from(u8::MAX));
    if taught.is_empty() {
        return None;
    }

    let mut renumbered = vec![0_u8; usize::from(u16::MAX) + 1];
    let mut objects = Vec::with_capacity(taught.len());
    for (observation, instance) in taught.into_iter().zip(1_u8..) {
        renumbered[usize::from(observation.instance)] = instance;
        objects.push(FoundationObject {
            instance,
            label: observation.category.clone(),
            bbox_2d: observation.bbox_2d(),
            distance_m: centimetres(observation.camera_position.z),
        });
    }
    let pixels = instances.iter().map(|&id| renumbered[usize::from(id)]).collect();
    let pixels = GrayImage::from_raw(width, height, pixels)?;
    let size = (width, height);
    let captioned = Captioned { objects: &objects, stored: size, resized: size };
    let caption = caption(&[captioned], None);
    let (image, instances) = (image.to_owned(), mask.to_owned());
    Some((FoundationSample { image, width, height, instances, objects, caption }, pixels))
}

/// Rounded to whole centimetres, which is all a reader of the row can use.
fn centimetres(metres: f32) -> f32 {
    libm::roundf(metres * 100.0) / 100.0
}
