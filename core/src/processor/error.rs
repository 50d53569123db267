use std::path::PathBuf;

/// Why a picture or a conversation could not be prepared for the model.
#[derive(Debug, thiserror::Error)]
pub enum ProcessorError {
    #[error("cannot read {}: {source}; a model folder needs tokenizer.json and preprocessor_config.json beside its weights", path.display())]
    ModelFile { path: PathBuf, source: std::io::Error },

    #[cfg(not(target_arch = "wasm32"))]
    #[error(transparent)]
    Write(#[from] crate::samples::files::FileError),

    #[error(
        "{origin} is not a tokenizer this program can use: {reason}; take tokenizer.json from the model's own folder"
    )]
    Tokenizer { origin: String, reason: String },

    #[error("text could not be tokenized: {reason}")]
    Tokenize { reason: String },

    #[error("{origin}: {reason}")]
    ImageConfig { origin: String, reason: String },

    #[error("cannot read the image {}: {source}", path.display())]
    ImageFile { path: PathBuf, source: std::io::Error },

    #[error("{name} is not a JPEG, PNG or WebP image; convert it to one of these")]
    ImageFormat { name: String },

    #[error(
        "{name} is damaged or incomplete ({reason}); get the file again, or save it anew from a program that can open it"
    )]
    ImageDamaged { name: String, reason: String },

    #[error(
        "{name} is {width}x{height} pixels, more than {limit_megapixels} megapixels; scale it down first"
    )]
    ImageTooLarge { name: String, width: u32, height: u32, limit_megapixels: u64 },

    #[error(
        "an image of {width}x{height} pixels is too long and thin: one side may be at most 200 times the other; crop it"
    )]
    AspectRatio { width: u32, height: u32 },

    #[error("{name}: {source}")]
    NamedImage { name: String, source: Box<ProcessorError> },

    #[error("an image of {width}x{height} pixels has no content")]
    EmptyImage { width: u32, height: u32 },

    #[error(
        "{}: the folder holds no pictures; give a folder with the frames of a video as JPEG, PNG or WebP files",
        .dir.display()
    )]
    NoFrames { dir: PathBuf },

    #[error("the video has no frames")]
    EmptyVideo,

    #[error("a video of {frames_per_second} frames a second cannot be shown; the rate must be above 0")]
    FrameRate { frames_per_second: f32 },

    #[error(
        "frame {} of the video is {}x{} pixels, the first {}x{}; all frames must have one size",
        .index + 1, .found.0, .found.1, .expected.0, .expected.1
    )]
    FrameSize { index: usize, expected: (u32, u32), found: (u32, u32) },

    #[error("a message shows image {index} (counting from 0), but {count} images were given")]
    NoSuchImage { index: usize, count: usize },

    #[error("image {index} (counting from 0) was given, but no message shows it")]
    UnusedImage { index: usize },
}
