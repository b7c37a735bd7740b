/** A bound on the engines that use CPU on this host at once. A parked run gives its slot back while it stands still. */
export interface Slots {
  /** Waits for a slot. @throws the signal's reason when it is aborted first. */
  acquire(signal: AbortSignal): Promise<void>;
  release(): void;
}

export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];
  return {
    async acquire(signal) {
      signal.throwIfAborted();
      if (free > 0) {
        free--;
        return;
      }
      await new Promise<void>((resolve, reject) => {
        const granted = () => {
          signal.removeEventListener('abort', aborted);
          resolve();
        };
        const aborted = () => {
          waiting.splice(waiting.indexOf(granted), 1);
          reject(signal.reason);
        };
        signal.addEventListener('abort', aborted, { once: true });
        waiting.push(granted);
      });
    },
    release() {
      const next = waiting.shift();
      if (next) next();
      else free++;
    },
  };
}
