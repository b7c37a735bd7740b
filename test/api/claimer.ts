/** Compute elsewhere, as a test plays it: it claims runs over REST and reports whatever the test wants. */
import { eventually } from '../world/eventually';
import type { Heard, TestApi } from './server';

export interface Claimed {
  readonly token: string;
  readonly jobId: string;
  readonly attempt: number;
}

export interface Claimer {
  /** Claims a waiting run of some engines, which also says that they are offered. */
  claim(...engines: string[]): Promise<Claimed | null>;
  /** Waits for a run of an engine and claims it: the next one, or the next one of a job. */
  claimed(engine: string, jobId?: string): Promise<Claimed>;
  beat(run: Claimed, seq: number, counters: Record<string, number>, more?: Record<string, unknown>): Promise<Heard>;
  end(run: Claimed, kind: string, counters: Record<string, number>, more?: Record<string, unknown>): Promise<Heard>;
  /** Reports until the run is told what a test waits for. @returns the number of the last report. */
  told(
    run: Claimed,
    wants: string,
    counters: Record<string, number>,
    seq: number,
    isSuspended?: boolean,
  ): Promise<number>;
}

/** @param api asked when a test runs: it starts later than the test file. */
export function claimerOf(api: () => TestApi): Claimer {
  const say = ({ token }: Claimed, what: string, json: unknown) =>
    api().ask('POST', `/v1/external/${what}`, { as: 'compute', key: null, json, headers: { 'Attempt-Token': token } });
  const claimer: Claimer = {
    async claim(...engines) {
      const json = { agent: `cluster of ${engines.join(', ')}`, engines };
      const answer = await api().ask('POST', '/v1/external/claims', { as: 'compute', key: null, json });
      return answer.body.claim;
    },
    async claimed(engine, jobId) {
      let found: Claimed | null = null;
      await eventually(`a run of ${engine}`, async () => {
        found = await claimer.claim(engine);
        return found !== null && (jobId === undefined || found.jobId === jobId);
      });
      return found as unknown as Claimed;
    },
    beat: (run, seq, counters, more = {}) =>
      say(run, 'heartbeat', { seq, fraction: Math.min(0.9, 0.1 * seq), counters, ...more }),
    end: (run, kind, counters, more = {}) => say(run, 'end', { kind, counters, ...more }),
    async told(run, wants, counters, seq, isSuspended = false) {
      let last = seq;
      await eventually(`the wish to ${wants}`, async () => {
        last += 1;
        return (await claimer.beat(run, last, counters, { isSuspended })).body.wants === wants;
      });
      return last;
    },
  };
  return claimer;
}
