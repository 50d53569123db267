//! How answers are scored: localization by intersection over union, numbers by mean relative accuracy; how far one
//! comes without looking; what of a difference is chance; and the questions of the published benchmarks.

pub mod blind;
mod localization;
mod relative_accuracy;
pub mod sets;
mod statistics;

pub(crate) use localization::pixel_box;
pub use localization::{AverageBox, LocalizationScore, score_localization};
pub use relative_accuracy::mean_relative_accuracy;
pub use statistics::{Interval, bootstrap, paired_bootstrap};
