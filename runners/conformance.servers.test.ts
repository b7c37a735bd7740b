/** The runner for Slurm in the one suite, on a real Slurm that is started here. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSlurmRunner } from './slurm';
import { describeRunner } from './testing/conformance';
import { compiledHost, notHere, walls } from './testing/machine';
import { missingSlurmPrograms, SlurmCluster } from './testing/slurmCluster';

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

describeRunner('slurm', {
  missing: hasSlurm ? undefined : `no ${missingSlurmPrograms.join(', ')} here`,
  create: (place) =>
    createSlurmRunner({
      ...place,
      environment: cluster?.environment ?? {},
      jobProgram: join(__dirname, '..', 'dist', 'runners', 'slurm', 'job.js'),
    }),
  notHere: walls ? notHere : { ...notHere, walls: 'bubblewrap does not work here' },
  host: [`--env-file=${join(clusterFolder, 'environment')}`, compiledHost, 'slurm'],
});
