//! Scenes (a room, its objects, the cameras in it) and where they come from.
//!
//! A scene is small and exact: outlines, labelled boxes and seeds. What it looks like follows from it, the
//! same every time: [`mesh`] turns an object into triangles, [`panels`] does so for the room itself.

#[cfg(not(target_arch = "wasm32"))]
pub mod arkitscenes;
mod cameras;
mod catalogue;
mod error;
mod material;
mod mesh;
pub mod ply;
mod random;
pub mod rooms;
#[cfg(not(target_arch = "wasm32"))]
pub mod scan;
#[cfg(not(target_arch = "wasm32"))]
pub mod scannet;
#[cfg(not(target_arch = "wasm32"))]
pub mod scannetpp;
mod shapes;
mod shell;
pub mod vsi_meta;
mod walk;

pub use cameras::{scannet_intrinsics, stand_points};
pub use catalogue::{CATEGORIES, Category, Placement, category, is_known_category, mesh, solidity};
pub use error::SceneError;
pub use material::{Material, Surface};
pub use mesh::{Face, Mesh, MeshBuilder};
pub use random::Dice;
pub use shell::{Panel, panels};
pub use walk::walk;

use crate::geometry::{Intrinsics, OrientedBox, Pose};
use glam::Vec2;
use serde::{Deserialize, Serialize};

/// A room with objects and cameras: everything that questions are asked about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// Unique in its source: `room_000017`, `scene0011_00`.
    pub name: String,
    /// `rooms`, `vsi-meta`, later `scannet`, …
    pub source: String,
    pub room: Room,
    pub objects: Vec<Object>,
    pub cameras: Vec<Camera>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Room {
    /// Corners of the floor, counter-clockwise seen from above, metres.
    pub outline: Vec<Vec2>,
    /// Height of the floor, metres in the world frame: 0 in generated rooms.
    #[serde(default)]
    pub floor: f32,
    /// Floor to ceiling, metres.
    pub height: f32,
    /// Square metres, as the source states it (for generated rooms: the area of `outline`).
    pub area: f32,
    /// `bedroom`, `office`, …; empty when unknown.
    #[serde(default)]
    pub kind: String,
    /// Seed of wall, floor and ceiling materials.
    pub style: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Instance id, unique in the scene, from 1; 0 means "no object" in instance images.
    pub id: u16,
    /// ScanNet-like label: `chair`, `trash can`, …
    pub category: String,
    /// Tight around the object's mesh; the box's local +Z is its up, local -Y its front.
    pub bounds: OrientedBox,
    /// The object it stands on or hangs from; `None` for floor, wall or ceiling, or when unknown.
    #[serde(default)]
    pub support: Option<u16>,
    /// Seed of shape and material variations.
    pub style: u64,
}

/// A camera and, for a video, when it looked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Camera to world.
    pub pose: Pose,
    pub intrinsics: Intrinsics,
    /// Seconds since the start of the walk; `None` for a stand-point.
    pub time: Option<f32>,
}
