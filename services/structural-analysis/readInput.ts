/** Reads an input file of either kind, never more of it than the limit, and never for long without a pause. */
import { open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { InputError, type InputFile } from '../service';
import { type DeckFacts, DeckReader } from './deck';
import { type GeometryFacts, readGeometry } from './geometry';

const GEOMETRY_BYTES_MAX = 1024 * 1024;
const LINES_AT_ONCE = 5000;

/** @throws InputError `input_too_large`, `input_not_deck`, or what the kind of file refuses. */
export async function readInput({ path }: InputFile, bytesMax: number): Promise<DeckFacts | GeometryFacts> {
  const text = await readText(path, bytesMax);
  // A deck starts with a keyword; a geometry cannot start with an asterisk.
  if (/^\s*\*/.test(text.slice(0, 4096))) return readDeck(text);
  if (text.length > GEOMETRY_BYTES_MAX) throw new InputError('input_too_large', 'a geometry is at most 1 MiB');
  return readGeometry(text);
}

async function readDeck(text: string): Promise<DeckFacts> {
  const reader = new DeckReader();
  let lines = 0;
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from);
    const to = end < 0 ? text.length : end;
    reader.read(text.slice(from, to));
    from = to + 1;
    lines += 1;
    if (lines % LINES_AT_ONCE === 0) await setImmediate();
  }
  return reader.facts();
}

async function readText(path: string, bytesMax: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const parts: Buffer[] = [];
    let length = 0;
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(1024 * 1024), 0, 1024 * 1024, null);
      if (bytesRead === 0) break;
      length += bytesRead;
      if (length > bytesMax) throw new InputError('input_too_large', `a deck is at most ${bytesMax / 1024 ** 2} MiB`);
      const part = buffer.subarray(0, bytesRead);
      if (part.includes(0))
        throw new InputError('input_not_deck', 'the file is not text, so it is no deck and no geometry');
      parts.push(part);
    }
    // One byte a character: keywords and numbers are ASCII, and nothing else is looked at.
    return Buffer.concat(parts).toString('latin1').replace(/^ï»¿/, '');
  } finally {
    await file.close();
  }
}
