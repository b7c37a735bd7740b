/** What Slurm's states mean for a run whose job left no last word of its own. */
import type { RunEndKind } from '../runner';

/** Whether a job in this state has ended for good. */
export function isOver(state: string): boolean {
  return state in ENDS;
}

/** Whether a job in this state waits for a start: its first, or another after it was requeued. */
export function isWaiting(state: string): boolean {
  return WAITING.has(state);
}

/** How a run ended whose job ended in `state`, for `reason` in Slurm's words. */
export function endOf(state: string, reason: string): { readonly kind: RunEndKind; readonly message: string } {
  const { kind = 'engine-failed', sentence } = ENDS[state] ?? { sentence: 'was requeued' };
  const because = /^(None|)$/.test(reason) ? '' : ` (${reason})`;
  return { kind, message: `The job ${sentence}${because}.` };
}

const WAITING = new Set(['PENDING', 'REQUEUED', 'REQUEUE_FED', 'REQUEUE_HOLD', 'SPECIAL_EXIT', 'RESV_DEL_HOLD']);

/** All but a time limit are failures of the platform: the attempt is made again and not charged. */
const ENDS: Readonly<Record<string, { readonly kind?: RunEndKind; readonly sentence: string }>> = {
  BOOT_FAIL: { sentence: 'was lost: its node did not start' },
  CANCELLED: { sentence: 'was cancelled in Slurm by somebody else' },
  COMPLETED: { sentence: 'ended in Slurm without a word of how' },
  DEADLINE: { kind: 'time-limit', sentence: 'was ended by Slurm at its deadline' },
  FAILED: { sentence: 'failed in Slurm' },
  NODE_FAIL: { sentence: 'was lost: its node failed' },
  OUT_OF_MEMORY: { sentence: 'used more memory than Slurm allowed it' },
  PREEMPTED: { sentence: 'was preempted by Slurm' },
  REVOKED: { sentence: 'was revoked in Slurm' },
  TIMEOUT: { kind: 'time-limit', sentence: 'was ended by Slurm: its time limit was up' },
};
