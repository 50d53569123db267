//! Localization: each object asked for is found as well as the overlap of its box.

use crate::geometry::PixelBox;
use crate::samples::GroundedBox;
use serde::Serialize;
use std::collections::BTreeMap;

/// The score of one question. A truth box without an answer box of its label counts as overlap 0.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LocalizationScore {
    /// Intersection over union for each object asked for, in the order of the truth.
    pub ious: Vec<f32>,
}

impl LocalizationScore {
    /// Mean over the objects asked for, in 0..=1.
    pub fn mean_iou(&self) -> f64 {
        mean(self.ious.iter().map(|iou| f64::from(*iou)))
    }

    /// Share of the objects found with an overlap of at least 0.5.
    pub fn accuracy_50(&self) -> f64 {
        mean(self.ious.iter().map(|iou| if *iou >= 0.5 { 1.0 } else { 0.0 }))
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len();
    if count == 0 { 0.0 } else { values.sum::<f64>() / count as f64 }
}

pub(crate) fn pixel_box(grounded: &GroundedBox) -> PixelBox {
    let [x1, y1, x2, y2] = grounded.bbox_2d.map(|v| v as f32);
    PixelBox { x1, y1, x2, y2 }
}

/// Scores `answers` (label and box, pixels of the same image as `truth`). Labels are compared without
/// regard to case; every answer is used for one truth box at most, best overlaps first.
pub fn score_localization(truth: &[GroundedBox], answers: &[(String, PixelBox)]) -> LocalizationScore {
    let mut pairs: Vec<(f32, usize, usize)> = Vec::new();
    for (t, wanted) in truth.iter().enumerate() {
        for (a, (label, answer)) in answers.iter().enumerate() {
            if label.trim().eq_ignore_ascii_case(wanted.label.trim()) {
                pairs.push((pixel_box(wanted).iou(answer), t, a));
            }
        }
    }
    pairs.sort_by(|x, y| y.0.total_cmp(&x.0).then((x.1, x.2).cmp(&(y.1, y.2))));
    let mut ious = vec![0.0; truth.len()];
    let (mut matched, mut used) = (vec![false; truth.len()], vec![false; answers.len()]);
    for (iou, t, a) in pairs {
        if !matched[t] && !used[a] {
            (matched[t], used[a], ious[t]) = (true, true, iou);
        }
    }
    LocalizationScore { ious }
}

/// The blind baseline: for every category the mean of the boxes seen in training, in shares of the
/// image; for categories never seen, the mean of all.
#[derive(Debug, Clone, Default)]
pub struct AverageBox {
    by_category: BTreeMap<String, ([f64; 4], usize)>,
}

impl AverageBox {
    /// Adds a training box in an image of `width` × `height` pixels.
    pub fn add(&mut self, truth: &GroundedBox, width: f64, height: f64) {
        let scale = [width, height, width, height];
        let entry = self.by_category.entry(truth.label.to_ascii_lowercase()).or_default();
        for (sum, (value, by)) in entry.0.iter_mut().zip(truth.bbox_2d.iter().zip(scale)) {
            *sum += *value as f64 / by;
        }
        entry.1 += 1;
    }

    /// The box it answers for `label`, in pixels of an image of this size.
    pub fn answer(&self, label: &str, width: f64, height: f64) -> Option<PixelBox> {
        let (sum, count) = self.by_category.get(&label.to_ascii_lowercase()).copied().or_else(|| {
            self.by_category
                .values()
                .copied()
                .reduce(|(a, n), (b, m)| (std::array::from_fn(|i| a[i] + b[i]), n + m))
        })?;
        let [x1, y1, x2, y2] = sum.map(|v| (v / count as f64) as f32);
        Some(PixelBox { x1, y1, x2, y2 }.scale(width as f32, height as f32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grounded(label: &str, bbox_2d: [i64; 4]) -> GroundedBox {
        GroundedBox { bbox_2d, label: label.into() }
    }

    #[test]
    fn each_answer_serves_one_truth_and_labels_must_agree() {
        let truth = [
            grounded("chair", [0, 0, 10, 10]),
            grounded("chair", [20, 0, 30, 10]),
            grounded("tv", [0, 0, 10, 10]),
        ];
        let answers = [
            ("Chair".to_owned(), PixelBox::new(0.0, 0.0, 10.0, 10.0)),
            ("chair".to_owned(), PixelBox::new(1.0, 0.0, 11.0, 10.0)),
            ("sofa".to_owned(), PixelBox::new(0.0, 0.0, 10.0, 10.0)),
        ];
        let score = score_localization(&truth, &answers);
        assert_eq!(score.ious, [1.0, 0.0, 0.0]);
        assert!((score.mean_iou() - 1.0 / 3.0).abs() < 1e-9);
        let half = score_localization(&truth[..1], &[("chair".into(), PixelBox::new(0.0, 0.0, 10.0, 5.0))]);
        assert_eq!(half.ious, [0.5]);
        assert_eq!(half.accuracy_50(), 1.0);
    }

    #[test]
    fn the_average_box_is_per_category_and_scales_with_the_image() {
        let mut average = AverageBox::default();
        assert_eq!(average.answer("chair", 100.0, 100.0), None);
        average.add(&grounded("chair", [0, 0, 50, 100]), 100.0, 200.0);
        average.add(&grounded("chair", [50, 100, 100, 200]), 100.0, 200.0);
        average.add(&grounded("tv", [0, 0, 100, 200]), 100.0, 200.0);
        let answer = average.answer("Chair", 40.0, 40.0).expect("seen");
        assert_eq!(answer, PixelBox::new(10.0, 10.0, 30.0, 30.0));
        assert!(average.answer("bed", 40.0, 40.0).is_some(), "the mean of all for an unseen category");
    }
}
