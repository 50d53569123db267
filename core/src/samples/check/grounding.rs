//! Localization rows: labels and boxes.

use super::images::image_count_fault;
use crate::samples::GroundingSample;

/// What is wrong with the row, apart from its id and the files it names. `image_size` is width and height of its only
/// image, as far as they are known: of several images a row does not say which one a box lies in.
pub fn faults(sample: &GroundingSample, image_size: Option<(u32, u32)>) -> Vec<String> {
    let mut messages = Vec::new();
    if sample.question.trim().is_empty() {
        messages.push("the question is empty".to_owned());
    }
    if sample.answer.is_empty() {
        messages.push("the answer has no box".to_owned());
    }
    messages.extend(image_count_fault(sample.image.len(), sample.data_type));
    for answer in &sample.answer {
        if answer.label.trim().is_empty() {
            messages.push(format!("the box {:?} has no label", answer.bbox_2d));
        }
        messages
            .extend(box_fault(answer.bbox_2d, image_size).map(|fault| format!("{}: {fault}", answer.label)));
    }
    messages
}

fn box_fault(bbox: [i64; 4], size: Option<(u32, u32)>) -> Option<String> {
    let [x1, y1, x2, y2] = bbox;
    if x1 >= x2 || y1 >= y2 {
        return Some(format!("the box {bbox:?} is empty"));
    }
    let outside = x1 < 0
        || y1 < 0
        || size.is_some_and(|(width, height)| x2 > i64::from(width) || y2 > i64::from(height));
    outside.then(|| match size {
        Some((width, height)) => format!("the box {bbox:?} leaves the image of {width}x{height}"),
        None => format!("the box {bbox:?} has negative coordinates"),
    })
}
