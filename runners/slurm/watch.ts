/** One look a second at all jobs of this worker, however many they are. */
import type { SlurmClient, SlurmJob } from './client';

/** What the last look that got an answer saw of a job. */
export interface Sight {
  /** Undefined: Slurm does not know the job. */
  readonly job: SlurmJob | undefined;
  /** When that look began, by `performance.now()`: what happened later may not show. */
  readonly at: number;
}

export class JobWatch {
  readonly #sights = new Map<string, Sight | undefined>();
  #looking = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly client: SlurmClient) {}

  follow(id: string): void {
    this.#sights.set(id, undefined);
    if (!this.#looking && !this.#timer) this.#timer = setTimeout(() => void this.#look(), FIRST_LOOK_MS);
  }

  forget(id: string): void {
    this.#sights.delete(id);
  }

  /** Undefined while no look at this job was answered. */
  sightOf(id: string): Sight | undefined {
    return this.#sights.get(id);
  }

  async #look(): Promise<void> {
    this.#timer = undefined;
    if (this.#sights.size === 0) return;
    this.#looking = true;
    const at = performance.now();
    const asked = [...this.#sights.keys()];
    try {
      const jobs = new Map((await this.client.jobs(asked)).map((job) => [job.id, job]));
      for (const id of asked) if (this.#sights.has(id)) this.#sights.set(id, { job: jobs.get(id), at });
    } catch {
      // Away: what was seen last stands, and nothing follows from silence.
    }
    this.#looking = false;
    this.#timer = setTimeout(() => void this.#look(), LOOK_EVERY_MS);
  }
}

const LOOK_EVERY_MS = 1000;
const FIRST_LOOK_MS = 100;
