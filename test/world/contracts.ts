/** A contract with its workflow, for tests that move the clock of that workflow through years. */
import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { v7 as uuidv7 } from 'uuid';
import { temporalWorkflows } from '../../api/temporal';
import { inTransaction, rows } from '../../db/client';
import { getContractState, recordContractChange } from '../../db/contracts';
import { grantLot } from '../../db/lots';
import { insertPeople } from '../../db/testing/people';
import { type ContractState, contractWorkflowId, sharedLifeIn } from '../../domain/contract';
import { formatCredits, parseCredits } from '../../domain/credits';
import {
  addDays,
  addMilliseconds,
  addMonths,
  type Instant,
  instantOfMilliseconds,
  millisecondsOf,
} from '../../domain/instant';
import type { Operation, Outcome } from '../../domain/operations';
import type { contract } from '../../workflows/contract';
import type { AskedChange } from '../../workflows/messages';
import { contractState } from '../builders/contracts';
import { fastForward, fireUnnoticed } from './fastForward';
import { now, type World } from './world';

const DAY_MS = 86_400_000;
const ASKING = { actor: 'test', reason: 'a test' };
let opened = 0;

/** What a test says of its contract; `months` is how long its first term is. */
export type SaidOfContract = Partial<Omit<ContractState, 'contractId' | 'customerId'>> & { readonly months?: number };

/** What of a world a contract needs; without Temporal for those who book by hand. */
export type ContractWorld = Pick<World, 'db' | 'ledger' | 'client'>;

/**
 * A contract with one user and one administrator, that began an hour ago unless the test says otherwise. Its workflow is started
 * by the first word to it. Business time runs ahead of the wall: what a test books carries the instant that it says.
 */
export class TestContract {
  readonly id = uuidv7();
  readonly userId = uuidv7();
  readonly adminId = uuidv7();

  private constructor(
    private readonly world: ContractWorld,
    readonly begin: Instant,
  ) {}

  static async open(world: ContractWorld, { months = 12, ...said }: SaidOfContract = {}): Promise<TestContract> {
    const begin = said.startsAt ?? addMilliseconds(now(), -3_600_000);
    const one = new TestContract(world, begin);
    const endsAt = said.endsAt ?? addMonths(begin, months, said.timeZone ?? 'UTC');
    await insertPeople(world.db, {
      world: 1_000_000 + ++opened,
      users: [one.userId, one.adminId],
      contracts: [{ contractId: one.id, startsAt: begin, endsAt, timeZone: said.timeZone ?? 'UTC' }],
      authorisations: [{ contractId: one.id, userId: one.userId, authorisedAt: begin, removedAt: null }],
    });
    await world.db('contract_users').insert({
      contract_id: one.id,
      user_id: one.adminId,
      role: 'contract-admin',
      authorised_at: begin,
    });
    const { customerId } = await getContractState(world.db, one.id);
    const quiet = contractState({ startsAt: begin, endsAt, activatedAt: null });
    const state = { ...quiet, contractId: one.id, customerId, ...said, version: 1 };
    const created = {
      contractId: one.id,
      requestId: 'create',
      kind: 'create',
      at: begin,
      ...ASKING,
      request: {},
      state,
    };
    await inTransaction(world.db, (trx) => recordContractChange(trx, created));
    return one;
  }

  get handle(): WorkflowHandle<typeof contract> {
    return this.world.client.workflow.getHandle(contractWorkflowId(this.id));
  }

  /** So many days of 24 hours after the beginning; a fraction is hours and less. */
  day(count: number): Instant {
    return addMilliseconds(this.begin, Math.round(count * DAY_MS));
  }

  state(): Promise<ContractState> {
    return getContractState(this.world.db, this.id);
  }

  /** Starts the workflow, or has it look at its calendar. */
  touch(): Promise<void> {
    return temporalWorkflows(this.world.client).contractTouched(this.id);
  }

  /** Asks the workflow for a change, as the API does, at the time of the workflow's own clock. */
  change(change: AskedChange, requestId: string = randomUUID()): Promise<ContractState> {
    return temporalWorkflows(this.world.client).changeContract({ contractId: this.id, requestId, change, ...ASKING });
  }

  /** The same for a reason of the test's own. */
  ask(change: AskedChange, reason: string): Promise<ContractState> {
    const asking = { contractId: this.id, requestId: randomUUID(), actor: 'test', reason };
    return temporalWorkflows(this.world.client).changeContract({ ...asking, change });
  }

  /** Moves the workflow's clock to a few seconds after an instant; everything on the way is done. */
  async goTo(instant: Instant): Promise<void> {
    await fastForward(this.world.client, contractWorkflowId(this.id), await this.secondsTo(instant));
  }

  /** While no worker is there: lets the timer fire that waits for an instant before this one. */
  async passUnnoticed(instant: Instant): Promise<void> {
    await fireUnnoticed(this.world.client, contractWorkflowId(this.id), await this.secondsTo(instant));
  }

  private async secondsTo(instant: Instant): Promise<number> {
    return Math.ceil((millisecondsOf(instant) - millisecondsOf(await this.clock())) / 1_000) + 2;
  }

  /** What the workflow's own clock shows. */
  async clock(): Promise<Instant> {
    const { raw } = await this.handle.describe();
    const { currentTime } = raw.workflowExtendedInfo?.timeSkippingInfo ?? {};
    return currentTime?.seconds == null ? now() : instantOfMilliseconds(Number(currentTime.seconds) * 1_000);
  }

