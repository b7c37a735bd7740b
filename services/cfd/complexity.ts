/**
 * How complex a flow is: one of three classes, which the rate card prices. The classes' names and that they depend on
 * cells, steps and physics are published; where one ends is not, so the ends here are ours (inferred).
 */

/** What a flow solves for. A turbulence model adds transport equations of its own. */
export type Physics = 'laminar' | 'turbulent';

export type Complexity = 'simple' | 'moderate' | 'complex';

/** Work is cells × steps × the factor of the physics: one cell advanced by one laminar step is 1. */
export const PHYSICS_FACTORS: Readonly<Record<Physics, number>> = { laminar: 1, turbulent: 2 };

/** The largest work of each class, its end included. More than the last is refused. */
export const WORK_MAX: Readonly<Record<Complexity, number>> = {
  simple: 100_000_000,
  moderate: 5_000_000_000,
  complex: 50_000_000_000,
};

/** What decides the class. `steps` is the most that the file allows, because the class is fixed before the run. */
export interface Extent {
  readonly cells: number;
  readonly steps: number;
  readonly physics: Physics;
}

/** Cells × steps × physics. */
export function workOf({ cells, steps, physics }: Extent): number {
  return cells * steps * PHYSICS_FACTORS[physics];
}

/** The class of a flow that is not too large to run. */
export function complexityOf(extent: Extent): Complexity {
  const work = workOf(extent);
  if (work <= WORK_MAX.simple) return 'simple';
  return work <= WORK_MAX.moderate ? 'moderate' : 'complex';
}
