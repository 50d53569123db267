//! Where scenes come from, as the command line writes it.

use crate::questions::QuestionError;
use std::path::PathBuf;

/// What `data build` makes questions from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// Generated rooms, this many.
    Rooms(usize),
    /// Annotations of real rooms in VSI-Bench's `meta_info` form.
    VsiMeta(PathBuf),
    /// A scanned room, or a folder of them.
    Scans(ScanFormat, PathBuf),
}

/// How scans lie on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanFormat {
    ScanNet,
    ArkitScenes,
    ScanNetPp,
}

impl ScanFormat {
    pub const ALL: [Self; 3] = [Self::ScanNet, Self::ArkitScenes, Self::ScanNetPp];

    /// As the command line writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ScanNet => "scannet",
            Self::ArkitScenes => "arkitscenes",
            Self::ScanNetPp => "scannetpp",
        }
    }
}

impl std::str::FromStr for SourceSpec {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        let wrong =
            |problem: &str| QuestionError::Source { spec: text.to_owned(), problem: problem.to_owned() };
        let (kind, rest) = text.split_once(':').ok_or_else(|| wrong("has no \":\""))?;
        match kind {
            "rooms" => match rest.parse() {
                Ok(count @ 1..=10_000_000) => Ok(Self::Rooms(count)),
                _ => Err(wrong("needs a number of rooms from 1 to 10000000 after the colon")),
            },
            "vsi-meta" if rest.is_empty() => Err(wrong("names no file")),
            "vsi-meta" => Ok(Self::VsiMeta(PathBuf::from(rest))),
            _ => match ScanFormat::ALL.into_iter().find(|format| format.name() == kind) {
                Some(_) if rest.is_empty() => Err(wrong("names no folder")),
                Some(format) => Ok(Self::Scans(format, PathBuf::from(rest))),
                None => Err(wrong("names no known kind of source")),
            },
        }
    }
}

impl std::fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rooms(count) => write!(f, "rooms:{count}"),
            Self::VsiMeta(path) => write!(f, "vsi-meta:{}", path.display()),
            Self::Scans(format, path) => write!(f, "{}:{}", format.name(), path.display()),
        }
    }
}
