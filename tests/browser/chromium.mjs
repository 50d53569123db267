// Starts Chromium so that WebGL, and WebGPU if wanted, work on a machine without a GPU.
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

const QUIET = [
  "--no-sandbox",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-default-apps",
  "--disable-extensions",
  "--disable-sync",
  "--no-first-run",
];
// Without the last three, WebGL canvases stay blank in screenshots.
const SOFTWARE_GPU = [
  "--enable-unsafe-swiftshader",
  "--use-angle=swiftshader",
  "--enable-features=Vulkan",
  "--use-vulkan=swiftshader",
  "--enable-gpu",
];
const WEBGPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
const NO_WEBGPU = ["--disable-features=WebGPU,WebGPUService", "--disable-blink-features=WebGPU"];

export function launch({ webgpu }) {
  const candidates = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/google-chrome"];
  const executablePath = candidates.find((path) => path && existsSync(path));
  if (!executablePath) {
    throw new Error("no Chromium: install the package chromium or set CHROMIUM to its path");
  }
  const args = [...QUIET, ...SOFTWARE_GPU, ...(webgpu ? WEBGPU : NO_WEBGPU)];
  return chromium.launch({ executablePath, headless: true, args });
}
