/** The folder in which OpenFOAM runs: the author's case, with our say on when results are written and on what is allowed. */
import { appendFileSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputFault } from '../protocol';
import { unpack } from '../unpack';
import { readWorkFile } from '../workFile';
import { entriesOf } from './dictionary';

/** Where the folders are, as the programs see them in their sandbox. */
export const CASE = '/job/case';
export const HOME = '/job/home';

const APPLICATIONS: readonly string[] = ['icoFoam', 'simpleFoam', 'pisoFoam'];
/** A million cells with ten digits and an exponent, three times over. */
const FIELD_BYTES_MAX = 128 * 1024 * 1024;
const BOUNDS = { entriesMax: 500, bytesMax: 32 * 1024 * 1024 };

/** What a case wants to run. */
export interface Control {
  readonly application: string;
  /** In seconds; in iterations for `simpleFoam`. */
  readonly endTime: number;
  readonly steps: number;
}

/** Unpacks `input` into `work/case`. @throws InputFault when it is no case to run. */
export async function makeCaseFolder(): Promise<Control> {
  const folder = join('work', 'case');
  mkdirSync(folder, { recursive: true });
  const places = await unpack('input', folder, { ...BOUNDS, placeOf });
  if (!places.includes('system/controlDict')) throw new InputFault('The case has no system/controlDict.');
  const control = controlOf(readFileSync(join(folder, 'system', 'controlDict'), 'utf8'));
  appendFileSync(join(folder, 'system', 'controlDict'), ownControl(control.steps));
  forbidCode();
  return control;
}

/** The fields of the last time. @throws InputFault when there are none. */
export function lastFields(): { readonly time: string; readonly textOf: (name: string) => string } {
  // The programs could have left links in place of folders.
  const isFolder = lstatSync(join('work', 'case')).isDirectory();
  const times = readdirSync(isFolder ? join('work', 'case') : 'work', { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && /^\d+(\.\d+)?(e[+-]?\d+)?$/.test(entry.name))
    .map(({ name }) => name)
    .sort((a, b) => Number(b) - Number(a));
  const [time] = times;
  if (time === undefined || time === '0') throw new InputFault('The case wrote no fields at its end.');
  const textOf = (name: string): string => {
    const text = readWorkFile(join('case', time, name), FIELD_BYTES_MAX);
    if (!text) throw new InputFault(`The case wrote no field ${name} at its end.`);
    return text.toString('latin1');
  };
  return { time, textOf };
}

/** A case lies at the top of its archive or in one folder of it. Only what OpenFOAM needs is unpacked. */
function placeOf(name: string): string | undefined {
  return /^(?:[^/]+\/)?((?:0|constant|system)\/.+)$/.exec(name)?.[1];
}

function controlOf(text: string): Control {
  const entries = entriesOf(text);
  const application = entries.get('application') ?? '';
  if (!APPLICATIONS.includes(application)) {
    throw new InputFault(`system/controlDict: application is one of ${APPLICATIONS.join(', ')}.`);
  }
  const [endTime, deltaT] = [Number(entries.get('endTime')), Number(entries.get('deltaT'))];
  if (!(endTime > 0 && deltaT > 0 && Number.isFinite(endTime))) {
    throw new InputFault('system/controlDict: endTime and deltaT are numbers above zero.');
  }
  return { application, endTime, steps: Math.max(1, Math.round(endTime / deltaT)) };
}

/**
 * Later entries win. The fields are written once, at the end and as text, because nothing else is looked at and a disk
 * is not filled; a case does not change while it runs.
 */
function ownControl(steps: number): string {
  return `
startFrom startTime;
startTime 0;
stopAt endTime;
writeControl timeStep;
writeInterval ${steps};
purgeWrite 0;
writeFormat ascii;
writePrecision 10;
writeCompression off;
timeFormat general;
timePrecision 10;
runTimeModifiable no;
`;
}

/** Code in dictionaries is compiled and commands are run unless the user's own settings forbid it, which these do. */
function forbidCode(): void {
  const settings = join('work', 'home', '.OpenFOAM');
  mkdirSync(settings, { recursive: true });
  writeFileSync(join(settings, 'controlDict'), 'InfoSwitches\n{\n    allowSystemOperations 0;\n}\n');
}
