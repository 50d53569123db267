//! Pictures from disk as textures: decoded by a thread of their own, newest wish first, so that
//! scrolling through ten thousand samples never waits for a picture that has scrolled by.

use egui::{ColorImage, TextureHandle, TextureOptions};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, mpsc};

/// More than fit on a screen; older pictures are dropped and read again when needed.
const KEPT: usize = 256;
const WAITING: usize = 64;
/// Every device that the window runs on can show a texture of this many pixels a side.
const LARGEST_SIDE: u32 = 2048;
/// Twice the points of a thumbnail, for screens of double density.
const THUMBNAIL_SIDE: u32 = 128;

/// Largest picture decoded, in pixels: 20,000 × 20,000.
const LARGEST_PICTURE: u64 = 400_000_000;

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
        /// Width and height of the file's picture in pixels: what boxes refer to.
        size: [u32; 2],
    },
    Failed(String),
}

struct Entry {
    picture: Picture,
    last_used: u64,
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
    decoded: mpsc::Receiver<(Wish, Decoded)>,
    clock: u64,
}

impl Pictures {
    pub fn new(ctx: &egui::Context) -> Self {
        let queue = Arc::new((Mutex::new(Queue::default()), Condvar::new()));
        let (sender, decoded) = mpsc::channel();
        let (for_thread, ctx) = (queue.clone(), ctx.clone());
        let spawned = std::thread::Builder::new().name("pictures".into()).spawn(move || {
            while let Some(wish) = next_wish(&for_thread) {
                let picture = decode(&wish.path, if wish.thumbnail { THUMBNAIL_SIDE } else { LARGEST_SIDE });
                if sender.send((wish, picture)).is_err() {
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
        if let Some(entry) = self.entries.get_mut(&wish) {
            entry.last_used = clock;
            return entry.picture.clone();
        }
        self.entries.insert(wish.clone(), Entry { picture: Picture::Loading, last_used: clock });
        if let Ok(mut queue) = self.queue.0.lock() {
            queue.waiting.push(wish);
            if queue.waiting.len() > WAITING {
                let oldest = queue.waiting.remove(0);
                queue.dropped.push(oldest);
            }
        }
        self.queue.1.notify_one();
        Picture::Loading
    }

    fn receive(&mut self, ctx: &egui::Context) {
        if let Ok(mut queue) = self.queue.0.lock() {
            for wish in queue.dropped.drain(..) {
                self.entries.remove(&wish);
            }
        }
        for (wish, decoded) in self.decoded.try_iter() {
            let picture = match decoded {
                Ok((image, size)) => {
                    let name = wish.path.display().to_string();
                    Picture::Ready { texture: ctx.load_texture(name, image, TextureOptions::LINEAR), size }
                }
                Err(message) => Picture::Failed(message),
            };
            self.entries.insert(wish, Entry { picture, last_used: self.clock });
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

fn decode(path: &Path, largest_side: u32) -> Decoded {
    let fail = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|error| fail(&error))?;
    let (width, height) = reader.into_dimensions().map_err(|error| fail(&error))?;
    if u64::from(width) * u64::from(height) > LARGEST_PICTURE {
        return Err(fail(&format!("{width} × {height} pixels are too many. Make the picture smaller")));
    }
    let mut reader = image::ImageReader::open(path)
        .and_then(image::ImageReader::with_guessed_format)
        .map_err(|error| fail(&error))?;
    reader.no_limits();
    let picture = reader.decode().map_err(|error| fail(&error))?;
    let picture = if width.max(height) > largest_side {
        picture.thumbnail(largest_side, largest_side)
    } else {
        picture
    };
    let pixels = picture.to_rgb8();
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
    fn wishes_are_granted_by_the_thread() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("a.png");
        image::RgbImage::new(8, 6).save(&path).expect("saved");
        let ctx = egui::Context::default();
        let mut pictures = Pictures::new(&ctx);
        for _ in 0..500 {
            if let Picture::Ready { size, .. } = pictures.get(&ctx, &path) {
                assert_eq!(size, [8, 6]);
                assert!(pictures.is_settled());
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the picture never came");
    }
}
