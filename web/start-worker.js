// Starts the model worker (app/src/worker.rs). Runs before any of its WebAssembly.

// Three things that make wgpu 30 panic in a browser, and WebAssembly cannot catch a panic:
// - an error scope without an error, because the browser says `null` where wgpu expects `undefined`;
// - an "internal" error in a scope, such as a kernel that the driver could not compile. It becomes a
//   validation error, which wgpu passes on;
// - any error outside of a scope. These are collected until the worker asks (app/src/browser/device.rs).
const gpuErrors = [];
const describe = (error) => `${error.constructor.name}: ${error.message}`;
globalThis.spatialLadderTakeGpuErrors = () => gpuErrors.splice(0).join("\n");
if (globalThis.GPUDevice) {
  const { popErrorScope } = GPUDevice.prototype;
  GPUDevice.prototype.popErrorScope = async function () {
    const error = await popErrorScope.call(this);
    return error instanceof GPUInternalError ? new GPUValidationError(describe(error)) : (error ?? undefined);
  };
  const listening = new WeakSet();
  Object.defineProperty(GPUDevice.prototype, "onuncapturederror", {
    configurable: true,
    get: () => null,
    set() {
      if (listening.has(this)) return;
      listening.add(this);
      this.addEventListener("uncapturederror", (event) => {
        event.preventDefault();
        console.warn(describe(event.error));
        if (gpuErrors.length < 20) gpuErrors.push(describe(event.error));
      });
    },
  });
}

// The GPU that this worker would get: null, or its name and whether it is made of software.
globalThis.spatialLadderAdapter = async () => {
  const adapter = await navigator.gpu?.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter) return null;
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = [vendor, architecture || device || description].filter(Boolean).join(" ") || "unnamed GPU";
  const software = isFallbackAdapter || /swiftshader|llvmpipe|software|basic render/i.test(`${name} ${description}`);
  return { name, software: Boolean(software) };
};

// A trap in WebAssembly ends up here. The page then replaces the worker.
const fail = (message) => postMessage({ json: JSON.stringify({ type: "failed", message }) });
addEventListener("error", (event) => fail(event.message));
addEventListener("unhandledrejection", (event) => fail(String(event.reason?.message ?? event.reason)));

// The page posts nothing before the worker says that it has started, so no message is missed.
import("./worker.js")
  .then(({ default: start }) => start())
  .catch((error) => fail(`the model's program does not start: ${error.message ?? error}`));
