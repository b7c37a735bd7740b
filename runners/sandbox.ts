/**
 * Runs engines so that whatever reads a stranger's file sees nothing but that file: an engine that is all there is runs
 * whole behind walls; one that drives installed programs is our own code, stays outside, and is given the walls for them.
 */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { layOut } from './attemptFolder';
import { programWalls, walledEngine } from './bwrap';
import type { EmbeddedRunnerOptions } from './embedded';
import { engineCommand } from './engineProgram';
import { FOLDER_LIMITS } from './folderLimits';
import { type Launch, PROCESSES_MAX, startProcessRun } from './processRun';
import { sweepRuns } from './runFiles';
import type { Runner, RunSpec } from './runner';

export { canSandbox, programsOffered } from './bwrap';

/** The runner for a machine with bubblewrap, where {@link canSandbox} says yes. */
export function createSandboxRunner({
  enginesFolder,
  workFolder,
  processesMax = PROCESSES_MAX,
  folderLimits = FOLDER_LIMITS,
}: EmbeddedRunnerOptions): Runner {
  const runsFolder = join(workFolder, 'runs');
  return {
    name: 'sandbox',
    async start(spec) {
      const command = await engineCommand(enginesFolder, spec);
      await layOut(spec);
      const temporary = join(spec.folder, 'tmp');
      await mkdir(temporary);
      const launch = isDriver(spec)
        ? await drive(spec, command, temporary)
        : wall(spec, command, { enginesFolder, temporary });
      return startProcessRun(spec, launch, { runsFolder, processesMax, folderLimits });
    },
    sweep: () => sweepRuns(runsFolder),
  };
}

function isDriver({ engine }: RunSpec): boolean {
  return (engine.programs ?? []).length > 0;
}

async function drive(spec: RunSpec, command: Launch['command'], temporary: string): Promise<Launch> {
  const job = join(spec.folder, 'work');
  await mkdir(job);
  const environment = {
    PATH: process.env.PATH ?? '',
    HOME: spec.folder,
    HOLDFAST_SANDBOX: JSON.stringify(programWalls({ job, temporary })),
  };
  return { command, environment, depth: 0 };
}

function wall(
  spec: RunSpec,
  command: Launch['command'],
  { enginesFolder, temporary }: { enginesFolder: string; temporary: string },
): Launch {
  const { main } = spec.engine;
  const inside = { job: spec.folder, temporary };
  return {
    command: [...walledEngine(inside, main === undefined ? enginesFolder : dirname(main)), '--', ...command],
    environment: { PATH: process.env.PATH ?? '' },
    // Below bubblewrap, and below what it leaves in the new namespace to collect the dead.
    depth: 2,
  };
}
