/** Every runner of this machine in the one suite, and the table of it in the documentation. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { RunCgroup } from './cgroups';
import { createEmbeddedRunner } from './embedded';
import { createSandboxRunner } from './sandbox';
import type { Capability } from './testing/behaviour';
import { BEHAVIOURS, describeRunner } from './testing/conformance';

const host = join(__dirname, '..', 'dist', 'runners', 'testing', 'host.js');
const walls = spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']).status === 0;

/** What each runner does not claim. */
const RUNNERS: Readonly<Record<string, readonly Capability[]>> = { embedded: ['walls'], sandbox: [] };

/** Without one, a process that leaves its parent, group and session is nobody's. */
const hasCgroups = new RunCgroup({ memoryBytesMax: 2 ** 30, processesMax: 10 });
afterAll(() => hasCgroups.remove());
const notHere = hasCgroups.folders.length > 0 ? {} : { contains: 'no control group may be made here' };

describeRunner('embedded', {
  create: createEmbeddedRunner,
  host: [host, 'embedded'],
  lacks: RUNNERS.embedded ?? [],
  notHere,
});
describeRunner('sandbox', {
  missing: walls ? undefined : 'bubblewrap does not work here',
  create: createSandboxRunner,
  host: [host, 'sandbox'],
});

it('the table of docs/runners.md is what is tried here', () => {
  const claims = (name: string, needs?: Capability) => (needs && RUNNERS[name]?.includes(needs) ? '—' : 'yes');
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const names = Object.keys(RUNNERS);
  const rows = Object.values(BEHAVIOURS).flatMap((group) =>
    group.map(({ title, needs }) => row([title, ...names.map((name) => claims(name, needs))])),
  );
  const docs = readFileSync(join(__dirname, '..', 'docs', 'runners.md'), 'utf8').split('\n');
  const written = docs.filter((line) => /^\| .* (yes|—) +\|$/.test(line));
  // Columns are padded in the document so that it reads as a table there, too.
  expect(written.map((line) => line.replace(/ +/g, ' '))).toEqual(rows);
});
