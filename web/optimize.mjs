// Shrinks the programs of a finished page for publishing: node web/optimize.mjs [dist]
// Wants `npm ci` in web/ first (binaryen). Takes minutes; tests do not need it.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const dist = process.argv[2] ?? join(here, "..", "dist");
const wasmOpt = join(here, "node_modules", ".bin", "wasm-opt");
// What .cargo/config.toml lets rustc use.
const features = [
  "bulk-memory",
  "multivalue",
  "mutable-globals",
  "nontrapping-float-to-int",
  "reference-types",
  "sign-ext",
  "simd",
].map((feature) => `--enable-${feature}`);

if (!existsSync(wasmOpt)) {
  console.error(`${wasmOpt} is missing: run \`npm ci\` in ${here}`);
  process.exit(1);
}
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
let [gzip, brotli] = [0, 0];
for (const name of readdirSync(dist).filter((name) => name.endsWith(".wasm"))) {
  const file = join(dist, name);
  const before = statSync(file).size;
  execFileSync(wasmOpt, ["-Oz", ...features, "--strip-debug", "--strip-producers", file, "-o", `${file}.tmp`], {
    stdio: "inherit",
  });
  renameSync(`${file}.tmp`, file);
  const bytes = readFileSync(file);
  gzip += gzipSync(bytes, { level: 9 }).length;
  brotli += brotliCompressSync(bytes).length;
  console.log(`${name}: ${megabytes(before)} to ${megabytes(bytes.length)}`);
}
console.log(`Compressed, together: ${megabytes(gzip)} gzip, ${megabytes(brotli)} brotli`);
