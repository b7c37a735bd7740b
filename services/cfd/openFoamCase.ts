/** An OpenFOAM case in a zip archive: what it will compute, and that it is data and brings no program of its own. */
import { InputError } from '../service';
import { readArchive } from '../zipArchive';
import type { Physics } from './complexity';
import { type FoamToken, foamEntries, foamTokens } from './foamText';

/** How much a case will compute. */
export interface OpenFoamExtent {
  readonly kind: 'openfoam';
  readonly title: string;
  readonly cells: number;
  readonly steps: number;
  readonly mayEndSooner: boolean;
  readonly physics: Physics;
}

const BOUNDS = { entriesMax: 500, bytesMax: 32 * 1024 * 1024 };
const CELLS_MAX = 1_000_000;
/** Each step writes about a kilobyte of messages, and a program's messages are bounded. */
const STEPS_MAX = 500_000;
const APPLICATIONS: readonly string[] = ['icoFoam', 'simpleFoam', 'pisoFoam'];

/**
 * Reads a case.
 *
 * @throws InputError `archive_…` as {@link readArchive} does; `case_incomplete` (a file or an entry is missing),
 * `case_invalid`, `case_unsupported` (another application, a start that is not zero), `case_runs_code`,
 * `input_outside_reference` (it reads files that are not its own), `case_too_large`.
 */
export async function readOpenFoamCase(path: string): Promise<OpenFoamExtent> {
  const archive = await readArchive(path, BOUNDS, (name) =>
    /(^|\/)(0|constant|system)\/|(^|\/)dynamicCode\//.test(name),
  );
  const root = rootOf([...archive.keys()]);
  const files = new Map<string, readonly FoamToken[]>();
  for (const [name, bytes] of archive) {
    if (!name.startsWith(root)) continue;
    const place = name.slice(root.length);
    refuseName(place);
    const tokens = foamTokens(place, textOf(place, bytes));
    refuseCode(place, tokens);
    files.set(place, tokens);
  }
  if (![...files.keys()].some((place) => place.startsWith('0/'))) {
    throw new InputError('case_incomplete', 'The case has no folder 0/ with the fields at its start.');
  }
  const control = entriesOf(files, 'system/controlDict');
  const application = control.get('application') ?? '';
  if (!APPLICATIONS.includes(application)) {
    throw new InputError(
      'case_unsupported',
      `system/controlDict: application is ${APPLICATIONS.join(', ')}; ${application === '' ? 'it is missing' : `"${shown(application)}" is not run here`}.`,
    );
  }
  const physics = application === 'icoFoam' ? 'laminar' : physicsOf(files);
  return {
    kind: 'openfoam',
    title: root === '' ? application : `${shown(root.slice(0, -1))} (${application})`,
    cells: cellsOf(required(files, 'system/blockMeshDict')),
    steps: stepsOf(control),
    mayEndSooner: application === 'simpleFoam',
    physics,
  };
}

/** The folder of the archive that holds the case: its top, or one folder in it. */
function rootOf(names: readonly string[]): string {
  const roots = names
    .filter((name) => name === 'system/controlDict' || name.endsWith('/system/controlDict'))
    .map((name) => name.slice(0, -'system/controlDict'.length))
    .sort((a, b) => a.length - b.length);
  const [root, other] = roots;
  if (root === undefined) {
    throw new InputError('case_incomplete', 'The archive is not an OpenFOAM case: it has no system/controlDict.');
  }
  if (other !== undefined) throw new InputError('case_invalid', 'The archive holds more than one OpenFOAM case.');
  return root;
}

function refuseName(place: string): void {
  if (place.startsWith('dynamicCode/')) throw runsCode(place, 'dynamicCode/');
  if (place.endsWith('.gz')) {
    throw new InputError('case_invalid', `${shown(place)}: put the file into the archive without packing it twice.`);
  }
}

function textOf(place: string, bytes: Buffer): string {
  if (bytes.includes(0)) {
    throw new InputError('case_invalid', `${shown(place)} is binary; write the case with format ascii.`);
  }
  return bytes.toString('utf8');
}

/** Directives that only put in what the author has written elsewhere. Every other one computes, or runs code. */
const DIRECTIVES: ReadonlySet<string> = new Set(['#include', '#includeIfPresent', '#includeEtc', '#inputMode']);

