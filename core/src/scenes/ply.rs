//! Meshes in PLY files, as scans come: binary little-endian or ASCII, with or without colours. Properties and
//! elements that are not needed are passed over.

use super::SceneError;
use glam::Vec3;
use std::path::Path;

/// A triangle mesh.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ply {
    /// In the file's unit (metres in scans).
    pub vertices: Vec<Vec3>,
    /// sRGB, one a vertex; `None` where the file has no colours.
    pub colors: Option<Vec<[u8; 3]>>,
    /// Indices of vertices; faces with more corners are cut into fans.
    pub triangles: Vec<[u32; 3]>,
}

const REMEDY: &str = "fetch the file again, or export it as binary little-endian PLY";

/// Corners of one face at most: more is a sign of damage.
const MAX_CORNERS: usize = 4096;

/// Reads a file.
#[cfg(not(target_arch = "wasm32"))]
pub fn read(path: &Path) -> Result<Ply, SceneError> {
    let bytes = std::fs::read(path).map_err(|source| SceneError::Read { path: path.to_owned(), source })?;
    parse(path, &bytes)
}

/// Reads a file's bytes; `path` is what messages call it.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Ply, SceneError> {
    let fail = |(place, problem): (String, String)| SceneError::File {
        path: path.to_owned(),
        place,
        problem,
        remedy: REMEDY,
    };
    let header = Header::parse(bytes).map_err(fail)?;
    let body = &bytes[header.length..];
    let mut cells: Box<dyn Cells + '_> = if header.ascii {
        Box::new(AsciiCells { words: String::from_utf8_lossy(body).into_owned(), at: 0 })
    } else {
        Box::new(BinaryCells { bytes: body, at: 0, offset: header.length })
    };
    let mut mesh = Ply::default();
    for element in &header.elements {
        read_element(element, cells.as_mut(), &mut mesh).map_err(fail)?;
    }
    let count = mesh.vertices.len();
    if let Some(at) = mesh.triangles.iter().position(|corners| corners.iter().any(|&i| i as usize >= count)) {
        let corners = mesh.triangles[at];
        return Err(fail((
            format!("triangle {at}"),
            format!("names vertices {corners:?}, but there are only {count}"),
        )));
    }
    Ok(mesh)
}

/// The file's bytes, binary little-endian.
pub fn to_bytes(mesh: &Ply) -> Vec<u8> {
    let mut header = format!(
        "ply\nformat binary_little_endian 1.0\nelement vertex {}\n\
         property float x\nproperty float y\nproperty float z\n",
        mesh.vertices.len()
    );
    if mesh.colors.is_some() {
        header.push_str(
            "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n",
        );
    }
    header.push_str(&format!(
        "element face {}\nproperty list uchar int vertex_indices\nend_header\n",
        mesh.triangles.len()
    ));
    let mut bytes = header.into_bytes();
    for (i, vertex) in mesh.vertices.iter().enumerate() {
        bytes.extend(vertex.to_array().iter().flat_map(|value| value.to_le_bytes()));
        if let Some(colors) = &mesh.colors {
            let [red, green, blue] = colors.get(i).copied().unwrap_or_default();
            bytes.extend([red, green, blue, 255]);
        }
    }
    for corners in &mesh.triangles {
        bytes.push(3);
        bytes.extend(corners.iter().flat_map(|&corner| (corner as i32).to_le_bytes()));
    }
    bytes
}

/// Where, and what is wrong there.
type Problem = (String, String);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    I8,
    U8,
    I16,
    U16,
    I32,
    U32,
    F32,
    F64,
}

#[derive(Debug)]
enum Property {
    Scalar(String, Kind),
    List(String, Kind, Kind),
}

#[derive(Debug)]
struct Element {
    name: String,
    count: usize,
    properties: Vec<Property>,
}

#[derive(Debug)]
struct Header {
    ascii: bool,
    elements: Vec<Element>,
    /// Bytes up to the first value.
    length: usize,
}

