/** Keeps one part running: started again when it ends, after a pause that grows while it keeps ending. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Exit, KnownProcess } from './processes';

export interface Running extends KnownProcess {
  readonly exited: Promise<Exit>;
  stop(): Promise<void>;
}

export interface Part {
  readonly name: string;
  readonly start: () => Promise<Running>;
  /** Hears that the part ended although nobody asked it to. */
  readonly ended: (exit: Exit) => void;
  /** Hears that a start failed; it is tried again. */
  readonly failed: (error: unknown) => void;
}

export interface Supervision {
  readonly name: string;
  /** How often the part has ended by itself. */
  readonly ends: () => number;
  stop(): Promise<void>;
}

const PAUSE_MIN_MS = 200;
const PAUSE_MAX_MS = 5_000;
/** Whoever ran this long is well again. */
const WELL_AFTER_MS = 30_000;

/**
 * Starts a part and watches over it from then on.
 *
 * @throws whatever the first start throws.
 */
export async function supervise(part: Part): Promise<Supervision> {
  let running = await part.start();
  let ends = 0;
  const stopping = new AbortController();
  const { signal } = stopping;

  const watch = async (): Promise<void> => {
    let pauseMs = PAUSE_MIN_MS;
    for (;;) {
      const from = performance.now();
      const exit = await running.exited;
      if (signal.aborted) return;
      ends += 1;
      part.ended(exit);
      if (performance.now() - from > WELL_AFTER_MS) pauseMs = PAUSE_MIN_MS;
      for (let up = false; !up; pauseMs = Math.min(pauseMs * 2, PAUSE_MAX_MS)) {
        await delay(pauseMs, undefined, { signal }).catch(() => undefined);
        if (signal.aborted) return;
        try {
          running = await part.start();
          up = true;
        } catch (error) {
          part.failed(error);
        }
      }
    }
  };
  const watching = watch();

  return {
    name: part.name,
    ends: () => ends,
    stop: async () => {
      stopping.abort();
      await running.stop();
      // A start that was under way finishes first, and then it is this one that has to be stopped.
      await watching;
      await running.stop();
    },
  };
}