/** A first wall. The sandbox, where operations of the system are switched off as well, is the second. */
function refuseCode(place: string, tokens: readonly FoamToken[]): void {
  for (const [at, token] of tokens.entries()) {
    const word = token.replace(/^"|"$/g, '');
    if (token.startsWith('#')) {
      const [directive = ''] = /^#\w*/.exec(token) ?? [];
      if (!DIRECTIVES.has(directive)) throw runsCode(place, token);
      if (directive.startsWith('#include')) refuseOutside(place, tokens[at + 1] ?? '');
    } else if (/coded|codeStream|systemCall|dynamicCode|allowSystemOperations/i.test(word)) {
      throw runsCode(place, word);
    } else if (/^(libs|functionObjectLibs)$/.test(word)) {
      const end = tokens.indexOf(';', at);
      const names = tokens.slice(at + 1, end < 0 ? undefined : end);
      if (names.some((name) => /[/$]/.test(name))) throw runsCode(place, `${word} with a path`);
    }
  }
}

function refuseOutside(place: string, argument: FoamToken): void {
  const file = argument.replace(/^"|"$/g, '');
  if (/^[/~<]|\.\.|\$|^[A-Za-z]:/.test(file) || !argument.startsWith('"')) {
    throw new InputError(
      'input_outside_reference',
      `${shown(place)}: "${shown(file)}" is included from outside the case; put its text into the case.`,
    );
  }
}

function runsCode(place: string, what: string): InputError {
  return new InputError('case_runs_code', `${shown(place)}: ${shown(what)} runs code; write the values themselves.`);
}

function required(files: ReadonlyMap<string, readonly FoamToken[]>, place: string): readonly FoamToken[] {
  const tokens = files.get(place);
  if (!tokens) throw new InputError('case_incomplete', `The case has no ${place}.`);
  // What these files say must be seen in them, or the quote would be for another case.
  if (tokens.some((token) => token.startsWith('#include') || token.startsWith('$'))) {
    throw new InputError('case_unsupported', `${place}: write the numbers themselves, without #include and $macros.`);
  }
  return tokens;
}

function entriesOf(files: ReadonlyMap<string, readonly FoamToken[]>, place: string): ReadonlyMap<string, string> {
  return foamEntries(required(files, place));
}

/** The sum over the blocks of `hex (vertices) [zone] (nx ny nz)`. */
function cellsOf(tokens: readonly FoamToken[]): number {
  let cells = 0;
  for (const [at, token] of tokens.entries()) {
    if (token !== 'hex') continue;
    const vertices = tokens.indexOf(')', at);
    const open = tokens.indexOf('(', vertices);
    const counts = tokens.slice(open + 1, open + 4).map(Number);
    const isWhole = counts.every((count) => Number.isSafeInteger(count) && count > 0);
    if (vertices < 0 || open < 0 || open > vertices + 2 || tokens[open + 4] !== ')' || !isWhole) {
      throw new InputError(
        'case_invalid',
        'system/blockMeshDict: a block reads hex (vertices) (nx ny nz), in whole numbers.',
      );
    }
    cells += counts.reduce((product, count) => product * count, 1);
    if (cells > CELLS_MAX) {
      throw new InputError('case_too_large', `The mesh has more than ${CELLS_MAX.toLocaleString('en')} cells.`);
    }
  }
  if (cells === 0) throw new InputError('case_incomplete', 'system/blockMeshDict has no block of cells.');
  return cells;
}

function stepsOf(control: ReadonlyMap<string, string>): number {
  const number = (name: string, fallback?: string) => {
    const text = control.get(name) ?? fallback;
    const value = Number(text);
    if (text === undefined || !Number.isFinite(value)) {
      throw new InputError(
        'case_incomplete',
        `system/controlDict: ${name} is a number; it is missing or something else.`,
      );
    }
    return value;
  };
  if ((control.get('startFrom') ?? 'startTime') !== 'startTime' || number('startTime', '0') !== 0) {
    throw new InputError('case_unsupported', 'system/controlDict: a case starts from startTime 0.');
  }
  const [endTime, deltaT] = [number('endTime'), number('deltaT')];
  if (!(endTime > 0 && deltaT > 0 && deltaT <= endTime)) {
    throw new InputError(
      'case_invalid',
      'system/controlDict: endTime and deltaT are above zero, and deltaT is the smaller.',
    );
  }
  const steps = Math.max(1, Math.round(endTime / deltaT));
  if (steps > STEPS_MAX) {
    throw new InputError(
      'case_too_large',
      `endTime / deltaT are ${steps.toLocaleString('en')} steps; at most ${STEPS_MAX.toLocaleString('en')} are run.`,
    );
  }
  return steps;
}

/** Without a statement the case is taken for turbulent, the dearer side. */
function physicsOf(files: ReadonlyMap<string, readonly FoamToken[]>): Physics {
  const tokens = files.get('constant/turbulenceProperties') ?? files.get('constant/momentumTransport');
  return tokens && foamEntries(tokens).get('simulationType') === 'laminar' ? 'laminar' : 'turbulent';
}

/** The author's own words, short enough for a sentence. */
function shown(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
