/**
 * Compares unfinished jobs with their workflows, page by page, finds contracts that no workflow follows, and grants what was
 * bought and allocated by somebody who was lost before the grant.
 */
import { releaseJob } from '../db/billing';
import { neglectedContracts } from '../db/contractBooking';
import { orphanedReservations, unfinishedJobs } from '../db/jobs';
import type { Ledger } from '../db/ledger';
import { grantLot } from '../db/lots';
import { lotOfPurchase, reasonOfPurchase, unfulfilledPurchases } from '../db/purchases';
import { addMilliseconds, type Instant } from '../domain/instant';

export type WorkflowStatus = 'running' | 'closed' | 'missing';

export interface ReconcileDependencies {
  readonly ledger: Ledger;
  /** The state of a job's workflow. Rejects when Temporal cannot tell. */
  readonly workflowStatus: (jobId: string) => Promise<WorkflowStatus>;
  /** Wakes a contract's workflow, and starts it where there is none. */
  readonly touchContract: (contractId: string) => Promise<void>;
  /** A job younger than this may be on its way to its workflow; two minutes when absent. */
  readonly youngMs?: number;
}

export interface ReconcilePage {
  readonly examined: number;
  readonly repaired: readonly string[];
  readonly findings: readonly string[];
  /** The job to go on after; `null` at the end. */
  readonly next: string | null;
}

export interface ReconcileActivities {
  reconcilePage(input: { after: string | null; at: Instant }): Promise<ReconcilePage>;
  /** Grants the lots of allocated purchases that have none. @returns the purchases. */
  fulfilPurchases(input: { at: Instant }): Promise<string[]>;
  /** Wakes contracts whose calendar is overdue or was never looked at. @returns which. */
  wakeContracts(input: { at: Instant }): Promise<string[]>;
}

const PAGE = 100;
/** What is left the next run finds. */
const CONTRACTS_MAX = 200;
const PURCHASES_MAX = 200;
const YOUNG_MS = 2 * 60_000;

export function createReconcileActivities({
  ledger,
  workflowStatus,
  touchContract,
  youngMs = YOUNG_MS,
}: ReconcileDependencies): ReconcileActivities {
  return {
    async reconcilePage({ after, at }) {
      const jobs = await unfinishedJobs(ledger.db, {
        after,
        submittedBefore: addMilliseconds(at, -youngMs),
        limit: PAGE,
      });
      const repaired: string[] = [];
      for (const { id } of jobs) {
        const status = await workflowStatus(id);
        if (status === 'running') continue;
        const message =
          status === 'missing'
            ? 'Its workflow never started or is gone.'
            : 'Its workflow ended without closing the billing.';
        await releaseJob(ledger, { jobId: id, reason: `workflow-${status}`, message, at });
        repaired.push(id);
      }
      const last = jobs.length === PAGE ? jobs[PAGE - 1] : undefined;
      return {
        examined: jobs.length,
        repaired,
        findings: after === null ? await orphanedReservations(ledger.db) : [],
        next: last?.id ?? null,
      };
    },
    async fulfilPurchases({ at }) {
      const allocatedBefore = addMilliseconds(at, -youngMs);
      const purchases = await unfulfilledPurchases(ledger.db, { allocatedBefore, limit: PURCHASES_MAX });
      for (const purchase of purchases) {
        const granting = lotOfPurchase(purchase);
        if (!granting) throw new Error(`purchase ${purchase.id} is allocated and has no lot`);
        await grantLot(ledger, { ...granting, reason: reasonOfPurchase(purchase) });
        await touchContract(granting.lot.poolId);
      }
      return purchases.map(({ id }) => id);
    },
    async wakeContracts({ at }) {
      const ids = await neglectedContracts(ledger.db, { at: addMilliseconds(at, -youngMs), limit: CONTRACTS_MAX });
      for (const id of ids) await touchContract(id);
      return ids;
    },
  };
}
