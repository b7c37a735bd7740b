/** The walls: command lines of bubblewrap, and whether it works here. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A command line up to its `--`. */
export type Walls = [string, ...string[]];

/** Folders of an attempt that are inside. */
interface Inside {
  /** Seen as `/job`. */
  readonly job: string;
  /** Seen as `/tmp`: on the disk, where it counts as the attempt's, and not in memory, which nobody would count. */
  readonly temporary: string;
}

/** For an installed program: it sees the machine's programs read-only, and a folder as `/job`. */
export function programWalls(inside: Inside): Walls {
  return [...machine(), ...temporaryFolder(inside), ...FONTS_AND_CHOICES, ...jobFolder(inside), ...CLOSED];
}

/** For an engine that is all there is: it sees Node, the engines and what they import read-only, and its folder as `/job`. */
export function walledEngine(inside: Inside, enginesFolder: string): Walls {
  const seen = [dirname(process.execPath), enginesFolder, ...modulesFor(enginesFolder)];
  const readable = seen.filter((path) => !path.startsWith('/usr/')).flatMap(readOnly);
  return [...machine(), ...temporaryFolder(inside), ...readable, ...jobFolder(inside), ...CLOSED];
}

let works: Promise<boolean> | undefined;

/** Whether this machine lets us build walls. Tried once. */
export function canSandbox(): Promise<boolean> {
  works ??= new Promise((resolve) => {
    const [command, ...args] = machine();
    if (process.platform !== 'linux') resolve(false);
    else execFile(command, [...args, '--', 'true'], { timeout: 10_000 }, (error) => resolve(error === null));
  });
  return works;
}

/** Installed programs that engines may drive; nothing else is ever looked for. */
const PROGRAMS: readonly string[] = [
  'povray',
  'ngspice',
  'ccx',
  'gmsh',
  'blockMesh',
  'icoFoam',
  'simpleFoam',
  'pisoFoam',
  'postProcess',
];

/** Those of the named programs that engines may drive and that are installed where the walls let them be seen. */
export function programsOffered(names: readonly string[] = PROGRAMS): string[] {
  return names.filter((name) => PROGRAMS.includes(name) && existsSync(join('/usr/bin', name)));
}

/** No network, no capability, no environment, no process but its own; it dies with whoever started it. */
function machine(): Walls {
  return [
    'bwrap',
    ...['--unshare-all', '--die-with-parent', '--new-session', '--clearenv', '--cap-drop', 'ALL'],
    ...['--setenv', 'PATH', '/usr/bin', '--setenv', 'HOME', '/job', '--ro-bind', '/usr', '/usr'],
    ...['--symlink', 'usr/lib', '/lib', '--symlink', 'usr/lib64', '/lib64', '--symlink', 'usr/bin', '/bin'],
    ...['--proc', '/proc', '--dev', '/dev'],
  ];
}

/** Debian's choice of a linear algebra library is a link in `/etc/alternatives`; POV-Ray wants its own settings. */
const FONTS_AND_CHOICES = ['/etc/povray', '/etc/alternatives', '/etc/fonts'].flatMap((path) => [
  '--ro-bind-try',
  path,
  path,
]);

/** Before what is seen read-only, some of which may lie below `/tmp`. */
function temporaryFolder({ temporary }: Inside): string[] {
  return ['--bind', temporary, '/tmp'];
}

function jobFolder({ job }: Inside): string[] {
  return ['--bind', job, '/job', '--chdir', '/job'];
}

/** What the walls stand on is memory: nothing can be written there once they stand. */
const CLOSED = ['--remount-ro', '/dev', '--remount-ro', '/'];

function readOnly(path: string): string[] {
  return ['--ro-bind', path, path];
}

/** Where Node looks for what a file of the folder imports. */
function modulesFor(folder: string): string[] {
  const parent = dirname(folder);
  const here = join(folder, 'node_modules');
  return [...(existsSync(here) ? [here] : []), ...(parent === folder ? [] : modulesFor(parent))];
}
