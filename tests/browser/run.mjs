// Drives the built page in Chromium: node run.mjs [dist]. Prints `N passed, N failed` last.
// Screenshots go to out/ (not in git); look at them.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./chromium.mjs";
import { picture } from "./picture.mjs";
import { serve } from "./serve.mjs";
import { difference, regions } from "./screenshots.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const dist = resolve(process.argv[2] ?? join(here, "..", "..", "dist"));
const out = join(here, "out");
mkdirSync(out, { recursive: true });

/** Software WebGPU on two busy cores compiles its first shaders for a while. */
const LOADING_MS = 240_000;
const ANSWERING_MS = 240_000;
const WIDTH = 1200;
const HEIGHT = 800;

let passed = 0;
let failed = 0;

async function test(name, body) {
  const start = Date.now();
  try {
    const remark = await body();
    passed += 1;
    console.log(`ok    ${name} (${((Date.now() - start) / 1000).toFixed(1)} s)${remark ? `: ${remark}` : ""}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED ${name}: ${error.message}`);
  }
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

const state = (page) => page.evaluate(() => globalThis.spatialLadder?.state() ?? null);

/** Waits until the page's state satisfies `condition`; fails at once where the model has failed. */
async function until(page, what, limitMs, condition) {
  const end = Date.now() + limitMs;
  for (;;) {
    const now = await state(page);
    if (now && condition(now)) return now;
    if (now?.model === "failed") throw new Error(`the model failed while waiting for ${what}: ${now.error}`);
    if (Date.now() > end) throw new Error(`waited ${limitMs / 1000} s for ${what}; state: ${JSON.stringify(now)}`);
    await page.waitForTimeout(100);
  }
}

async function open(browser, url, width = WIDTH) {
  const page = await browser.newPage({ viewport: { width, height: HEIGHT } });
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(`${error.message}`));
  page.on("console", (message) => {
    if (message.type() === "error") page.problems.push(message.text());
    if (process.env.VERBOSE) console.log(`      [${message.type()}] ${message.text()}`);
  });
  await page.goto(url);
  return page;
}

async function screenshot(page, name) {
  // Two frames, so that what the state says is also drawn.
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const png = await page.screenshot();
  writeFileSync(join(out, `${name}.png`), png);
  return png;
}

