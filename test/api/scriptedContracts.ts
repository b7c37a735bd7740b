/** Contracts without their workflows: changes are made in the database at once, at the instant that a test says. */
import type { Workflows } from '../../api/workflowsPort';
import type { Db } from '../../db/client';
import { changeContract } from '../../db/contracts';
import { BillingError } from '../../domain/errors';
import { type Instant, instantOfMilliseconds } from '../../domain/instant';

export interface ScriptedContracts {
  /** Made once the API is there. */
  db: Db | undefined;
  /** The business time of the next changes: an instant, or whenever they are made. */
  at: Instant | 'present';
  /** Whether nobody answers. */
  away: boolean;
  /** The contracts that were told of a change, in order. */
  readonly touched: string[];
  readonly replacing: (temporal: Workflows) => Workflows;
}

export function scriptContracts(at: Instant): ScriptedContracts {
  const script: ScriptedContracts = {
    db: undefined,
    at,
    away: false,
    touched: [],
    replacing: (temporal) => ({
      ...temporal,
      async changeContract(asked) {
        if (script.away || !script.db) throw new BillingError('unavailable', 'nobody answers');
        const at = script.at === 'present' ? instantOfMilliseconds(Date.now()) : script.at;
        return changeContract(script.db, { ...asked, at });
      },
      async contractTouched(contractId) {
        if (script.away) throw new BillingError('unavailable', 'nobody answers');
        script.touched.push(contractId);
      },
    }),
  };
  return script;
}
