/** Every runner of this machine in the one suite, and the table of it in the documentation. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunCgroup } from './cgroups';
import { createEmbeddedRunner } from './embedded';
import { createSandboxRunner } from './sandbox';
import { createSlurmRunner } from './slurm';
import { type Capability, LACKS } from './testing/behaviour';
import { BEHAVIOURS, describeRunner } from './testing/conformance';
import { missingSlurmPrograms, SlurmCluster } from './testing/slurmCluster';

const host = join(__dirname, '..', 'dist', 'runners', 'testing', 'host.js');
const walls = spawnSync('bwrap', ['--unshare-all', '--ro-bind', '/', '/', 'true']).status === 0;

const hasSlurm = missingSlurmPrograms.length === 0;
const clusterFolder = mkdtempSync(join(tmpdir(), 'holdfast-slurm-'));
let cluster: SlurmCluster | undefined;

beforeAll(async () => {
  if (hasSlurm) cluster = await SlurmCluster.start(clusterFolder);
});

afterAll(async () => {
  await cluster?.stop();
  rmSync(clusterFolder, { recursive: true, force: true });
});

/** Without one, a process that leaves its parent, group and session is nobody's. */
const hasCgroups = new RunCgroup({ memoryBytesMax: 2 ** 30, processesMax: 10 });
afterAll(() => hasCgroups.remove());
const notHere = hasCgroups.folders.length > 0 ? {} : { contains: 'no control group may be made here' };

describeRunner('embedded', {
  create: createEmbeddedRunner,
  host: [host, 'embedded'],
  lacks: LACKS.embedded ?? [],
  notHere,
});
describeRunner('sandbox', {
  missing: walls ? undefined : 'bubblewrap does not work here',
  create: createSandboxRunner,
  host: [host, 'sandbox'],
});
describeRunner('slurm', {
  missing: hasSlurm ? undefined : `no ${missingSlurmPrograms.join(', ')} here`,
  create: (place) =>
    createSlurmRunner({
      ...place,
      environment: cluster?.environment ?? {},
      jobProgram: join(__dirname, '..', 'dist', 'runners', 'slurm', 'job.js'),
    }),
  notHere: walls ? {} : { ...notHere, walls: 'bubblewrap does not work here' },
  host: [`--env-file=${join(clusterFolder, 'environment')}`, host, 'slurm'],
});

it('the table of docs/runners.md is what is tried here', () => {
  const claims = (name: string, needs?: Capability) => (needs && LACKS[name]?.includes(needs) ? '—' : 'yes');
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  const names = Object.keys(LACKS);
  const rows = Object.values(BEHAVIOURS).flatMap((group) =>
    group.map(({ title, needs }) => row([title, ...names.map((name) => claims(name, needs))])),
  );
  const docs = readFileSync(join(__dirname, '..', 'docs', 'runners.md'), 'utf8').split('\n');
  const written = docs.filter((line) => /^\| .* (yes|—) +\|$/.test(line));
  // Columns are padded in the document so that it reads as a table there, too.
  expect(written.map((line) => line.replace(/ +/g, ' '))).toEqual(rows);
});
