//! Pictures from disk as textures: decoded by a thread of their own, newest wish first, so that
//! scrolling through ten thousand samples never waits for a picture that has scrolled by.

use egui::{ColorImage, TextureHandle, TextureOptions};
use image::DynamicImage;
use spatial_ladder::processor::images;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant, SystemTime};

/// More than fit on a screen; older pictures are dropped and read again when needed.
const KEPT: usize = 256;
const WAITING: usize = 64;
/// Every device that the window runs on can show a texture of this many pixels a side.
const LARGEST_SIDE: u32 = 2048;
/// Twice the points of a thumbnail, for screens of double density.
const THUMBNAIL_SIDE: u32 = 128;
/// How often the file of a picture is looked at again.
const INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Wish {
    path: PathBuf,
    thumbnail: bool,
}

/// A picture as far as it is known.
#[derive(Clone)]
pub enum Picture {
    Loading,
    Ready {
        texture: TextureHandle,
        /// Width and height of the file's picture in pixels, upright: what boxes refer to.
        size: [u32; 2],
    },
    Failed(String),
}

/// When a file was last changed, and its length.
type Version = (SystemTime, u64);

struct Entry {
    picture: Picture,
    /// Of the file that was read; `None` where there was none.
    version: Option<Version>,
    /// When the file was last looked at.
    looked: Instant,
    last_used: u64,
}

impl Entry {
    /// Whether the file is to be read again: it has changed, or could not be read. Looks at it once an [`INTERVAL`].
    fn is_outdated(&mut self, path: &Path) -> bool {
        if matches!(self.picture, Picture::Loading) || self.looked.elapsed() < INTERVAL {
            return false;
        }
        self.looked = Instant::now();
        matches!(self.picture, Picture::Failed(_)) || version_of(path) != self.version
    }
}

#[derive(Default)]
struct Queue {
    waiting: Vec<Wish>,
    dropped: Vec<Wish>,
    closed: bool,
}

type Decoded = Result<(ColorImage, [u32; 2]), String>;

/// Textures of picture files.
pub struct Pictures {
    entries: HashMap<Wish, Entry>,
    queue: Arc<(Mutex<Queue>, Condvar)>,
    decoded: mpsc::Receiver<(Wish, Option<Version>, Decoded)>,
    clock: u64,
}

impl Pictures {
    pub fn new(ctx: &egui::Context) -> Self {
        let queue = Arc::new((Mutex::new(Queue::default()), Condvar::new()));
        let (sender, decoded) = mpsc::channel();
        let (for_thread, ctx) = (queue.clone(), ctx.clone());
        let spawned = std::thread::Builder::new().name("pictures".into()).spawn(move || {
            while let Some(wish) = next_wish(&for_thread) {
                // Taken before the file is read, so that what is written meanwhile counts as a change.
                let version = version_of(&wish.path);
                let picture = decode(&wish.path, if wish.thumbnail { THUMBNAIL_SIDE } else { LARGEST_SIDE });
                if sender.send((wish, version, picture)).is_err() {
                    return;
                }
                ctx.request_repaint();
            }
        });
        if let Err(error) = spawned {
            log::error!("Pictures cannot be shown: no thread could be started ({error})");
        }
        Self { entries: HashMap::new(), queue, decoded, clock: 0 }
    }

    /// The picture at most as large as a texture can be.
    pub fn get(&mut self, ctx: &egui::Context, path: &Path) -> Picture {
        self.look_up(ctx, Wish { path: path.to_owned(), thumbnail: false })
    }

    /// The picture, small.
    pub fn thumbnail(&mut self, ctx: &egui::Context, path: &Path) -> Picture {
        self.look_up(ctx, Wish { path: path.to_owned(), thumbnail: true })
    }

    /// Nothing is being read.
    pub fn is_settled(&self) -> bool {
        self.entries.values().all(|entry| !matches!(entry.picture, Picture::Loading))
    }

    fn look_up(&mut self, ctx: &egui::Context, wish: Wish) -> Picture {
        self.receive(ctx);
        self.clock += 1;
        let clock = self.clock;
        let known = match self.entries.get_mut(&wish) {
            Some(entry) => {
                entry.last_used = clock;
                if !entry.is_outdated(&wish.path) {
                    return entry.picture.clone();
                }
                // Stays on show until the file is read.
                entry.picture.clone()
            }
            None => {
                let picture = Picture::Loading;
                let entry = Entry { picture, version: None, looked: Instant::now(), last_used: clock };
                self.entries.insert(wish.clone(), entry);
                Picture::Loading
            }
        };
        if let Ok(mut queue) = self.queue.0.lock() {
            if !queue.waiting.contains(&wish) {
                queue.waiting.push(wish);
            }
            if queue.waiting.len() > WAITING {
                let oldest = queue.waiting.remove(0);
                queue.dropped.push(oldest);
            }
        }
        self.queue.1.notify_one();
        known
    }

