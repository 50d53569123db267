// A PNG file with some coloured shapes, so that the test needs no picture in the repository.
import { deflateSync } from "node:zlib";

export function picture(width, height) {
  const rows = [];
  for (let y = 0; y < height; y += 1) {
    const row = Buffer.alloc(1 + 3 * width);
    for (let x = 0; x < width; x += 1) row.set(color(x / width, y / height), 1 + 3 * x);
    rows.push(row);
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8);
  return Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("IDAT", deflateSync(Buffer.concat(rows))),
    chunk("IEND", Buffer.alloc(0)),
  ]);
}

/** A floor, a wall, and on them two boxes and a ball. */
function color(x, y) {
  const inside = (left, top, right, bottom) => x > left && x < right && y > top && y < bottom;
  if (inside(0.15, 0.5, 0.4, 0.85)) return [150, 90, 50];
  if (inside(0.6, 0.15, 0.85, 0.4)) return [40, 50, 70];
  if ((x - 0.65) ** 2 + (y - 0.7) ** 2 < 0.01) return [190, 40, 40];
  return y < 0.6 ? [215, 205, 190] : [120, 110, 100 + Math.round(40 * x)];
}

function chunk(type, data) {
  const typed = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const framed = Buffer.alloc(typed.length + 8);
  framed.writeUInt32BE(data.length, 0);
  framed.set(typed, 4);
  framed.writeUInt32BE(crc32(typed), typed.length + 4);
  return framed;
}

/** As PNG wants it. Node itself has one only since version 20.15. */
function crc32(bytes) {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}
