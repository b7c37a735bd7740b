/**
 * The picture that a stopped POV-Ray leaves. It writes none itself, but keeps each finished block in a state file to
 * continue from: 512 bytes of header, then messages of attributes with a name, a type and a length, big-endian.
 */
import { closeSync, readSync } from 'node:fs';
import { openWorkFile } from '../workFile';

/** A picture of which some pixels are done. */
export interface PartialPicture {
  /** Red, green, blue bytes, rows from the top. */
  readonly rgb: Uint8Array;
  readonly pixels: number;
}

/**
 * Reads the finished blocks of a state file in `work/`; nothing from a file that holds none. Colours are taken for
 * linear, as they are where a scene says `assumed_gamma 1`.
 */
export function readStateFile(
  name: string,
  { width, height, unfinished }: { readonly width: number; readonly height: number; readonly unfinished: number },
): PartialPicture | undefined {
  const opened = openWorkFile(name);
  if (!opened) return undefined;
  const rgb = new Uint8Array(width * height * 3).fill(unfinished);
  const isDone = new Uint8Array(width * height);
  let pixels = 0;
  try {
    for (const { left, top, right, colours } of blocksOf(opened.file)) {
      const columns = right - left + 1;
      const rows = Math.min(Math.floor(colours.length / CHANNELS / columns), height - top);
      // Row by row: twenty million pixels are read in less time than a stop may take.
      for (let row = 0; row < rows; row++) {
        let from = row * columns * CHANNELS;
        let at = (top + row) * width + left;
        for (const end = at + Math.min(columns, width - left); at < end; at++, from += CHANNELS) {
          pixels += 1 - (isDone[at] as number);
          isDone[at] = 1;
          rgb[at * 3] = encoded(colours[from] as number);
          rgb[at * 3 + 1] = encoded(colours[from + 1] as number);
          rgb[at * 3 + 2] = encoded(colours[from + 2] as number);
        }
      }
    }
  } finally {
    closeSync(opened.file);
  }
  return pixels > 0 ? { rgb, pixels } : undefined;
}

const HEADER_BYTES = 512;
const MESSAGE_START = 'POVRAYMS';
const MESSAGE_HEAD_BYTES = 28;
const ATTRIBUTES_MAX = 64;
/** A block has 32 x 32 pixels; a larger one is not POV-Ray's. */
const BLOCK_BYTES_MAX = 1024 * 1024;
/** Red, green, blue, filter, transmit. */
const CHANNELS = 5;

interface Block {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly colours: Float32Array;
}

/** Ends at the first thing that is not as expected: a killed POV-Ray leaves half a message. */
function* blocksOf(file: number): Generator<Block> {
  let at = HEADER_BYTES;
  const read = (length: number): Buffer | undefined => {
    if (length > BLOCK_BYTES_MAX) return undefined;
    const bytes = Buffer.alloc(length);
    if (readSync(file, bytes, 0, length, at) < length) return undefined;
    at += length;
    return bytes;
  };
  for (;;) {
    const head = read(MESSAGE_HEAD_BYTES);
    if (head?.toString('latin1', 0, 8) !== MESSAGE_START) return;
    const count = head.readUInt32BE(24);
    if (count > ATTRIBUTES_MAX) return;
    const numbers = new Map<string, number>();
    let colours: Float32Array | undefined;
    for (let index = 0; index < count; index++) {
      const about = read(12);
      if (!about) return;
      const type = about.toString('latin1', 4, 8);
      // Of lists the number of values is given.
      const bytes = read(about.readUInt32BE(8) * (type === 'VFL4' ? 4 : 1));
      if (!bytes) return;
      if (type === 'INT4' && bytes.length === 4) numbers.set(about.toString('latin1', 0, 4), bytes.readInt32BE(0));
      if (type === 'VFL4') colours = new Float32Array(new Uint8Array(bytes.swap32()).buffer);
    }
    const [left = -1, top = -1, right = -1] = ['Left', 'Top ', 'Righ'].map((name) => numbers.get(name));
    if (colours && left >= 0 && top >= 0 && right >= left) yield { left, top, right, colours };
  }
}

const STEPS = 4096;
const TABLE = Uint8Array.from({ length: STEPS + 1 }, (_, step) => {
  const x = step / STEPS;
  return Math.round(255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055));
});

/** The sRGB byte of a linear value. What is not a number is black. */
function encoded(value: number): number {
  return value >= 1 ? 255 : value > 0 ? (TABLE[(value * STEPS + 0.5) | 0] as number) : 0;
}
