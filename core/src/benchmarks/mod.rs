//! How answers are scored: localization by intersection over union, and what of a difference is chance.

mod localization;
mod statistics;

pub(crate) use localization::pixel_box;
pub use localization::{AverageBox, LocalizationScore, score_localization};
pub use statistics::{Interval, paired_bootstrap};
