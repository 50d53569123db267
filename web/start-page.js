// Starts the page (app/src/web.rs), and says so when it cannot start or has stopped.
import start from "./web.js";

const tell = (message) => {
  const notice = document.getElementById("notice");
  notice.textContent = message;
  notice.hidden = false;
};

start().then(
  () => {
    // A trap in WebAssembly ends up here; the page cannot go on after one.
    addEventListener("error", (event) => tell(`The page has stopped: ${event.message}. Reload it.`));
  },
  (error) =>
    tell(
      `SpatialLadder Workbench does not start in this browser: ${error.message ?? error}. ` +
        "It needs WebAssembly with SIMD: try a current Firefox, Chrome, Edge or Safari.",
    ),
);
