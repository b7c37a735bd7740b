/** How many steps a flow takes, and how long each is: known before it runs, so that it can be quoted. */
import type { FlowCase } from './caseFile';

/** The step in seconds, and how many are taken at most. */
export interface Steps {
  readonly step: number;
  readonly count: number;
}

/**
 * Explicit steps are stable while no fluid crosses more than a part of a cell, and friction spreads less than one cell.
 * Of both limits four tenths and four fifths are taken. A transient run ends exactly at its end time.
 */
export function stepsOf(flow: FlowCase): Steps {
  const dx = flow.width / flow.columns;
  const dy = flow.height / flow.rows;
  const crossing = 0.4 / (fastest(flow) * Math.max(1 / dx, 1 / dy));
  const spreading = 0.8 / (2 * flow.viscosity * (1 / (dx * dx) + 1 / (dy * dy)));
  const step = Math.min(crossing, spreading);
  if (flow.run.mode === 'steady') return { step, count: flow.run.stepsMax };
  const count = Math.max(1, Math.ceil(flow.run.endTime / step - 1e-9));
  return { step: flow.run.endTime / count, count };
}

/** A speed that the flow hardly passes: the lid's, or the peak of the profile pressed through the gap. */
function fastest({ kind, speed, height, obstacle }: FlowCase): number {
  if (kind === 'cavity') return speed;
  return obstacle ? (2 * speed * height) / (height - obstacle.height) : 1.5 * speed;
}
