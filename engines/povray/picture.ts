/** Looks at a picture before it is called a result. */
import { PNG } from 'pngjs';

/** What is wrong with a picture, or merely strange; nothing when it is as asked. */
export interface PictureJudgement {
  readonly fault?: string;
  readonly warning?: string;
}

/** Decodes a whole PNG file and compares it with what was asked. */
export async function judgePicture(
  bytes: Buffer,
  { width, height }: { readonly width: number; readonly height: number },
): Promise<PictureJudgement> {
  // The header alone first: a file that says it is larger is not given the memory.
  if (bytes.length < HEADER_BYTES || bytes.toString('latin1', 12, 16) !== 'IHDR') return { fault: 'is no PNG file' };
  const [saidWidth, saidHeight] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
  if (saidWidth !== width || saidHeight !== height) return { fault: `has ${saidWidth} x ${saidHeight} pixels` };
  let picture: PNG;
  try {
    picture = await decode(bytes);
  } catch (error) {
    return { fault: `cannot be decoded: ${(error as Error).message}` };
  }
  const words = new Uint32Array(picture.data.buffer, picture.data.byteOffset, picture.data.length >> 2);
  return words.every((word) => word === words[0]) ? { warning: 'every pixel has the same colour' } : {};
}

const HEADER_BYTES = 33;

/** In steps between which reports go out. */
function decode(bytes: Buffer): Promise<PNG> {
  return new Promise((resolve, reject) => {
    new PNG().parse(bytes, (error, picture) => (error ? reject(error) : resolve(picture)));
  });
}
