/** The files of a scene, laid out in `work/`: one `.pov` file, or a zip archive with its includes and pictures. */
import { closeSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { InputFault } from '../protocol';
import { unpack } from '../unpack';

/** A scene that is laid out. */
export interface SceneFiles {
  /** The file to render, as a place in `work/`. */
  readonly main: string;
  /** The bytes of that file. */
  readonly text: Buffer;
  /** Folders in `work/` where POV-Ray looks for what a scene refers to. */
  readonly libraries: readonly string[];
}

/** @throws InputFault when an archive is not one to unpack, or does not say which scene to render. */
export async function layOutScene(input: string): Promise<SceneFiles> {
  if (!isArchive(input)) {
    const main = 'scene.pov';
    const text = readFileSync(input);
    writeFileSync(join('work', main), text, { flag: 'wx' });
    return { main, text, libraries: [] };
  }
  const places = await unpack(input, join('work', FOLDER), {
    entriesMax: ENTRIES_MAX,
    bytesMax: BYTES_MAX,
    placeOf: (name) => (isOfScene(name) ? name : undefined),
  });
  const main = join(FOLDER, mainScene(places));
  return { main, text: readFileSync(join('work', main)), libraries: [...new Set([FOLDER, dirname(main)])] };
}

/** Replaces the text of the main scene file. */
export function rewriteScene({ main }: SceneFiles, text: string): void {
  rmSync(join('work', main), { force: true });
  writeFileSync(join('work', main), text, { encoding: 'latin1', flag: 'wx' });
}

/** The only `.pov` file, or of several the one called `main.pov`. @throws InputFault when that is none. */
export function mainScene(names: readonly string[]): string {
  const scenes = names.filter((name) => /\.pov$/i.test(name));
  const mains = scenes.length > 1 ? scenes.filter((name) => /(^|\/)main\.pov$/i.test(name)) : scenes;
  const [main] = mains;
  if (main === undefined || mains.length > 1) {
    throw new InputFault(
      scenes.length === 0
        ? 'The archive has no .pov file.'
        : 'The archive has several .pov files: call the one to render main.pov.',
    );
  }
  // POV-Ray reads the name as an option.
  if (!/^[\w./-]+$/.test(main)) {
    throw new InputFault(
      'The name of the main scene file has other characters than letters, digits, "-", "_" and ".".',
    );
  }
  return main;
}

/** Apart from the pictures that are made, so that none can replace a picture of the scene. */
const FOLDER = 'scene';
const ENTRIES_MAX = 1000;
const BYTES_MAX = 512 * 1024 * 1024;
const ZIP_START = Buffer.from('PK\x03\x04', 'latin1');

function isArchive(input: string): boolean {
  const start = Buffer.alloc(ZIP_START.length);
  const file = openSync(input, 'r');
  readSync(file, start, 0, start.length, 0);
  closeSync(file);
  return start.equals(ZIP_START);
}

/** What a scene is made of. Settings of POV-Ray (`.ini`, `.conf`) and hidden files are left out: the options are ours. */
function isOfScene(name: string): boolean {
  const isHidden = name.split('/').some((part) => part.startsWith('.'));
  return (
    !isHidden && /\.(pov|inc|mcr|png|jpe?g|gif|tga|tiff?|bmp|p[gpn]m|hdr|exr|iff|df3|ttf|ttc|otf|txt|csv)$/i.test(name)
  );
}
