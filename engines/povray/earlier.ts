/**
 * What a lost attempt of the same job left in `earlier/`. Its finished pictures count again, and POV-Ray continues the one it
 * was at: it wrote each finished block into a state file, which a killed POV-Ray leaves whole but for its last block.
 */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { judgePicture } from './picture';
import type { PictureStatistics } from './statistics';

/** A picture that is done, in `out/`. */
export interface FinishedPicture {
  /** The result, without its ending. */
  readonly name: string;
  readonly statistics: PictureStatistics;
  readonly seconds: number;
  readonly warnings: readonly string[];
}

/** Writes down which pictures are done, for the attempt after this one. Out of the scene's reach, unlike `work/`. */
export function writeFinished(pictures: readonly FinishedPicture[]): void {
  writeFileSync(`${LIST}.new`, JSON.stringify(pictures));
  renameSync(`${LIST}.new`, LIST);
}

/**
 * Takes over the finished pictures, as far as they are whole, and the state of the one after them; `files` are the names in
 * `work/` of all pictures, in their order.
 */
export async function takeEarlier(
  files: readonly string[],
  size: { readonly width: number; readonly height: number },
): Promise<FinishedPicture[]> {
  const taken: FinishedPicture[] = [];
  for (const picture of readFinished()) {
    const file = `${picture.name}.png`;
    const from = join('earlier', 'out', file);
    // A machine that went down may have lost what its disk had not written yet.
    if ((await judgePicture(readOrNothing(from), size)).fault !== undefined) break;
    renameSync(from, join('out', file));
    taken.push(picture);
  }
  if (taken.length > 0) writeFinished(taken);
  const state = `${files[taken.length]}.pov-state`;
  try {
    renameSync(join('earlier', 'work', state), join('work', state));
  } catch {
    // It was lost between two pictures, or before its first block.
  }
  rmSync('earlier', { recursive: true, force: true });
  return taken;
}

const LIST = 'pictures.json';

function readFinished(): FinishedPicture[] {
  const text = readOrNothing(join('earlier', LIST)).toString('utf8');
  return text === '' ? [] : JSON.parse(text);
}

function readOrNothing(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}
