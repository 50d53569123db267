//! Making a scene ready for drawing.

use super::light::{Caster, Lights, ShadowMap};
use super::{Face, Part, Renderer};
use crate::scenes::{self, Mesh, Object, Panel, Scene, Surface};
use glam::{Mat3, Vec3};

/// Most neighbours that darken an object.
const NEIGHBOURS: usize = 6;

/// Where a mesh's own frame lies in the world.
struct Frame {
    origin: Vec3,
    axes: Mat3,
    half: Vec3,
}

impl Renderer {
    pub fn new(scene: &Scene) -> Self {
        let mut renderer = Self {
            vertices: Vec::new(),
            normals: Vec::new(),
            faces: Vec::new(),
            materials: Vec::new(),
            parts: Vec::new(),
            lights: Lights::of(scene),
            floor: scene.room.floor,
        };
        let casters: Vec<Caster> =
            scene.objects.iter().map(|o| Caster::new(o.bounds, scenes::solidity(&o.category))).collect();
        for panel in scenes::panels(&scene.room) {
            renderer.add_panel(&panel, &casters);
        }
        for (index, object) in scene.objects.iter().enumerate() {
            let near = |(i, other): (usize, &Caster)| i != index && casters[index].touches(other);
            let neighbours = casters.iter().enumerate().filter(|c| near(*c)).map(|(_, c)| c.clone());
            renderer.add_object(object, neighbours.take(NEIGHBOURS).collect());
        }
        renderer
    }

    fn add_panel(&mut self, panel: &Panel, casters: &[Caster]) {
        let frame = Frame { origin: panel.origin, axes: panel.axes, half: Vec3::ONE };
        let index = self.add(0, &panel.mesh, &frame);
        let map = |size| ShadowMap::new(panel.origin, panel.axes, size, &self.lights, casters);
        self.parts[index].shadow = panel.size.map(map);
    }

    fn add_object(&mut self, object: &Object, neighbours: Vec<Caster>) {
        let bounds = &object.bounds;
        let frame = Frame { origin: bounds.center, axes: bounds.axes(), half: bounds.half_extents };
        let index = self.add(object.id, &scenes::mesh(object), &frame);
        self.parts[index].neighbours = neighbours;
    }

    /// Adds a mesh; gives the number of its part.
    fn add(&mut self, id: u16, mesh: &Mesh, frame: &Frame) -> usize {
        let (first_vertex, first_face) = (self.vertices.len(), self.faces.len());
        let first_material = self.materials.len() as u32;
        let part = self.parts.len();
        self.vertices.extend(mesh.vertices.iter().map(|&v| frame.axes * v + frame.origin));
        self.normals.extend(mesh.normals.iter().map(|&n| frame.axes * n));
        self.materials.extend(&mesh.materials);
        for face in &mesh.faces {
            let [a, b, c] = face.corners.map(|i| mesh.vertices[i as usize]);
            let normal = (b - a).cross(c - a);
            // Stretched to nothing: there is nothing to see.
            if normal.length_squared() < 1e-16 {
                continue;
            }
            let normal = normal.normalize_or(Vec3::Z);
            let [n0, n1, n2] = face.corners.map(|i| mesh.normals[i as usize]);
            self.faces.push(Face {
                corners: face.corners.map(|i| i + first_vertex as u32),
                material: first_material + u32::from(face.material),
                part: part as u32,
                normal: frame.axes * normal,
                smooth: n0.dot(n1).min(n0.dot(n2)) < 0.9999 || n0.dot(normal) < 0.999,
                two_sided: mesh.materials[face.material as usize].surface == Surface::Leaf,
                axis: steepest(normal),
            });
        }
        self.parts.push(Part {
            id,
            vertices: first_vertex..self.vertices.len(),
            faces: first_face..self.faces.len(),
            center: frame.origin,
            to_local: frame.axes.transpose(),
            half: frame.half,
            shadow: None,
            neighbours: Vec::new(),
        });
        part
    }
}

/// The axis that a direction follows most: 0, 1 or 2.
fn steepest(normal: Vec3) -> u8 {
    let steep = normal.abs();
    if steep.z >= steep.x.max(steep.y) { 2 } else { u8::from(steep.y >= steep.x) }
}
