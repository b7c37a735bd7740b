/** What every runner must do, as a table: one row is one behaviour, tried on each runner. */
import type { Bed } from './bed';

/**
 * What a runner may lack, and then says so. `owns`: the processes of a run are the runner's own, so that it knows which engines
 * there are, and none is left when it says so. `contains`: no process leaves a run, whatever it does.
 */
export type Capability = 'suspend' | 'walls' | 'contains' | 'owns';

/** What each runner does not claim. */
export const LACKS: Readonly<Record<string, readonly Capability[]>> = {
  embedded: ['walls'],
  sandbox: [],
  slurm: [],
  external: ['walls', 'contains', 'owns'],
};

/** One guarantee. */
export interface Behaviour {
  readonly title: string;
  /** Only runners with it are tried. */
  readonly needs?: Capability;
  /** Why it cannot be tried on this machine, if so. */
  readonly missing?: () => string | undefined;
  /** Throws when the runner does not keep the guarantee. */
  readonly verify: (bed: Bed) => Promise<void>;
}
