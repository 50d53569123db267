//! Writes generated rooms as the folders of recorded scans, to test what reads these and to show what is expected of
//! them.

pub mod arkitscenes;
pub mod scannet;
pub mod scannetpp;

use crate::geometry::OrientedBox;
use crate::render::RenderedFrame;
use crate::samples::files::{self, FileError};
use crate::scenes::ply;
use crate::scenes::scan::ScanMesh;
use image::codecs::jpeg::JpegEncoder;
use image::{ImageBuffer, ImageFormat, Luma};
use serde_json::{Value, json};
use std::io::Cursor;
use std::path::Path;

fn write_surface(mesh: ScanMesh, path: &Path) -> Result<(), FileError> {
    let surface = ply::Ply { vertices: mesh.vertices, colors: Some(mesh.colors), triangles: mesh.triangles };
    files::write_atomic(path, &ply::to_bytes(&surface))
}

/// As ARKitScenes and ScanNet++ write boxes.
fn box_json(bounds: &OrientedBox) -> Value {
    json!({
        "centroid": bounds.center.to_array(),
        "axesLengths": bounds.size().to_array(),
        "normalizedAxes": bounds.axes().to_cols_array(),
    })
}

fn millimetres(frame: &RenderedFrame) -> Vec<u16> {
    frame.depth.iter().map(|&metres| libm::roundf(metres * 1000.0).clamp(0.0, 65_535.0) as u16).collect()
}

/// A picture's file, compressed without loss.
fn color_png(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    // Writing to memory does not fail.
    let _ = image.write_to(&mut bytes, ImageFormat::Png);
    bytes.into_inner()
}

/// A frame's depth as 16-bit millimetres, compressed without loss.
fn depth_png(frame: &RenderedFrame) -> Vec<u8> {
    let (width, height) = frame.color.dimensions();
    let depth: ImageBuffer<Luma<u16>, Vec<u16>> =
        ImageBuffer::from_raw(width, height, millimetres(frame)).unwrap_or_default();
    let mut bytes = Cursor::new(Vec::new());
    // Writing to memory does not fail.
    let _ = image::DynamicImage::ImageLuma16(depth).write_to(&mut bytes, ImageFormat::Png);
    bytes.into_inner()
}

/// A picture's file, compressed with little loss.
fn jpeg(image: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(image);
    bytes
}
