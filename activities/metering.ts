/** Turns an engine's cumulative counters into append-only usage, surviving a database that is away for a while. */
import { type Allowance, reportUsage, type UsageReport } from '../db/attempts';
import type { Db } from '../db/client';
import { isUnavailable } from '../db/client';
import { progressOf } from '../domain/forecast';
import type { Instant } from '../domain/instant';
import { quantity, type Usage } from '../domain/usage';
import type { RunSnapshot } from '../runners/runner';
import { COMMON_METERS, CPU_METER, MEMORY_METER } from '../services/meters';
import type { Service } from '../services/service';

export interface Metering {
  /** All usage so far, written or not. */
  readonly usage: readonly Usage[];
  readonly progress: bigint;
  /** What a snapshot says, without writing anything. */
  read(snapshot: RunSnapshot): { usage: readonly Usage[]; progress: bigint };
  /**
   * Writes what came since the last report.
   *
   * @returns what the attempt may still use, `null` when it must stop, `'unavailable'` when the database is away: nothing
   * is lost then, the next call writes it.
   */
  report(snapshot: RunSnapshot): Promise<Allowance | null | 'unavailable'>;
}

export function createMetering(options: {
  db: Db;
  now: () => Instant;
  service: Service;
  jobId: string;
  attempt: number;
  source: string;
}): Metering {
  const { db, now, service, jobId, attempt, source } = options;
  const units = new Map([...service.meters, ...COMMON_METERS].map(({ name, unit }) => [name, unit]));
  const written = new Map<string, bigint>();
  let seq = 0;
  let usage: readonly Usage[] = [];
  let progress = 0n;
  // A report whose answer never came may have been written: it is repeated as it was, under its own number.
  let unanswered: UsageReport | null = null;

  function read({ counters, cpuSeconds, peakMemoryBytes, fraction }: RunSnapshot) {
    const evidence = [cpuUsage(cpuSeconds), memoryUsage(peakMemoryBytes)];
    return { usage: [...service.usageOf(counters), ...evidence], progress: progressOf(fraction) };
  }

  async function send(report: UsageReport): Promise<Allowance | null | 'unavailable'> {
    unanswered = report;
    try {
      const allowance = await reportUsage(db, report);
      unanswered = null;
      for (const used of report.usage) written.set(used.meter, (written.get(used.meter) ?? 0n) + used.quantity);
      return allowance;
    } catch (error) {
      if (isUnavailable(error)) return 'unavailable';
      throw error;
    }
  }

  return {
    get usage() {
      return usage;
    },
    get progress() {
      return progress;
    },
    read,
    async report(snapshot) {
      ({ usage, progress } = read(snapshot));
      if (unanswered) {
        const answer = await send(unanswered);
        if (answer === null || answer === 'unavailable') return answer;
      }
      const added = usage.flatMap(({ meter, quantity: total }) => {
        const more = total - (written.get(meter) ?? 0n);
        return more > 0n ? [{ meter, unit: units.get(meter) ?? '', quantity: quantity(more) }] : [];
      });
      if (added.length > 0) seq++;
      return send({ jobId, attempt, seq, usage: added, progress: Number(progress), source, at: now() });
    },
  };
}

/** CPU seconds are evidence, measured by the host to a few milliseconds. */
function cpuUsage(cpuSeconds: number): Usage {
  return { meter: CPU_METER.name, quantity: quantity(BigInt(Math.round(cpuSeconds * 1_000_000))) };
}

/** The highest so far: what is added to it later adds up to the highest of the attempt. */
function memoryUsage(peakMemoryBytes: number): Usage {
  return { meter: MEMORY_METER.name, quantity: quantity((BigInt(Math.round(peakMemoryBytes)) * 1_000_000n) >> 20n) };
}
