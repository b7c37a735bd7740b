/** The one suite that every runner passes. A runner is added by one call of {@link describeRunner}. */
import type { Runner } from '../runner';
import { Bed, type RunnerPlace } from './bed';
import type { Behaviour, Capability } from './behaviour';
import { ends } from './behaviours/ends';
import { limits } from './behaviours/limits';
import { reports } from './behaviours/reports';
import { stopping } from './behaviours/stopping';
import { walls } from './behaviours/walls';

/** How a runner is tried. */
export interface RunnerSetUp {
  /** Why it cannot be tried on this machine, if so. */
  readonly missing?: string | undefined;
  readonly create: (place: RunnerPlace) => Runner | Promise<Runner>;
  /** A compiled worker in little, as `host.ts` is, with its first arguments. */
  readonly host: readonly string[];
  readonly lacks?: readonly Capability[];
  /** What the runner has, but not on this machine, and why. */
  readonly notHere?: Partial<Readonly<Record<Capability, string>>>;
}

/** The rows of the table, in groups. */
export const BEHAVIOURS: Readonly<Record<string, readonly Behaviour[]>> = {
  'a run': ends,
  'what an engine writes': reports,
  'a run that is not left alone': stopping,
  'limits and measurement': limits,
  walls,
};

/** Tries every behaviour on a runner: one row of the table is one test. */
export function describeRunner(name: string, { missing, create, host, lacks = [], notHere = {} }: RunnerSetUp): void {
  const here = process.platform === 'linux' ? missing : 'only Linux tells enough';
  (here ? describe.skip : describe)(here ? `${name} (skipped: ${here})` : name, () => {
    for (const [group, behaviours] of Object.entries(BEHAVIOURS)) {
      describe(group, () => {
        for (const { title, needs, missing: untried, verify } of behaviours) {
          // What a runner does not claim is not tried; the table says so.
          if (needs && lacks.includes(needs)) continue;
          const why = here ? undefined : ((needs && notHere[needs]) ?? untried?.());
          (why ? it.skip : it)(
            why ? `${title} (skipped: ${why})` : title,
            async () => {
              const bed = new Bed(create, host);
              try {
                await verify(bed);
              } finally {
                await bed.close();
              }
            },
            TRY_MS,
          );
        }
        if (group === 'a run that is not left alone' && lacks.includes('suspend')) {
          it('says clearly that it cannot be suspended', async () => {
            const bed = new Bed(create, host);
            try {
              const run = await bed.working([]);
              await expect(run.suspend()).rejects.toThrow(/cannot be suspended|cannot suspend/);
            } finally {
              await bed.close();
            }
          });
        }
      });
    }
  });
}

const TRY_MS = 60_000;