  /**
   * Grants a shared lot that was bought at an instant and is allocated to the contract at another or the same, with the life
   * that the contract gives it then. @returns its id.
   */
  async buy(credits: string, purchasedAt: Instant, at = purchasedAt): Promise<string> {
    const life = sharedLifeIn(await this.state(), { effectiveAt: at, purchasedAt });
    return this.grant(credits, at, { kind: 'shared', source: 'purchase', purchasedAt, ...life });
  }

  /** Grants a courtesy lot. @returns its id. */
  give(credits: string, at: Instant, expiresAt: Instant, advance = false): Promise<string> {
    return this.grant(credits, at, {
      kind: 'courtesy',
      source: 'courtesy',
      purchasedAt: null,
      expiresAt,
      graceUntil: null,
      advance,
    });
  }

  private async grant(
    credits: string,
    at: Instant,
    lot: {
      readonly kind: 'shared' | 'courtesy';
      readonly source: 'purchase' | 'courtesy';
      readonly purchasedAt: Instant | null;
      readonly expiresAt: Instant | null;
      readonly graceUntil: Instant | null;
      readonly advance?: boolean;
    },
  ): Promise<string> {
    const id = uuidv7();
    const { kind, source, purchasedAt, expiresAt, graceUntil, advance = false } = lot;
    const life = { effectiveAt: at, expiresAt, graceUntil };
    const bare = { id, poolId: this.id, amount: parseCredits(credits), reference: null };
    await grantLot(this.world.ledger, { lot: { ...bare, kind, source, purchasedAt, ...life, advance }, ...ASKING, at });
    return id;
  }

  reserve(jobId: string, credits: string, at: Instant): Promise<Outcome> {
    const amount = parseCredits(credits);
    return this.apply({ kind: 'reserve', act: 'reserve', ...this.job(jobId), amount, cap: amount, project: null, at });
  }

  settle(jobId: string, credits: string, at: Instant): Promise<Outcome> {
    return this.apply({ kind: 'settle', act: 'close', ...this.job(jobId), actual: parseCredits(credits), at });
  }

  release(jobId: string, at: Instant): Promise<Outcome> {
    return this.apply({ kind: 'release', act: 'close', ...this.job(jobId), at });
  }

  private job(jobId: string) {
    return { jobId, userId: this.userId, contractId: this.id, ...ASKING };
  }

  private apply(operation: Operation): Promise<Outcome> {
    return this.world.ledger.apply(operation);
  }

  /**
   * What moved in the contract's lots, in the order of the ledger, a line a transfer: the day after the beginning on which it
   * is booked, the operation, the buckets, the credits, and the lot by the name that the test gives it.
   */
  async transfers(names: Readonly<Record<string, string>> = {}): Promise<string[]> {
    const found = await this.moved();
    const day = (at: Instant) =>
      Math.round(((millisecondsOf(at) - millisecondsOf(this.begin)) / DAY_MS) * 1_000) / 1_000;
    return found.map(({ lotId, bookedAt, kind, from, to, amount }) => {
      return `day ${day(bookedAt)} ${kind}: ${names[lotId] ?? lotId} ${from} → ${to} ${formatCredits(amount)}`;
    });
  }

  /**
   * The same with the instants themselves, for tests whose dates are written down: `2031-05-01 08:00`, and in full where an
   * instant is not a whole minute.
   */
  async journal(names: Readonly<Record<string, string>> = {}): Promise<string[]> {
    const found = await this.moved();
    return found.map(({ lotId, bookedAt, kind, from, to, amount }) => {
      return `${shortly(bookedAt)} ${kind}: ${names[lotId] ?? lotId} ${from} → ${to} ${formatCredits(amount)}`;
    });
  }

  /** The kinds of what digests will tell the contract's administrator, in the order in which they were written down. */
  async told(): Promise<string[]> {
    const found = await rows<{ kind: string }>(
      this.world.db,
      'select kind from digest_entries where user_id = ? order by recorded_at, key',
      [this.adminId],
    );
    return found.map(({ kind }) => kind);
  }

  /** The changes of the contract, in order. */
  async changes(): Promise<string[]> {
    const found = await rows<{ kind: string }>(
      this.world.db,
      'select kind from contract_changes where contract_id = ? order by number',
      [this.id],
    );
    return found.map(({ kind }) => kind);
  }

  private moved() {
    return rows<{
      lotId: string;
      bookedAt: Instant;
      kind: string;
      from: string;
      to: string;
      amount: bigint;
    }>(
      this.world.db,
      `select t.lot_id as "lotId", t.booked_at as "bookedAt", t.kind, t.from_bucket as "from", t.to_bucket as "to", t.amount
       from transfers t
       join lots l on l.id = t.lot_id
       where l.pool_id = ?
       order by t.batch_id, t.operation_position, t.position`,
      [this.id],
    );
  }

  /** The day of the calendar in the contract's zone that lies so many days after its beginning, at the same time on the wall. */
  calendarDay(count: number, timeZone = 'UTC'): Instant {
    return addDays(this.begin, count, timeZone);
  }
}

function shortly(instant: Instant): string {
  return instant.replace('T', ' ').replace(/:00\.000000Z$/, '');
}
