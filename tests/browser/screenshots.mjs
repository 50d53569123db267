// What can be said about a screenshot without a person: is there anything in it?

/**
 * For each rectangle of a PNG: how many different colours it has, and the standard deviation of its
 * brightness (0 to 255). The browser itself decodes the picture.
 */
export async function regions(browser, png, rectangles) {
  const page = await browser.newPage();
  try {
    return await page.evaluate(measure, { data: png.toString("base64"), rectangles });
  } finally {
    await page.close();
  }
}

async function measure({ data, rectangles }) {
  const response = await fetch(`data:image/png;base64,${data}`);
  const bitmap = await createImageBitmap(await response.blob());
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const context = canvas.getContext("2d");
  context.drawImage(bitmap, 0, 0);
  return rectangles.map(({ x, y, width, height }) => {
    const pixels = context.getImageData(x, y, width, height).data;
    const colors = new Set();
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      colors.add((pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2]);
      const brightness = (pixels[i] + pixels[i + 1] + pixels[i + 2]) / 3;
      sum += brightness;
      squares += brightness * brightness;
    }
    const count = pixels.length / 4;
    const deviation = Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
    return { colors: colors.size, deviation };
  });
}

/** How many pixels of a rectangle differ between two PNGs. */
export async function difference(browser, one, other, rectangle) {
  const page = await browser.newPage();
  try {
    const pictures = [one, other].map((png) => png.toString("base64"));
    return await page.evaluate(count, { pictures, rectangle });
  } finally {
    await page.close();
  }
}

async function count({ pictures, rectangle: { x, y, width, height } }) {
  const [one, other] = await Promise.all(
    pictures.map(async (data) => {
      const response = await fetch(`data:image/png;base64,${data}`);
      const bitmap = await createImageBitmap(await response.blob());
      const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
      const context = canvas.getContext("2d");
      context.drawImage(bitmap, 0, 0);
      return context.getImageData(x, y, width, height).data;
    }),
  );
  let different = 0;
  for (let i = 0; i < one.length; i += 4) {
    if (one[i] !== other[i] || one[i + 1] !== other[i + 1] || one[i + 2] !== other[i + 2]) different += 1;
  }
  return different;
}