/** Everything a visitor does, with the model on one device. */
async function visit(browser, url, device, statement) {
  const page = await open(browser, `${url}?device=${device}`);
  const name = (text) => `${device}: ${text}`;

  await test(name("the page is drawn, with a generated room"), async () => {
    const { picture: shown } = await until(page, "a picture", 30_000, (now) => now.picture !== null);
    expect(shown.width === 640 && shown.height === 480, `the picture is ${shown.width} × ${shown.height}`);
    const png = await screenshot(page, `${device}-start`);
    const [image, panel, bar] = await regions(browser, png, [
      { x: 100, y: 200, width: 600, height: 400 },
      { x: WIDTH - 360, y: 60, width: 340, height: 400 },
      { x: 0, y: 0, width: 400, height: 44 },
    ]);
    expect(image.deviation > 10 && image.colors > 200, `the picture is blank: ${JSON.stringify(image)}`);
    expect(panel.colors > 20, `the side panel is blank: ${JSON.stringify(panel)}`);
    expect(bar.colors > 10, `the bar is blank: ${JSON.stringify(bar)}`);
  });

  await test(name("the model loads and its device is stated"), async () => {
    const ready = await until(page, "the model", LOADING_MS, (now) => now.model === "ready");
    expect(statement.test(ready.device), `it says "${ready.device}"`);
    return ready.device;
  });

  // A GPU made of software takes minutes for as many words, which are the same wherever they are computed.
  if (device === "cpu") {
    await test(name("a thought says where it sees what it names, and the page draws it"), async () => {
      const before = await screenshot(page, `${device}-before-thought`);
      const { question } = await state(page);
      const asked = /the ([a-z ]+?)(?:,| and |\?)/.exec(question)[1];
      await page.evaluate((thing) => {
        const { ask } = globalThis.spatialLadder;
        ask(`What is the length of the longest dimension (length, width, or height) of the ${thing}, measured in centimeters?`, "thinking");
      }, asked);
      const { answer, turn, error } = await until(page, "the answer", ANSWERING_MS, (now) => now.turn !== "answering");
      expect(turn === "done", `${turn}: ${error}`);
      expect(answer.thought && /^[0-9.]+$/.test(answer.answer), `it says ${answer.text}`);
      expect(answer.seen.length > 0, `no box in ${answer.thought}`);
      for (const { label, bbox_2d: box } of answer.seen) {
        const [x1, y1, x2, y2] = box;
        expect(answer.thought.includes(label), `${label} is not in the thought`);
        expect(0 <= x1 && x1 < x2 && x2 <= 640 && 0 <= y1 && y1 < y2 && y2 <= 480, `box ${box} outside the picture`);
      }
      const changed = await difference(browser, before, await screenshot(page, `${device}-thought`), {
        x: 20, y: 60, width: WIDTH - 400, height: HEIGHT - 80,
      });
      expect(changed > 100, `${changed} pixels of the picture have changed`);
      // The buttons as they were, for what follows.
      await page.evaluate((question) => {
        const { ask, stop } = globalThis.spatialLadder;
        ask(question, "localization");
        stop();
      }, question);
      await until(page, "the end", ANSWERING_MS, (now) => now.turn !== "answering");
      return `${answer.seen.map((seen) => seen.label).join(", ")}; ${answer.answer} cm`;
    });
  }

  await test(name("a picture can be chosen as a file"), async () => {
    const file = { name: "shapes.png", mimeType: "image/png", buffer: picture(320, 240) };
    await page.locator("#picture-file").setInputFiles(file);
    const { picture: shown } = await until(page, "the picture", 10_000, (now) => now.picture?.name === "shapes.png");
    expect(shown.width === 320 && shown.height === 240, `it is ${shown.width} × ${shown.height}`);
  });

  await test(name("a question is answered, piece by piece"), async () => {
    // Looked for in the page itself: seen from outside, a short answer on the CPU may be complete at once.
    const partial = await page.evaluate((limit) => {
      const { ask, state } = globalThis.spatialLadder;
      const end = Date.now() + limit;
      ask();
      return new Promise((resolve) => {
        const look = () => {
          const now = state();
          if (now.text !== "" || now.turn !== "answering" || Date.now() > end) resolve(now);
          else setTimeout(look, 1);
        };
        look();
      });
    }, ANSWERING_MS);
    const done = await until(page, "the answer", ANSWERING_MS, (now) => now.turn !== "answering");
    expect(done.turn === "done", `${done.turn}: ${done.error}`);
    expect(partial.turn === "answering", "the text came all at once");
    expect(done.token_messages > 1, `${done.token_messages} messages brought the text`);
    expect(done.answer.text.startsWith(partial.text), "the text has changed under way");
    for (const { label, bbox_2d: box } of done.answer.boxes) {
      const [x1, y1, x2, y2] = box;
      expect(label !== "", "a box without a label");
      expect(0 <= x1 && x1 <= x2 && x2 <= 320 && 0 <= y1 && y1 <= y2 && y2 <= 240, `box ${box} outside the picture`);
    }
    await screenshot(page, `${device}-answer`);
    const { new_tokens: tokens, decode_s: seconds } = done.answer.timings;
    return `${tokens} tokens in ${seconds.toFixed(1)} s, ${done.answer.boxes.length} boxes`;
  });

  await test(name("an answer can be stopped"), async () => {
    // At once: the tiny model answers faster than a command from outside reaches the page.
    const asked = Date.now();
    await page.evaluate(() => {
      globalThis.spatialLadder.ask();
      globalThis.spatialLadder.stop();
    });
    const done = await until(page, "the end", ANSWERING_MS, (now) => now.turn !== "answering");
    expect(done.turn === "done" && done.stopped, `it ended as ${done.turn}, stopped: ${done.stopped}`);
    return `after ${Date.now() - asked} ms`;
  });

  await test(name("a broken picture is refused and the one before stays"), async () => {
    const half = picture(320, 240).subarray(0, 200);
    await page.locator("#picture-file").setInputFiles({ name: "half.png", mimeType: "image/png", buffer: half });
    const now = await until(page, "an error", 10_000, (now) => now.error !== null);
    expect(now.error.includes("half.png"), `it says "${now.error}"`);
    expect(now.picture.name === "shapes.png", `now ${now.picture.name} is shown`);
    await screenshot(page, `${device}-broken`);
    return now.error;
  });

  await test(name("a dropped picture is shown"), async () => {
    await page.evaluate((bytes) => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
      const canvas = document.getElementById("canvas");
      const options = { dataTransfer: transfer, bubbles: true, cancelable: true };
      canvas.dispatchEvent(new DragEvent("dragover", options));
      canvas.dispatchEvent(new DragEvent("drop", options));
    }, [...picture(200, 100)]);
    await until(page, "the picture", 10_000, (now) => now.picture?.name === "dropped.png" && now.error === null);
  });

  await test(name("nothing was reported on the console"), async () => {
    expect(page.problems.length === 0, page.problems.join("; "));
  });
  await page.close();
}

