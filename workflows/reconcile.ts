/**
 * Proves that every unfinished job has a living workflow, and repairs what is safe: terminating a workflow runs none of its
 * code, so what it held is released here. Contracts that no workflow follows are woken.
 */
import { proxyActivities, setCurrentDetails } from '@temporalio/workflow';
import type { ReconcileActivities } from '../activities/reconcile';
import { now } from './clock';

export interface ReconcileSummary {
  readonly examined: number;
  /** Jobs whose workflow was gone and whose credits were released. */
  readonly repaired: readonly string[];
  /** What a person must look at. */
  readonly findings: readonly string[];
  /** Purchases whose lot was granted only now. */
  readonly fulfilledPurchases: readonly string[];
  /** Contracts whose calendar was overdue, or that were never looked at. */
  readonly wokenContracts: readonly string[];
}

export async function reconcile(): Promise<ReconcileSummary> {
  const options = { startToCloseTimeout: '2 minutes', retry: { maximumInterval: '30s' } } as const;
  const { reconcilePage } = proxyActivities<ReconcileActivities>({
    ...options,
    summary: 'compare unfinished jobs with their workflows',
  });
  const { fulfilPurchases } = proxyActivities<ReconcileActivities>({
    ...options,
    summary: 'grant what was bought and allocated',
  });
  const { wakeContracts } = proxyActivities<ReconcileActivities>({
    ...options,
    summary: 'wake contracts that nobody follows',
  });
  const summary = { examined: 0, repaired: [] as string[], findings: [] as string[] };
  let after: string | null = null;
  do {
    const page: Awaited<ReturnType<typeof reconcilePage>> = await reconcilePage({ after, at: now() });
    summary.examined += page.examined;
    summary.repaired.push(...page.repaired);
    summary.findings.push(...page.findings);
    after = page.next;
    setCurrentDetails(`${summary.examined} jobs examined, ${summary.repaired.length} repaired.`);
  } while (after !== null);
  const fulfilledPurchases = await fulfilPurchases({ at: now() });
  return { ...summary, fulfilledPurchases, wokenContracts: await wakeContracts({ at: now() }) };
}
