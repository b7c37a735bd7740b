/** From radiance to a file: tone mapping, sRGB, PNG. */
import { PNG } from 'pngjs';

/** What an unfinished pixel of a partial picture shows: a dark grey that no sky has. */
export const UNFINISHED = 24;

const EXPOSURE = 0.58;

/**
 * An 8-bit sRGB channel of a linear radiance. The curve is Narkowicz's fit of the ACES film curve: a toe, a straight
 * part and a shoulder that keeps bright things from turning into flat white.
 */
export function channelOf(radiance: number): number {
  const x = Math.max(0, radiance) * EXPOSURE;
  const film = Math.min(1, (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14));
  const encoded = film <= 0.0031308 ? 12.92 * film : 1.055 * film ** (1 / 2.4) - 0.055;
  return Math.round(255 * encoded);
}

/** Encodes rows of red, green, blue bytes. Fast settings: rendered noise hardly compresses, and a stop is in a hurry. */
export function encodePng(rgb: Uint8Array, width: number, height: number): Buffer {
  const picture = new PNG({ width, height });
  picture.data = Buffer.from(rgb.buffer, rgb.byteOffset, rgb.byteLength);
  const large = width * height > 4_000_000;
  return PNG.sync.write(picture, {
    colorType: 2,
    inputColorType: 2,
    inputHasAlpha: false,
    bitDepth: 8,
    deflateLevel: large ? 1 : 6,
    deflateStrategy: 0,
    ...(large ? { filterType: 1 } : {}),
  });
}
