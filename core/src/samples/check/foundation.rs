//! Foundation rows: the instance image must fit the boxes, and both the image.

use super::images::{ImageSizes, decode};
use crate::samples::FoundationSample;
use image::GrayImage;
use std::path::Path;

/// What is wrong with the row. Decodes its instance image.
pub(super) fn faults(root: &Path, sample: &FoundationSample, sizes: &ImageSizes) -> Vec<String> {
    let mut messages = Vec::new();
    let stated = (sample.width, sample.height);
    if let Some(size) = sizes.get(sample.image.as_str())
        && *size != stated
    {
        messages.push(format!("states {}x{} for an image of {}x{}", stated.0, stated.1, size.0, size.1));
    }
    let mask = match decode(root, &sample.instances) {
        Ok(image::DynamicImage::ImageLuma8(mask)) if mask.dimensions() == stated => mask,
        Ok(_) => {
            messages.push(format!("{} is not an 8-bit grey image of the image's size", sample.instances));
            return messages;
        }
        Err(problem) => {
            messages.push(problem);
            return messages;
        }
    };
    let mut tight = tight_boxes(&mask);
    tight[0] = None;
    for object in &sample.objects {
        if object.label.trim().is_empty() {
            messages.push(format!("instance {} has no label", object.instance));
        }
        match tight[usize::from(object.instance)].take() {
            Some(tight) if tight == object.bbox_2d => {}
            Some(tight) => messages.push(format!(
                "{}: the box {:?} is not tight around its pixels, which is {tight:?}",
                object.label, object.bbox_2d
            )),
            None => messages.push(format!(
                "{}: instance {} is 0, used twice, or not in {}",
                object.label, object.instance, sample.instances
            )),
        }
    }
    if let Some(unknown) = tight.iter().position(Option::is_some) {
        messages.push(format!("{} holds {unknown}, which is none of the objects", sample.instances));
    }
    messages
}

/// The tight box of each value in the image.
fn tight_boxes(mask: &GrayImage) -> [Option<[i64; 4]>; 256] {
    let mut boxes = [None; 256];
    for (x, y, pixel) in mask.enumerate_pixels() {
        let (x, y) = (i64::from(x), i64::from(y));
        let [x1, y1, x2, y2] = boxes[usize::from(pixel.0[0])].get_or_insert([x, y, x + 1, y + 1]);
        (*x1, *y1) = ((*x1).min(x), (*y1).min(y));
        (*x2, *y2) = ((*x2).max(x + 1), (*y2).max(y + 1));
    }
    boxes
}

#[cfg(test)]
mod tests {
    use super::super::tests::messages;
    use crate::samples::{FoundationObject, FoundationSample, names};
    use image::GrayImage;
    use std::fs;

    #[test]
    fn instance_images_must_fit_their_boxes() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        image::RgbImage::new(8, 8).save(root.join("a.png")).unwrap();
        let mask =
            GrayImage::from_fn(8, 8, |x, y| image::Luma([u8::from(x < 3 && y < 2) + 2 * u8::from(y > 5)]));
        mask.save(root.join("m.png")).unwrap();
        let object = |instance, bbox_2d| FoundationObject {
            instance,
            label: "tv".to_owned(),
            bbox_2d,
            distance_m: 1.0,
        };
        let sample = |objects| FoundationSample {
            image: "a.png".to_owned(),
            width: 8,
            height: 8,
            instances: "m.png".to_owned(),
            objects,
            caption: String::new(),
        };
        let rows = [
            sample(vec![object(1, [0, 0, 3, 2]), object(2, [0, 6, 8, 8])]),
            sample(vec![object(1, [0, 0, 3, 3]), object(2, [0, 6, 8, 8])]),
            sample(vec![object(1, [0, 0, 3, 2])]),
            sample(vec![object(1, [0, 0, 3, 2]), object(2, [0, 6, 8, 8]), object(5, [0, 0, 1, 1])]),
        ];
        let rows = rows.map(|row| serde_json::to_string(&row).unwrap());
        fs::write(root.join(names::FOUNDATION), rows.join("\n")).unwrap();
        let found = messages(root);
        let lines: Vec<_> = found.iter().map(|(line, _)| line.unwrap()).collect();
        assert_eq!(lines, [2, 3, 4], "{found:?}");
    }
}
