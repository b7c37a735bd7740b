/**
 * What the threads of one rendering share: the next free tile, the sign to stop, and what each has done. It lives in
 * shared memory, so that progress is known while a single tile takes minutes, and stopping takes one pixel.
 */
export interface Work {
  readonly pixels: number;
  readonly rays: number;
  readonly samples: number;
}

export const TILE_ROWS = 16;
export const TILE_COLUMNS = 64;

const COUNTERS = 3;

export class Board {
  private readonly signs: Int32Array;
  private readonly counts: BigInt64Array;

  constructor(readonly memory: SharedArrayBuffer) {
    this.signs = new Int32Array(memory, 0, 2);
    this.counts = new BigInt64Array(memory, 8);
  }

  static forThreads(threads: number): Board {
    return new Board(new SharedArrayBuffer(8 + threads * COUNTERS * 8));
  }

  /** Before a frame, when no thread works. */
  reset(): void {
    Atomics.store(this.signs, 0, 0);
  }

  takeTile(): number {
    return Atomics.add(this.signs, 0, 1);
  }

  stop(): void {
    Atomics.store(this.signs, 1, 1);
  }

  get isStopped(): boolean {
    return Atomics.load(this.signs, 1) === 1;
  }

  /** Adds to what one thread has done; only that thread calls it. */
  count(thread: number, work: Work): void {
    const at = thread * COUNTERS;
    Atomics.add(this.counts, at, BigInt(work.pixels));
    Atomics.add(this.counts, at + 1, BigInt(work.rays));
    Atomics.add(this.counts, at + 2, BigInt(work.samples));
  }

  /** What all threads have done together. */
  done(): Work {
    const sums = [0, 0, 0];
    for (let at = 0; at < this.counts.length; at++) {
      sums[at % COUNTERS] = (sums[at % COUNTERS] ?? 0) + Number(Atomics.load(this.counts, at));
    }
    const [pixels = 0, rays = 0, samples = 0] = sums;
    return { pixels, rays, samples };
  }
}
