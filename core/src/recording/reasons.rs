//! Why an answer is the answer, drawn into the scene: what was measured, from where one looks, what was counted.

use super::{RecordingError, scene};
use crate::questions::spatial::{direction_word, sectors};
use crate::samples::{Evidence, Reason, Segment};
use crate::scenes::Scene;
use glam::{Vec2, Vec3, vec2};
use rerun::components::{Color, FillMode, Radius};
use rerun::datatypes::Quaternion;
use rerun::{RecordingStream, archetypes as rr};

/// What the answer rests on stands out; what it was compared with stays behind.
const ANSWER: [u8; 3] = [255, 200, 60];
const OTHER: [u8; 3] = [150, 160, 180];
/// Radius of the fans that show sectors on the floor, metres.
const FAN_M: f32 = 1.2;
/// Drawn this far above the floor, so that it is not in it.
const LIFT_M: f32 = 0.03;
/// Degrees between the rays of a fan.
const RAY_DEG: f32 = 7.5;

/// Everything that is drawn; each list may be empty.
#[derive(Default)]
struct Drawing {
    lines: Vec<(Vec<Vec3>, [u8; 3], String)>,
    points: Vec<(Vec3, [u8; 3], String)>,
    /// Origin, vector.
    arrows: Vec<(Vec3, Vec3, [u8; 3], String)>,
    /// Corners of triangles, three each.
    filled: Vec<Vec3>,
    /// Objects with the text at them.
    objects: Vec<(u16, [u8; 3], String)>,
}

/// Logs the drawing of a reason under `/reason`, over that of the sample before; nothing for `None`.
pub(super) fn log(
    recording: &RecordingStream,
    scene: &Scene,
    evidence: Option<&Evidence>,
) -> Result<(), RecordingError> {
    let drawing = evidence.map_or_else(Drawing::default, |evidence| drawing(scene, &evidence.reason));
    let color = |[r, g, b]: [u8; 3]| Color::from_rgb(r, g, b);
    let lines = &drawing.lines;
    recording.log_static(
        "/reason/lines",
        &rr::LineStrips3D::new(lines.iter().map(|(points, ..)| points.iter().map(Vec3::to_array)))
            .with_colors(lines.iter().map(|(_, c, _)| color(*c)))
            .with_labels(lines.iter().map(|(.., label)| label.as_str()))
            .with_radii([Radius::new_ui_points(2.5)])
            .with_show_labels(true),
    )?;
    let points = &drawing.points;
    recording.log_static(
        "/reason/points",
        &rr::Points3D::new(points.iter().map(|(place, ..)| place.to_array()))
            .with_colors(points.iter().map(|(_, c, _)| color(*c)))
            .with_labels(points.iter().map(|(.., label)| label.as_str()))
            .with_radii([Radius::new_ui_points(5.0)])
            .with_show_labels(true),
    )?;
    let arrows = &drawing.arrows;
    recording.log_static(
        "/reason/arrows",
        &rr::Arrows3D::from_vectors(arrows.iter().map(|(_, vector, ..)| vector.to_array()))
            .with_origins(arrows.iter().map(|(origin, ..)| origin.to_array()))
            .with_colors(arrows.iter().map(|(_, _, c, _)| color(*c)))
            .with_labels(arrows.iter().map(|(.., label)| label.as_str()))
            .with_radii([Radius::new_ui_points(2.5)])
            .with_show_labels(true),
    )?;
    let [r, g, b] = ANSWER;
    recording.log_static(
        "/reason/area",
        &rr::Mesh3D::new(drawing.filled.iter().map(Vec3::to_array))
            .with_albedo_factor(rerun::datatypes::Rgba32::from_unmultiplied_rgba(r, g, b, 110)),
    )?;
    let boxed: Vec<_> = drawing
        .objects
        .iter()
        .filter_map(|(id, c, label)| {
            Some((scene.objects.iter().find(|object| object.id == *id)?.bounds, *c, label))
        })
        .collect();
    recording.log_static(
        "/reason/objects",
        &rr::Boxes3D::from_centers_and_half_sizes(
            boxed.iter().map(|(bounds, ..)| bounds.center.to_array()),
            boxed.iter().map(|(bounds, ..)| (bounds.half_extents + 0.01).to_array()),
        )
        .with_quaternions(boxed.iter().map(|(b, ..)| Quaternion::from_xyzw(b.rotation.to_array())))
        .with_colors(boxed.iter().map(|(_, c, _)| color(*c)))
        .with_labels(boxed.iter().map(|(.., label)| label.as_str()))
        .with_radii([Radius::new_ui_points(3.0)])
        .with_fill_mode(FillMode::MajorWireframe)
        .with_show_labels(true),
    )?;
    Ok(())
}

