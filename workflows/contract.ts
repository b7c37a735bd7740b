/**
 * A contract, for its whole life: it does what its calendar lists, waits for the next instant of it, and takes changes in
 * between. The calendar is made and booked by its activity; here is only when.
 */
import {
  allHandlersFinished,
  condition,
  continueAsNew,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { ContractActivities } from '../activities/contracts';
import { CALENDAR_REQUESTS } from '../domain/contract';
import type { ContractAnswer, ContractProgress } from '../domain/contractProgress';
import { untilDone } from './acts';
import { now } from './clock';
import { describeContract } from './contractDetails';
import {
  type AskedChange,
  type Asking,
  type ContractInput,
  type ContractView,
  contractTouchedSignal,
  contractUpdates,
  contractViewQuery,
  lotsChangedUpdate,
} from './messages';
import { CONTRACT_STATE, CUSTOMER_ID, NEXT_AT } from './searchAttributes';

/** Years of quiet fit into one run; what people do to a contract may not. */
const EVENTS_MAX = 2_000;

const DESCRIPTIONS: Readonly<Record<AskedChange['kind'], string>> = {
  renew: 'One more term, from the end of the last: {requestId, months?, actor, reason}. Also within the grace.',
  extend: 'A later end for the present term: {requestId, endsAt, actor, reason}.',
  terminate: 'Ends the contract now, or at an instant {at}: {requestId, at?, actor, reason}.',
  revokeTermination: 'Takes a termination back that has not taken effect: {requestId, actor, reason}.',
  suspend: 'From now on nothing can be spent on the contract; its lots live on: {requestId, actor, reason}.',
  resume: 'Ends a suspension: {requestId, actor, reason}.',
  changeProducts:
    'What the contract is for, with seats: {requestId, products, actor, reason}. New seats may be granted credits.',
  changeRenewal: 'Renewal terms: {requestId, renewal, renewalMonths, graceDays, actor, reason}.',
};

export async function contract(input: ContractInput): Promise<ContractView> {
  return new ContractLife(input.contractId).toItsEnd();
}

class ContractLife {
  private progress: ContractProgress | undefined;
  /** Something happened that the calendar may follow from. */
  private touched = true;
  private isLooking = false;
  private shown = '';

  constructor(private readonly contractId: string) {
    setHandler(contractViewQuery, () => this.view(), { description: 'The contract, and what comes next.' });
    setHandler(contractTouchedSignal, () => this.touch(), {
      description: 'Lots or users of the contract changed: looks at its calendar at once.',
    });
    setHandler(lotsChangedUpdate, () => this.look(), {
      description: 'Looks at the contract’s calendar at once and answers with what comes next.',
    });
    for (const kind of Object.keys(DESCRIPTIONS) as AskedChange['kind'][]) this.take(kind);
  }

  async toItsEnd(): Promise<ContractView> {
    for (;;) {
      await this.book();
      if (this.touched) continue;
      const { historyLength, continueAsNewSuggested } = workflowInfo();
      const isOver = this.progress?.isOver === true;
      const goesOnAfresh = continueAsNewSuggested || historyLength > EVENTS_MAX;
      if (!isOver && !goesOnAfresh) {
        await this.waitForTheNextInstant();
        continue;
      }
      // Whoever asked is answered by this run; some of them wait for another look.
      await condition(() => this.touched || allHandlersFinished());
      if (this.touched) continue;
      if (isOver) return this.view();
      // Nothing of the old run but the contract's id: everything else is in the database.
      await continueAsNew<typeof contract>({ contractId: this.contractId });
    }
  }

  /** Does what is due. */
  private async book(): Promise<void> {
    this.touched = false;
    this.isLooking = true;
    const progress = await untilDone<ContractActivities, 'bookContract'>(
      'bookContract',
      { contractId: this.contractId, at: now() },
      'book what is due',
    );
    this.progress = progress;
    this.touched ||= progress.more;
    this.isLooking = false;
    this.show(progress);
  }

  private async waitForTheNextInstant(): Promise<void> {
    const { nextAt, calendar } = this.progress ?? {};
    const touched = () => this.touched;
    if (!nextAt) {
      await condition(touched);
      return;
    }
    // Timers know milliseconds, instants microseconds: a timer never fires before its instant.
    const waitMs = Math.max(1, Date.parse(nextAt) + 1 - Date.now());
    const comes = await condition(touched, waitMs, { summary: `${calendar?.[0]?.act} at ${nextAt}` });
    if (!comes) this.touched = true;
  }

  /** One update per kind of change. */
  private take(kind: AskedChange['kind']): void {
    setHandler(contractUpdates[kind] as typeof contractUpdates.suspend, (request) => this.change(kind, request), {
      description: DESCRIPTIONS[kind],
      validator: checkAsking,
    });
  }

  /** Changes the contract, and answers once its lots have the lives that follow. */
  private async change(kind: AskedChange['kind'], request: Asking): Promise<ContractAnswer> {
    const { requestId, actor, reason, ...rest } = request;
    const answer = await untilDone<ContractActivities, 'changeContract'>(
      'changeContract',
      {
        contractId: this.contractId,
        requestId,
        change: { kind, ...rest },
        at: now(),
        actor,
        reason,
      },
      `${kind}: ${reason}`.slice(0, 200),
    );
    if (answer.status === 'changed') await this.look();
    return answer;
  }

  private async look(): Promise<ContractView> {
    this.touch();
    // Until a look is over that began after this: one that is under way may not have seen it.
    await condition(() => !this.touched && !this.isLooking);
    return this.view();
  }

  private touch(): void {
    this.touched = true;
  }

  private view(): ContractView {
    const { progress } = this;
    const next = progress?.calendar[0];
    return { contract: progress?.contract ?? null, nextAt: progress?.nextAt ?? null, nextWhat: next?.because ?? '' };
  }

  private show(progress: ContractProgress): void {
    setCurrentDetails(describeContract(progress));
    const { contract: state, phase, nextAt } = progress;
    const shown = `${phase} ${nextAt}`;
    if (shown === this.shown) return;
    this.shown = shown;
    upsertSearchAttributes([
      { key: CUSTOMER_ID, value: state.customerId },
      { key: CONTRACT_STATE, value: phase },
      { key: NEXT_AT, value: nextAt === null ? null : new Date(nextAt) },
    ]);
  }
}

const ASKING_MAX: Readonly<Record<keyof Asking, number>> = { requestId: 200, actor: 200, reason: 500 };

/** What comes over the wire is not what the types say. */
function checkAsking(request: Asking): void {
  for (const [field, max] of Object.entries(ASKING_MAX) as [keyof Asking, number][]) {
    const text: unknown = request?.[field];
    if (typeof text !== 'string' || text.length === 0 || text.length > max) {
      throw new TypeError(
        `${field} is a text of 1 to ${max} characters; a request looks like {"requestId": "renewal-2027", "actor": "olga", "reason": "order 4711"}`,
      );
    }
  }
  if (request.requestId.startsWith(CALENDAR_REQUESTS)) {
    throw new TypeError(
      `requestId does not begin with ${CALENDAR_REQUESTS}: so the calendar names what it does itself.`,
    );
  }
}
