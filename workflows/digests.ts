/** Every quarter of an hour: who is to be told of a balance, and whose morning has come to be sent a digest. */
import { continueAsNew, proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { DigestActivities, PageOutcome } from '../activities/digests';
import { now } from './clock';

export interface DigestsSummary {
  readonly examined: number;
  /** Entries about balances that were queued. */
  readonly queued: number;
  readonly delivered: number;
  readonly findings: readonly string[];
}

/** Where a run goes on that its predecessor handed over. */
export interface DigestsProgress extends DigestsSummary {
  readonly stage: 'balances' | 'digests';
  readonly after: string | null;
}

const PAGE = 100;
/** What keeps the history short; a run has one event group a page. */
const PAGES_MAX = 50;
const FINDINGS_MAX = 20;

const BEGINNING: DigestsProgress = {
  stage: 'balances',
  after: null,
  examined: 0,
  queued: 0,
  delivered: 0,
  findings: [],
};

export async function digests(begun: DigestsProgress = BEGINNING): Promise<DigestsSummary> {
  const options = { startToCloseTimeout: '5 minutes', retry: { maximumInterval: '1 minute' } } as const;
  const { lowBalancePage } = proxyActivities<DigestActivities>({ ...options, summary: 'compare balances' });
  const { digestPage } = proxyActivities<DigestActivities>({ ...options, summary: 'deliver digests' });
  let progress = begun;
  for (let pages = 0; ; pages++) {
    if (pages === PAGES_MAX) return continueAsNew<typeof digests>(progress);
    const { stage, after } = progress;
    const ask = stage === 'balances' ? lowBalancePage : digestPage;
    const page = await ask({ after, at: now(), limit: PAGE });
    progress = added(progress, page);
    setCurrentDetails(
      `${progress.examined} persons looked at, ${progress.queued} told of a balance, ${progress.delivered} digests delivered.`,
    );
    if (page.next !== null) continue;
    if (stage === 'digests') break;
    progress = { ...progress, stage: 'digests', after: null };
  }
  const { examined, queued, delivered, findings } = progress;
  return { examined, queued, delivered, findings };
}

function added(progress: DigestsProgress, { examined, done, findings, next }: PageOutcome): DigestsProgress {
  const isBalances = progress.stage === 'balances';
  return {
    stage: progress.stage,
    after: next,
    examined: progress.examined + examined,
    queued: progress.queued + (isBalances ? done : 0),
    delivered: progress.delivered + (isBalances ? 0 : done),
    findings: [...progress.findings, ...findings].slice(0, FINDINGS_MAX),
  };
}
