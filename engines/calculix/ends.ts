/** How a program in a sandbox came to its end. */
import type { ProgramEnd } from '../program';

/** Behind the sandbox a signal is a code: 128 and its number. */
const KILLED = 128 + 9;
const TERMINATED = 128 + 15;

/** Whether somebody ended it, or the memory did. A program that crashes (abort, segmentation fault) does so because of its input. */
export function wasKilled({ code, signal }: ProgramEnd): boolean {
  return signal !== null || code === null || code === KILLED || code === TERMINATED;
}
