//! The images that imported rows name: their sizes, and their place in the data set folder.

use crate::samples::files::FileError;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Component, Path, PathBuf};

/// Bytes a decoder may ask for to learn the size of an image. Headers need some kilobytes; colour profiles, which
/// some of them hold, up to a few megabytes.
const LARGEST_HEADER: u64 = 16 << 20;

/// Width and height by the header of a JPEG, PNG or WebP file, without decoding any pixel.
pub fn header_size(input: impl BufRead + Seek) -> Result<(u32, u32), String> {
    let mut reader =
        image::ImageReader::new(input).with_guessed_format().map_err(|error| error.to_string())?;
    if reader.format().is_none() {
        return Err("is no image that can be read: JPEG, PNG and WebP can".to_owned());
    }
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(LARGEST_HEADER);
    reader.limits(limits);
    let (width, height) =
        reader.into_dimensions().map_err(|error| format!("has a broken header: {error}"))?;
    if width == 0 || height == 0 { Err("has no pixels".to_owned()) } else { Ok((width, height)) }
}

/// The sizes of images below a folder; each header is read once.
pub struct ImageSizes {
    root: PathBuf,
    /// By path; the error says what is wrong with which file.
    known: HashMap<String, Result<(u32, u32), String>>,
}

impl ImageSizes {
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), known: HashMap::new() }
    }

    /// Width and height of the image at the path `image` below the folder.
    pub fn get(&mut self, image: &str) -> Result<(u32, u32), String> {
        if let Some(known) = self.known.get(image) {
            return known.clone();
        }
        let size = self.read(image);
        self.known.insert(image.to_owned(), size.clone());
        size
    }

    fn read(&self, image: &str) -> Result<(u32, u32), String> {
        let inside = Path::new(image).components().all(|part| matches!(part, Component::Normal(_)));
        if image.is_empty() || !inside {
            return Err(format!("the path {image:?} does not stay inside the image folder"));
        }
        let path = self.root.join(image);
        if !path.is_file() {
            return Err(format!("there is no image {}", path.display()));
        }
        let file = File::open(&path).map_err(|error| FileError::io("open", &path)(error).to_string())?;
        header_size(BufReader::new(file)).map_err(|problem| format!("{} {problem}", path.display()))
    }
}

/// A path as a data set folder writes it: one that begins at the image folder, with `/` between its parts.
pub(super) fn plain_path(image: &str) -> String {
    let image = image.replace('\\', "/");
    let parts = image.split('/').enumerate();
    // An empty first part is kept: such a path begins at the root of the disk, and is refused later.
    let parts = parts.filter(|(at, part)| *part != "." && (*at == 0 || !part.is_empty()));
    parts.map(|(_, part)| part).collect::<Vec<&str>>().join("/")
}

/// What of an image's path names its scene: where a part of it is a ScanNet scan, such as `scene0012_01`, the room
/// `scene0012` that this is a scan of; else the folder that the image lies in.
pub(super) fn scene_of(image: &str) -> &str {
    let is_scan = |part: &str| {
        let digits = |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
        let numbers = part.strip_prefix("scene").and_then(|rest| rest.split_once('_'));
        numbers.is_some_and(|(room, scan)| digits(room, 4) && digits(scan, 2))
    };
    if let Some(scan) = image.split('/').find(|part| is_scan(part)) {
        return &scan[.."scene0000".len()];
    }
    image.rsplit_once('/').map_or("", |(folder, _)| folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn sizes_come_from_headers_alone() {
        for format in [image::ImageFormat::Png, image::ImageFormat::Jpeg, image::ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            image::RgbImage::new(300, 20).write_to(&mut bytes, format).unwrap();
            let bytes = bytes.into_inner();
            assert_eq!(header_size(Cursor::new(&bytes)), Ok((300, 20)), "{format:?}");
            let error = header_size(Cursor::new(&bytes[..16])).unwrap_err();
            assert!(error.contains("broken header"), "{format:?}: {error}");
        }
        assert!(header_size(Cursor::new("no image")).unwrap_err().contains("JPEG"));
    }

    #[test]
    fn scans_of_one_room_are_one_scene() {
        assert_eq!(scene_of("ScanNet/scene0012_01/color/7.jpg"), "scene0012");
        assert_eq!(scene_of("frames/scene0012_00/7.jpg"), "scene0012");
        assert_eq!(scene_of("rooms/sceneabcd_00/7.jpg"), "rooms/sceneabcd_00");
        assert_eq!(scene_of("7.jpg"), "");
        assert_eq!(plain_path("./a\\b/.//7.jpg"), "a/b/7.jpg");
        assert_eq!(plain_path("/a/7.jpg"), "/a/7.jpg");
    }
}
