//! Answers: what a model says, and what that means.

pub mod parse;
