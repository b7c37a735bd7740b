/** Runs the engines of `engines/` as child processes of this worker, measured from outside and never trusted. */
import { join } from 'node:path';
import { layOut } from './attemptFolder';
import { engineCommand } from './engineProgram';
import { FOLDER_LIMITS, type FolderLimits } from './folderLimits';
import { PROCESSES_MAX, startProcessRun } from './processRun';
import { sweepRuns } from './runFiles';
import type { Runner } from './runner';

/** Where the compiled engines are, and a folder of this host for the runner's own files. */
export interface EmbeddedRunnerOptions {
  readonly enginesFolder: string;
  readonly workFolder: string;
  /** Processes and threads of a run together. */
  readonly processesMax?: number;
  /** What a run may keep in its folder. */
  readonly folderLimits?: FolderLimits;
}

/** The runner for a machine with only Node. */
export function createEmbeddedRunner({
  enginesFolder,
  workFolder,
  processesMax = PROCESSES_MAX,
  folderLimits = FOLDER_LIMITS,
}: EmbeddedRunnerOptions): Runner {
  const runsFolder = join(workFolder, 'runs');
  return {
    name: 'embedded',
    async start(spec) {
      const command = await engineCommand(enginesFolder, spec);
      await layOut(spec);
      const environment = { PATH: process.env.PATH ?? '', HOME: spec.folder };
      return startProcessRun(spec, { command, environment, depth: 0 }, { runsFolder, processesMax, folderLimits });
    },
    sweep: () => sweepRuns(runsFolder),
  };
}