    fn receive(&mut self, ctx: &egui::Context) {
        if let Ok(mut queue) = self.queue.0.lock() {
            for wish in queue.dropped.drain(..) {
                self.entries.remove(&wish);
            }
        }
        for (wish, version, decoded) in self.decoded.try_iter() {
            let picture = match decoded {
                Ok((image, size)) => {
                    let name = wish.path.display().to_string();
                    Picture::Ready { texture: ctx.load_texture(name, image, TextureOptions::LINEAR), size }
                }
                Err(message) => Picture::Failed(message),
            };
            let entry = Entry { picture, version, looked: Instant::now(), last_used: self.clock };
            self.entries.insert(wish, entry);
        }
        if self.entries.len() > KEPT {
            let mut ages: Vec<u64> = self.entries.values().map(|entry| entry.last_used).collect();
            ages.sort_unstable();
            let oldest_kept = ages[ages.len() - KEPT / 2];
            self.entries.retain(|_, entry| {
                entry.last_used >= oldest_kept || matches!(entry.picture, Picture::Loading)
            });
        }
    }
}

impl Drop for Pictures {
    fn drop(&mut self) {
        if let Ok(mut queue) = self.queue.0.lock() {
            queue.closed = true;
        }
        self.queue.1.notify_all();
    }
}

/// Waits for the newest wish; `None` when the window has gone.
fn next_wish(queue: &(Mutex<Queue>, Condvar)) -> Option<Wish> {
    let mut waiting = queue.0.lock().ok()?;
    loop {
        if waiting.closed {
            return None;
        }
        if let Some(wish) = waiting.waiting.pop() {
            return Some(wish);
        }
        waiting = queue.1.wait(waiting).ok()?;
    }
}

fn version_of(path: &Path) -> Option<Version> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.modified().ok()?, file.len()))
}

/// The picture as the model reads it, made smaller where a side is longer than `largest_side`, and its size in the file.
fn decode(path: &Path, largest_side: u32) -> Decoded {
    let picture = images::load(path).map_err(|error| error.to_string())?;
    let (width, height) = picture.dimensions();
    let picture = DynamicImage::ImageRgb8(picture);
    let picture = if width.max(height) > largest_side {
        picture.thumbnail(largest_side, largest_side)
    } else {
        picture
    };
    let pixels = picture.into_rgb8();
    let shown = [pixels.width() as usize, pixels.height() as usize];
    Ok((ColorImage::from_rgb(shown, pixels.as_raw()), [width, height]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_keep_the_size_of_the_file_and_failures_name_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let wide = dir.path().join("wide.png");
        image::RgbImage::new(400, 10).save(&wide).expect("saved");
        let (image, size) = decode(&wide, 100).expect("decoded");
        assert_eq!(size, [400, 10]);
        assert_eq!(image.size, [100, 3]);
        let broken = dir.path().join("broken.png");
        std::fs::write(&broken, b"\x89PNG\r\n\x1a\nhalf").expect("written");
        assert!(decode(&broken, 100).expect_err("not a picture").contains("broken.png"));
        assert!(decode(&dir.path().join("none.png"), 100).is_err());
    }

    #[test]
    fn a_photo_of_a_phone_is_upright() {
        use image::ImageEncoder as _;
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("phone.jpg");
        // A TIFF header and one entry, the orientation (0x0112): to be turned clockwise by a quarter.
        let head = b"II*\0\x08\0\0\0\x01\0".as_slice();
        let exif = [head, b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0", &[0; 4]].concat();
        let file = std::fs::File::create(&path).expect("created");
        let mut encoder = image::codecs::jpeg::JpegEncoder::new(file);
        encoder.set_exif_metadata(exif).expect("a JPEG can have it");
        image::RgbImage::new(40, 20).write_with_encoder(encoder).expect("saved");
        let (image, size) = decode(&path, 20).expect("decoded");
        assert_eq!(size, [20, 40]);
        assert_eq!(image.size, [10, 20]);
    }

    /// Whether the picture comes to be as wanted within some seconds.
    fn comes(pictures: &mut Pictures, path: &Path, wanted: impl Fn(&Picture) -> bool) -> bool {
        let ctx = egui::Context::default();
        (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            wanted(&pictures.get(&ctx, path))
        })
    }

    fn has_size(wanted: [u32; 2]) -> impl Fn(&Picture) -> bool {
        move |picture| matches!(picture, Picture::Ready { size, .. } if *size == wanted)
    }

    #[test]
    fn wishes_are_granted_by_the_thread_and_again_when_the_file_changes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.png");
        let mut pictures = Pictures::new(&egui::Context::default());
        assert!(comes(&mut pictures, &path, |picture| matches!(picture, Picture::Failed(_))));
        image::RgbImage::new(8, 6).save(&path).expect("saved");
        assert!(comes(&mut pictures, &path, has_size([8, 6])), "failures do not stay");
        assert!(pictures.is_settled());
        image::RgbImage::new(200, 100).save(&path).expect("saved");
        assert!(comes(&mut pictures, &path, has_size([200, 100])), "changes are seen");
    }
}
