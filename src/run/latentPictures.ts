/**
 * Latents to look at: the first three channels as red, green and blue (one or two channels as greys), from three deviations below the mean to three above, over all
 * images alike; each cell becomes a square.
 * @param values row-major [count, h, w, channels] @param factor pixels per cell
 * @returns float32 [h * factor, w * factor, 3] in [-1, 1], one per image
 */
export const latentPictures = (values: Float32Array, [count, h, w, channels]: readonly [number, number, number, number], factor: number): Float32Array[] => {
  const shown = channels < 3 ? [0, 0, 0] : [0, 1, 2];
  const cells = values.length / channels;
  const scale = [...new Set(shown)].map((c) => {
    let [sum, squares] = [0, 0];
    for (let i = c; i < values.length; i += channels) { sum += values[i] as number; squares += (values[i] as number) ** 2; }
    const mean = sum / cells;
    return { mean, spread: 3 * Math.sqrt(Math.max(1e-12, squares / cells - mean ** 2)) };
  });
  const [height, width] = [h * factor, w * factor];
  return Array.from({ length: count }, (_, image) => Float32Array.from({ length: height * width * 3 }, (__, at) => {
    const [pixel, colour] = [Math.floor(at / 3), at % 3];
    const cell = (image * h + Math.floor(Math.floor(pixel / width) / factor)) * w + Math.floor(pixel % width / factor);
    const { mean, spread } = scale[shown[colour] as number] as (typeof scale)[number];
    return Math.max(-1, Math.min(1, ((values[cell * channels + (shown[colour] as number)] as number) - mean) / spread));
  }));
};
