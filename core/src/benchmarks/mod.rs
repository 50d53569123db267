//! How answers are scored: localization by intersection over union, and what of a difference is chance.

pub mod blind;
mod localization;
mod relative_accuracy;
mod statistics;

pub(crate) use localization::pixel_box;
pub use localization::{AverageBox, LocalizationScore, score_localization};
pub use relative_accuracy::mean_relative_accuracy;
pub use statistics::{Interval, paired_bootstrap};