impl Kind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "char" | "int8" => Self::I8,
            "uchar" | "uint8" => Self::U8,
            "short" | "int16" => Self::I16,
            "ushort" | "uint16" => Self::U16,
            "int" | "int32" => Self::I32,
            "uint" | "uint32" => Self::U32,
            "float" | "float32" => Self::F32,
            "double" | "float64" => Self::F64,
            _ => return None,
        })
    }

    fn size(self) -> usize {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::U32 | Self::F32 => 4,
            Self::F64 => 8,
        }
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, Problem> {
        let mut lines = 0;
        let mut at = 0;
        let mut header = Self { ascii: false, elements: Vec::new(), length: 0 };
        loop {
            lines += 1;
            let wrong = |problem: &str| (format!("header, line {lines}"), problem.to_owned());
            let rest = &bytes[at..];
            // A header line of more than this is no header line.
            let end = rest.iter().take(1024).position(|&byte| byte == b'\n');
            let end = end.ok_or_else(|| wrong("is not the line of a PLY header"))?;
            let line = String::from_utf8_lossy(&rest[..end]);
            at += end + 1;
            let words: Vec<&str> = line.split_whitespace().collect();
            match words[..] {
                ["ply"] if lines == 1 => {}
                _ if lines == 1 => return Err(wrong("does not say \"ply\": this is no PLY file")),
                ["format", "binary_little_endian", _] => header.ascii = false,
                ["format", "ascii", _] => header.ascii = true,
                ["format", other, ..] => return Err(wrong(&format!("the format {other} is not read"))),
                ["comment" | "obj_info", ..] | [] => {}
                ["element", name, count] => {
                    let count = count.parse().map_err(|_| wrong("has no number of elements"))?;
                    header.elements.push(Element { name: name.to_owned(), count, properties: Vec::new() });
                }
                ["property", "list", length, item, name] => {
                    let kinds = Kind::of(length).zip(Kind::of(item));
                    let (length, item) = kinds.ok_or_else(|| wrong("has an unknown type"))?;
                    let element =
                        header.elements.last_mut().ok_or_else(|| wrong("comes before any element"))?;
                    element.properties.push(Property::List(name.to_owned(), length, item));
                }
                ["property", kind, name] => {
                    let kind = Kind::of(kind).ok_or_else(|| wrong("has an unknown type"))?;
                    let element =
                        header.elements.last_mut().ok_or_else(|| wrong("comes before any element"))?;
                    element.properties.push(Property::Scalar(name.to_owned(), kind));
                }
                ["end_header"] => break,
                _ => return Err(wrong("is not understood")),
            }
        }
        header.length = at;
        Ok(header)
    }
}

/// The values after the header, one after the other.
trait Cells {
    fn next(&mut self, kind: Kind) -> Result<f64, String>;
    /// Fewest bytes that are left.
    fn left(&self) -> usize;
    /// Bytes of the body before the next value.
    fn at(&self) -> usize;
    /// What a reader of messages finds `at` bytes into the body by.
    fn place(&self, at: usize) -> String;
}

struct BinaryCells<'a> {
    bytes: &'a [u8],
    at: usize,
    offset: usize,
}

impl Cells for BinaryCells<'_> {
    fn next(&mut self, kind: Kind) -> Result<f64, String> {
        let value = self.bytes.get(self.at..self.at + kind.size()).ok_or("the file ends here")?;
        self.at += kind.size();
        fn bytes<const N: usize>(value: &[u8]) -> [u8; N] {
            value.try_into().unwrap_or([0; N])
        }
        Ok(match kind {
            Kind::I8 => f64::from(i8::from_le_bytes(bytes(value))),
            Kind::U8 => f64::from(value[0]),
            Kind::I16 => f64::from(i16::from_le_bytes(bytes(value))),
            Kind::U16 => f64::from(u16::from_le_bytes(bytes(value))),
            Kind::I32 => f64::from(i32::from_le_bytes(bytes(value))),
            Kind::U32 => f64::from(u32::from_le_bytes(bytes(value))),
            Kind::F32 => f64::from(f32::from_le_bytes(bytes(value))),
            Kind::F64 => f64::from_le_bytes(bytes(value)),
        })
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn at(&self) -> usize {
        self.at
    }

    fn place(&self, at: usize) -> String {
        format!("byte {}", self.offset + at)
    }
}