const server = await serve(dist);
const withGpu = await launch({ webgpu: true });
try {
  if (!process.env.SKIPCPU) await visit(withGpu, server.url, "cpu", /^CPU$/);
  await visit(withGpu, server.url, "webgpu", /^WebGPU \(.+\)$/);

  await test("auto: a GPU made of software is not preferred to the CPU, and the page says why", async () => {
    const page = await open(withGpu, server.url);
    const ready = await until(page, "the model", LOADING_MS, (now) => now.model === "ready");
    expect(ready.device === "CPU" && /software/.test(ready.device_note), `${ready.device}: ${ready.device_note}`);
    await page.close();
    return ready.device_note;
  });

  await test("the page fits a narrow window", async () => {
    const page = await open(withGpu, `${server.url}?device=cpu`, 420);
    await until(page, "a picture", 30_000, (now) => now.picture !== null);
    // A software renderer takes its time: look until both halves are drawn.
    const end = Date.now() + 20_000;
    for (;;) {
      const [top, bottom] = await regions(withGpu, await screenshot(page, "narrow"), [
        { x: 20, y: 120, width: 380, height: 200 },
        { x: 20, y: 480, width: 380, height: 250 },
      ]);
      if (top.colors > 100 && bottom.colors > 20) break;
      expect(Date.now() < end, `blank: ${JSON.stringify([top, bottom])}`);
      await page.waitForTimeout(250);
    }
    await page.close();
  });

  await test("a missing model is reported with its address", async () => {
    const page = await withGpu.newPage();
    await page.route("**/model/config.json", (route) => route.fulfill({ status: 404, body: "" }));
    await page.goto(`${server.url}?device=cpu`);
    await page.waitForFunction(() => globalThis.spatialLadder?.state().model === "failed", null, { timeout: 60_000 });
    const { error } = await state(page);
    expect(/config\.json/.test(error) && /404/.test(error), `it says "${error}"`);
    await page.close();
    return error;
  });
} finally {
  await withGpu.close();
}

const withoutGpu = await launch({ webgpu: false });
try {
  await test("auto: without WebGPU the model runs on the CPU, and the page says why", async () => {
    const page = await open(withoutGpu, server.url);
    const ready = await until(page, "the model", LOADING_MS, (now) => now.model === "ready");
    expect(ready.device === "CPU" && ready.device_note, `${ready.device}: ${ready.device_note}`);
    await page.close();
    return ready.device_note;
  });

  await test("webgpu: without WebGPU the page says what to do", async () => {
    const page = await open(withoutGpu, `${server.url}?device=webgpu`);
    await page.waitForFunction(() => globalThis.spatialLadder?.state().model === "failed", null, { timeout: 60_000 });
    const { error } = await state(page);
    expect(/\?device=cpu/.test(error), `it says "${error}"`);
    await screenshot(page, "no-webgpu");
    await page.close();
    return error;
  });
} finally {
  await withoutGpu.close();
  server.close();
}

console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
