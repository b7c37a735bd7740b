/**
 * Reads a POV-Ray scene that nobody vouches for. Its language can compute anything, so nothing of it is run here: only
 * what it plainly refers to is looked at. What it does is held by the sandbox in which POV-Ray reads it.
 */
import { open } from 'node:fs/promises';
import { InputError, type InputFile } from '../service';
import { readArchive } from '../zipArchive';

export interface PovrayFacts {
  readonly kind: 'povray';
  readonly format: 'pov' | 'zip';
  readonly bytes: number;
}

const SCENE_BYTES_MAX = 16 * 1024 * 1024;

/** Of the scene files in an archive together, unpacked. Its pictures are not looked at here. */
const ARCHIVE_BOUNDS = { entriesMax: 1000, bytesMax: SCENE_BYTES_MAX };

/**
 * Reads the facts of a .pov file, or of a zip archive with one and what it refers to; nothing from a file that is
 * neither.
 *
 * @throws InputError `input_too_large`, `input_outside_reference`, `scene_not_in_archive`, or `archive_…` as
 * {@link readArchive} does.
 */
export async function inspectPovray(input: InputFile): Promise<PovrayFacts | undefined> {
  const { text, size } = await readText(input.path);
  if (text.startsWith(ZIP_START)) {
    await inspectArchive(input.path);
    return { kind: 'povray', format: 'zip', bytes: size };
  }
  if (!isScene(text)) return undefined;
  if (size > SCENE_BYTES_MAX) throw new InputError('input_too_large', 'A .pov file is at most 16 MiB.');
  refuseOutsideReferences(text);
  return { kind: 'povray', format: 'pov', bytes: size };
}

const ZIP_START = 'PK\x03\x04';

async function inspectArchive(path: string): Promise<void> {
  const files = await readArchive(path, ARCHIVE_BOUNDS, (name) => /\.(pov|inc|mcr)$/i.test(name));
  mainScene([...files.keys()]);
  for (const bytes of files.values()) refuseOutsideReferences(bytes.toString('latin1'));
}

/** The only `.pov` file, or of several the one called `main.pov`. @throws InputError `scene_not_in_archive`. */
export function mainScene(names: readonly string[]): string {
  const scenes = names.filter((name) => /\.pov$/i.test(name) && !name.split('/').some((part) => part.startsWith('.')));
  const mains = scenes.length > 1 ? scenes.filter((name) => /(^|\/)main\.pov$/i.test(name)) : scenes;
  const [main] = mains;
  if (main !== undefined && mains.length === 1 && /^[\w./-]+$/.test(main)) return main;
  throw new InputError(
    'scene_not_in_archive',
    scenes.length === 0
      ? 'The archive has no .pov file.'
      : mains.length === 1
        ? 'The name of the main scene file has other characters than letters, digits, "-", "_" and ".".'
        : 'The archive has several .pov files: call the one to render main.pov.',
  );
}

async function readText(path: string): Promise<{ readonly text: string; readonly size: number }> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const bytes = Buffer.alloc(Math.min(size, SCENE_BYTES_MAX));
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = (await file.read(bytes, length, bytes.length - length, length)).bytesRead;
    }
    return { text: bytes.toString('latin1', 0, length), size };
  } finally {
    await file.close();
  }
}

/** A text that has a directive or a thing of POV-Ray's language; glTF is JSON, or binary. */
function isScene(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what gives a binary file away
  if (/[\u0000-\u0008\u000e-\u0019\u001b-\u001f]/.test(text) || /^(?:\xef\xbb\xbf)?\s*[{[]/.test(text)) return false;
  return /^[ \t]*#[ \t]*(version|declare|local|include|macro)\b|\b(camera|light_source|sphere|box|plane|union|object)\s*\{/m.test(
    text,
  );
}

/** An absolute path, or one that climbs, is for the author's own machine. */
function refuseOutsideReferences(text: string): void {
  for (const [, name = ''] of text.matchAll(/#[ \t]*include\s+"([^"\n]{1,300})"/g)) {
    if (!/^[/\\~]|^[A-Za-z]:|(^|[/\\])\.\.([/\\]|$)/.test(name)) continue;
    throw new InputError(
      'input_outside_reference',
      `The scene includes a file of your machine (${JSON.stringify(name.slice(0, 60))}). Put its text into the scene.`,
    );
  }
}
