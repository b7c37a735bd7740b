/** What jobs that ran would have cost under other rates: from what was recorded of them, changing nothing. */
import { type AttemptUsage, assess } from './charge';
import { type Credits, credits, ZERO } from './credits';
import type { JobEnd, ServiceRates } from './rateCard';
import { NotRatable } from './rating';
import type { Dimensions } from './usage';

/** What a charge recorded of its job. */
export interface RecordedJob {
  readonly jobId: string;
  readonly chargeId: string;
  readonly service: string;
  readonly end: JobEnd;
  readonly dimensions: Dimensions;
  readonly usage: readonly AttemptUsage[];
  readonly charged: Credits;
  readonly absorbed: Credits;
}

/** The jobs of a service that the other rates can rate. */
export interface ReplayedService {
  readonly service: string;
  readonly jobs: number;
  readonly charged: Credits;
  /** What the provider bore of them, above their not-to-exceed amounts. */
  readonly absorbed: Credits;
  /** What they would have come to. Not-to-exceed amounts are left out: their quotes would have named others. */
  readonly underDraft: Credits;
  /** `underDraft` less what they came to then: charged and absorbed. Nothing where the rates are those of then. */
  readonly difference: bigint;
}

export interface Unrated {
  readonly jobId: string;
  readonly chargeId: string;
  readonly service: string;
  readonly charged: Credits;
  readonly reason: string;
}

/** So many are named: whoever sees them has a card to mend, not a list to work off. */
const UNRATED_MAX = 1_000;

/** Adds up jobs one by one, so that no more than one page of them is ever held. */
export class Replay {
  private readonly rates: ReadonlyMap<string, ServiceRates>;
  private readonly byService = new Map<string, ReplayedService>();
  /** The first of those that cannot be rated, and how many there are. */
  readonly unrated: Unrated[] = [];
  unratedCount = 0;

  constructor(services: readonly ServiceRates[]) {
    this.rates = new Map(services.map((one) => [one.service, one]));
  }

  add(job: RecordedJob): void {
    const { jobId, chargeId, service, charged, absorbed } = job;
    const rated = this.rate(job);
    if (typeof rated === 'string') {
      this.unratedCount++;
      if (this.unrated.length < UNRATED_MAX) this.unrated.push({ jobId, chargeId, service, charged, reason: rated });
      return;
    }
    const before = this.byService.get(service) ?? nothingOf(service);
    this.byService.set(service, {
      service,
      jobs: before.jobs + 1,
      charged: credits(before.charged + charged),
      absorbed: credits(before.absorbed + absorbed),
      underDraft: credits(before.underDraft + rated),
      difference: before.difference + rated - charged - absorbed,
    });
  }

  /** By service, in the order of their names. */
  get services(): readonly ReplayedService[] {
    return [...this.byService.values()].sort((a, b) => (a.service < b.service ? -1 : 1));
  }

  /** What a job would have cost, or why nobody can say. */
  private rate({ service, end, dimensions, usage }: RecordedJob): Credits | string {
    const rates = this.rates.get(service);
    if (!rates) return `the card does not sell ${service}`;
    try {
      return assess({ rateCardVersion: 0, rates, dimensions }, end, usage).actual;
    } catch (error) {
      if (error instanceof NotRatable) return error.message;
      throw error;
    }
  }
}

function nothingOf(service: string): ReplayedService {
  return { service, jobs: 0, charged: ZERO, absorbed: ZERO, underDraft: ZERO, difference: 0n };
}