fn drawing(scene: &Scene, reason: &Reason) -> Drawing {
    let mut drawing = Drawing::default();
    let name = |id: u16| {
        scene.objects.iter().find(|object| object.id == id).map_or("?", |object| object.category.as_str())
    };
    let metres = |segment: &Segment| format!("{:.1} m", segment.length());
    let line = |segment: &Segment| vec![segment.from, segment.to];
    match reason {
        Reason::AbsoluteDistance { objects, shortest } => {
            drawing.lines.push((line(shortest), ANSWER, metres(shortest)));
            drawing.objects.extend(objects.map(|id| (id, ANSWER, name(id).to_owned())));
        }
        Reason::RelativeDistance { target, candidates, shortest } => {
            let nearest = (0..shortest.len())
                .min_by(|&i, &j| shortest[i].length().total_cmp(&shortest[j].length()))
                .unwrap_or(0);
            drawing.objects.push((*target, OTHER, format!("to {}", name(*target))));
            for (at, (&id, way)) in candidates.iter().zip(shortest).enumerate() {
                let shade = if at == nearest { ANSWER } else { OTHER };
                drawing.lines.push((line(way), shade, metres(way)));
                drawing.objects.push((id, shade, name(id).to_owned()));
            }
        }
        Reason::ObjectSize { object, longest } => {
            drawing.lines.push((line(longest), ANSWER, format!("{:.0} cm", longest.length() * 100.0)));
            drawing.objects.push((*object, ANSWER, name(*object).to_owned()));
        }
        Reason::RelativeDirection { scheme, objects, standpoint, facing, target, angle_deg } => {
            let floor = scene.room.floor + LIFT_M;
            let flat = |point: Vec3| point.truncate().extend(floor);
            let (here, ahead, there) = (flat(*standpoint), flat(*facing), flat(*target));
            let forward = (ahead - here).truncate().normalize_or(Vec2::Y);
            let right = vec2(forward.y, -forward.x);
            let ray = |degrees: f32| {
                let angle = degrees.to_radians();
                let way = forward * libm::cosf(angle) + right * libm::sinf(angle);
                here + (way * FAN_M).extend(0.0)
            };
            let answer = direction_word(*scheme, *angle_deg);
            for (word, [from, to]) in sectors(*scheme) {
                let steps = ((to - from) / RAY_DEG).ceil().max(1.0) as usize;
                let rim: Vec<Vec3> =
                    (0..=steps).map(|i| ray(from + (to - from) * i as f32 / steps as f32)).collect();
                let is_answer = answer == Some(*word);
                if is_answer {
                    drawing.filled.extend(rim.windows(2).flat_map(|pair| [here, pair[1], pair[0]]));
                }
                let outline = std::iter::once(here).chain(rim).chain([here]).collect();
                let shade = if is_answer { ANSWER } else { OTHER };
                drawing.lines.push((outline, shade, (*word).to_owned()));
            }
            drawing.arrows.push((here, ahead - here, OTHER, "straight ahead".to_owned()));
            let turn = if *angle_deg <= 180.0 {
                format!("{angle_deg:.0}° to the right")
            } else {
                format!("{:.0}° to the left", 360.0 - angle_deg)
            };
            drawing.arrows.push((here, there - here, ANSWER, turn));
            drawing.objects.extend(objects.iter().map(|&id| (id, OTHER, name(id).to_owned())));
        }
        Reason::ObjectCount { category, objects } => {
            let numbered =
                (1..).zip(objects).map(|(number, &id)| (id, ANSWER, format!("{category} {number}")));
            drawing.objects.extend(numbered);
        }
        Reason::RoomSize { outlines, floor } => {
            for outline in outlines {
                let at = |corner: Vec2| corner.extend(floor + LIFT_M);
                let ring = outline.iter().chain(outline.first()).map(|&corner| at(corner)).collect();
                drawing.lines.push((ring, ANSWER, format!("{:.1} m²", scene.room.area)));
                for triangle in crate::geometry::polygon::triangulate(outline) {
                    drawing.filled.extend(triangle.map(|corner| at(outline[corner as usize])));
                }
            }
        }
        Reason::AppearanceOrder { objects, first_frames } => {
            for (number, (&id, frame)) in (1..).zip(objects.iter().zip(first_frames)) {
                let label = format!("{number}. {} (frame {})", name(id), frame + 1);
                drawing.objects.push((id, scene::LABEL_RAMP[(number - 1) % 4], label));
            }
        }
    }
    drawing
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::SectorScheme;

    #[test]
    fn the_sector_of_the_answer_is_the_one_that_is_filled() {
        let mut scene = crate::recording::scene::tests::scene("a", 1);
        scene.room.floor = 0.0;
        let reason = Reason::RelativeDirection {
            scheme: SectorScheme::Hard,
            objects: vec![1],
            standpoint: Vec3::ZERO,
            facing: Vec3::Y,
            target: Vec3::new(1.0, 1.0, 0.0),
            angle_deg: 45.0,
        };
        let drawn = drawing(&scene, &reason);
        assert!(!drawn.filled.is_empty() && drawn.filled.iter().all(|p| p.x > -1e-4 && p.y > -1e-4));
        assert_eq!(drawn.lines.len(), 4);
        assert_eq!(drawn.arrows[1].3, "45° to the right");
    }

    #[test]
    fn the_whole_floor_is_filled() {
        let scene = crate::recording::scene::tests::scene("a", 1);
        let reason = Reason::RoomSize { outlines: vec![scene.room.outline.clone()], floor: 0.0 };
        let drawn = drawing(&scene, &reason);
        let area: f32 = drawn.filled.chunks(3).map(|t| (t[1] - t[0]).cross(t[2] - t[0]).z * 0.5).sum();
        assert!((area - 12.0).abs() < 1e-4);
        assert_eq!(drawn.lines[0].2, "12.0 m²");
    }
}