struct AsciiCells {
    words: String,
    at: usize,
}

impl Cells for AsciiCells {
    fn next(&mut self, _kind: Kind) -> Result<f64, String> {
        let rest = &self.words[self.at..];
        let start = rest.find(|c: char| !c.is_whitespace()).ok_or("the file ends here")?;
        let word = rest[start..].split_whitespace().next().unwrap_or_default();
        self.at += start + word.len();
        word.parse().map_err(|_| format!("{word:.40} is no number"))
    }

    fn left(&self) -> usize {
        self.words.len() - self.at
    }

    fn at(&self) -> usize {
        self.at
    }

    fn place(&self, at: usize) -> String {
        let blank = self.words[at..].find(|c: char| !c.is_whitespace()).unwrap_or(0);
        format!("line {} after the header", self.words[..at + blank].matches('\n').count() + 1)
    }
}

fn read_element(element: &Element, cells: &mut dyn Cells, mesh: &mut Ply) -> Result<(), Problem> {
    // Each value takes a byte at least, so a count that lies is noticed before anything is allocated for it.
    if !element.properties.is_empty() && element.count > cells.left() {
        let problem = format!(
            "{} elements \"{}\" are announced, but only {} bytes are left",
            element.count,
            element.name,
            cells.left()
        );
        return Err((cells.place(cells.at()), problem));
    }
    let is_vertex = element.name == "vertex";
    let named = |wanted: &str| {
        element.properties.iter().position(|p| matches!(p, Property::Scalar(name, _) if name == wanted))
    };
    let (position, color) = (["x", "y", "z"].map(named), ["red", "green", "blue"].map(named));
    if is_vertex && position.contains(&None) {
        return Err(("header".to_owned(), "vertices have no x, y and z".to_owned()));
    }
    if is_vertex && !mesh.vertices.is_empty() {
        return Err(("header".to_owned(), "has two elements \"vertex\"".to_owned()));
    }
    let has_color = is_vertex && !color.contains(&None);
    let mut colors = Vec::new();
    let mut values = vec![0.0_f64; element.properties.len()];
    let mut corners: Vec<u32> = Vec::new();
    if element.properties.is_empty() {
        return Ok(());
    }
    for number in 0..element.count {
        let start = cells.at();
        corners.clear();
        read_row(element, cells, &mut values, &mut corners)
            .and_then(|()| {
                if is_vertex {
                    let vertex = Vec3::from(position.map(|i| values[i.unwrap_or(0)] as f32));
                    if !vertex.is_finite() {
                        return Err(format!("{vertex} is not finite"));
                    }
                    mesh.vertices.push(vertex);
                }
                Ok(())
            })
            // The place is worked out only now, because finding a line means counting those before it.
            .map_err(|problem| (format!("{} {number}, {}", element.name, cells.place(start)), problem))?;
        if has_color {
            colors.push(color.map(|i| values[i.unwrap_or(0)].clamp(0.0, 255.0) as u8));
        }
        for i in 2..corners.len() {
            mesh.triangles.push([corners[0], corners[i - 1], corners[i]]);
        }
    }
    if has_color {
        mesh.colors = Some(colors);
    }
    Ok(())
}

