//! How fast pictures are made.

use super::Renderer;
use crate::scenes::rooms::{RoomOptions, generate};
use crate::scenes::{scannet_intrinsics, stand_points};
use serde::Serialize;
use web_time::{Duration, Instant};

/// What [`benchmark`] measured, on one thread.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Throughput {
    pub width: u32,
    pub height: u32,
    pub pictures: u32,
    /// Seconds spent, furnishing the rooms and placing the cameras not counted.
    pub seconds: f64,
    pub pictures_per_second: f64,
    /// Part of the time that went into making scenes ready ([`Renderer::new`]), 0..=1.
    pub preparing: f64,
}

/// Renders generated rooms, four pictures each, on one thread until the time is up.
pub fn benchmark(width: u32, height: u32, time: Duration) -> Throughput {
    let (mut preparing, mut drawing) = (Duration::ZERO, Duration::ZERO);
    let mut pictures = 0;
    for index in 0.. {
        let scene = generate(0, index, &RoomOptions::default());
        let cameras = stand_points(&scene, 4, scannet_intrinsics(width, height), index);
        let start = Instant::now();
        let renderer = Renderer::new(&scene);
        preparing += start.elapsed();
        let start = Instant::now();
        for camera in &cameras {
            let frame = renderer.render(camera);
            pictures += u32::from(!frame.depth.is_empty());
        }
        drawing += start.elapsed();
        if preparing + drawing >= time {
            break;
        }
    }
    let seconds = (preparing + drawing).as_secs_f64();
    Throughput {
        width,
        height,
        pictures,
        seconds,
        pictures_per_second: f64::from(pictures) / seconds.max(1e-9),
        preparing: preparing.as_secs_f64() / seconds.max(1e-9),
    }
}