/// One element's values: scalars into `values`, by property, and a face's corners into `corners`.
fn read_row(
    element: &Element,
    cells: &mut dyn Cells,
    values: &mut [f64],
    corners: &mut Vec<u32>,
) -> Result<(), String> {
    for (value, property) in values.iter_mut().zip(&element.properties) {
        match property {
            Property::Scalar(_, kind) => *value = cells.next(*kind)?,
            Property::List(name, length, item) => {
                let count = cells.next(*length)?;
                if !(0.0..=MAX_CORNERS as f64).contains(&count) {
                    return Err(format!("a list of {count} values is no face"));
                }
                let is_corners =
                    element.name == "face" && matches!(name.as_str(), "vertex_indices" | "vertex_index");
                for _ in 0..count as usize {
                    let index = cells.next(*item)?;
                    if is_corners {
                        if !(0.0..f64::from(u32::MAX)).contains(&index) {
                            return Err(format!("{index} is no vertex"));
                        }
                        corners.push(index as u32);
                    }
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use glam::vec3;

    fn square() -> Ply {
        Ply {
            vertices: vec![Vec3::ZERO, Vec3::X, vec3(1.0, 1.0, 0.5), Vec3::Y],
            colors: Some(vec![[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]]),
            triangles: vec![[0, 1, 2], [0, 2, 3]],
        }
    }

    fn message(bytes: &[u8]) -> String {
        parse(Path::new("a.ply"), bytes).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(parse(Path::new("a.ply"), &to_bytes(&square())).unwrap(), square());
    }

    #[test]
    fn ascii_with_other_properties_and_quads() {
        let text = "ply\nformat ascii 1.0\ncomment x\nelement vertex 4\nproperty float x\nproperty double y\n\
                    property float z\nproperty float quality\nelement face 1\nproperty list uchar uint vertex_index\n\
                    end_header\n0 0 0 1\n1 0 0 1\n1 1 0.5 1\n0 1 0 1\n4 0 1 2 3\n";
        let mesh = parse(Path::new("a.ply"), text.as_bytes()).unwrap();
        assert_eq!(mesh, Ply { colors: None, ..square() });
    }

    /// Takes minutes where the line is counted anew for every vertex.
    #[test]
    fn long_ascii_files_are_read_in_one_pass() {
        let mut text = "ply\nformat ascii 1.0\nelement vertex 200000\nproperty float x\nproperty float y\n\
                        property float z\nend_header\n"
            .to_owned();
        (0..200_000).for_each(|i| text.push_str(&format!("{i} 0.5 -1\n")));
        assert_eq!(parse(Path::new("a.ply"), text.as_bytes()).unwrap().vertices[199_999].x, 199_999.0);
        let broken = text.replacen("\n7 0.5", "\n7 half", 1);
        assert!(message(broken.as_bytes()).contains("vertex 7, line 8 after the header"));
    }

    #[test]
    fn damage_is_named_by_place() {
        let bytes = to_bytes(&square());
        assert!(message(b"plyx\n").contains("no PLY file"));
        assert!(message(&bytes[..60]).contains("header"));
        assert!(message(&bytes[..bytes.len() - 3]).contains("face 1, byte"));
        let text = String::from_utf8_lossy(&bytes[..30]).into_owned();
        assert!(message(text.replace("little", "big").as_bytes()).contains("header, line"));
        let lies = [
            &b"ply\nformat binary_little_endian 1.0\nelement vertex 4000000000\nproperty float x\n\
            property float y\nproperty float z\nend_header\n"[..],
            &[0; 24],
        ]
        .concat();
        assert!(message(&lies).contains("only 24 bytes are left"));
        let twice = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\n\
                     property float z\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n\
                     property uchar red\nproperty uchar green\nproperty uchar blue\nend_header\n\
                     0 0 0 0 0 0 1 2 3\n";
        assert!(message(twice.as_bytes()).contains("two elements"));
        let far = Ply { triangles: vec![[0, 1, 9]], ..square() };
        assert!(message(&to_bytes(&far)).contains("there are only 4"));
        let infinite = Ply { vertices: vec![vec3(f32::NAN, 0.0, 0.0)], colors: None, triangles: Vec::new() };
        assert!(message(&to_bytes(&infinite)).contains("not finite"));
    }
}
