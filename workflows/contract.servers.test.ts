import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { v7 as uuidv7 } from 'uuid';
import { temporalWorkflows } from '../api/temporal';
import { inTransaction, rows } from '../db/client';
import { recordContractChange } from '../db/contracts';
import { grantLot } from '../db/lots';
import { insertPeople } from '../db/testing/people';
import type { ContractState } from '../domain/contract';
import { contractWorkflowId, sharedLifeIn } from '../domain/contract';
import { formatCredits, parseCredits } from '../domain/credits';
import { addDays, addMilliseconds, addMonths, type Instant, millisecondsOf, parseInstant } from '../domain/instant';
import type { Operation } from '../domain/operations';
import { contractState } from '../test/builders/contracts';
import { eventually } from '../test/world/eventually';
import { fastForward } from '../test/world/fastForward';
import { World } from '../test/world/world';
import type { contract } from './contract';
import { type AskedChange, contractViewQuery } from './messages';

jest.setTimeout(60_000);

let world: World;

beforeAll(async () => {
  world = await World.open();
  await world.serveContracts();
});
afterEach(async () => expect(await world.faults()).toEqual([]));
afterAll(() => world?.close());

/** A contract in UTC with one user, that began an hour ago; its workflow is started by the first word to it. */
class Contract {
  readonly id = uuidv7();
  readonly userId = uuidv7();
  /** Everything in a test is so long after this. */
  readonly begin: Instant = addMilliseconds(parseInstant(new Date().toISOString()), -3_600_000);
  private readonly ask = temporalWorkflows(world.client);
  private worlds = Math.floor(Math.random() * 2 ** 31);

  static async open(said: Partial<ContractState> & { months?: number } = {}): Promise<Contract> {
    const one = new Contract();
    const endsAt = addMonths(one.begin, said.months ?? 12, 'UTC');
    await insertPeople(world.db, {
      world: one.worlds,
      users: [one.userId],
      contracts: [{ contractId: one.id, startsAt: one.begin, endsAt }],
      authorisations: [{ contractId: one.id, userId: one.userId, authorisedAt: one.begin, removedAt: null }],
    });
    const state = {
      ...contractState({ startsAt: one.begin, endsAt, activatedAt: null }),
      contractId: one.id,
      ...said,
      version: 1,
    };
    await inTransaction(world.db, (trx) =>
      recordContractChange(trx, {
        contractId: one.id,
        requestId: 'create',
        kind: 'create',
        at: one.begin,
        actor: 'test',
        reason: 'a test',
        request: {},
        state,
      }),
    );
    return one;
  }

  get handle(): WorkflowHandle<typeof contract> {
    return world.client.workflow.getHandle(contractWorkflowId(this.id));
  }

  days(count: number): Instant {
    return addDays(this.begin, count, 'UTC');
  }

  async grant(
    credits: string,
    at: Instant,
    said: { kind?: 'courtesy'; expiresAt?: Instant; purchasedAt?: Instant } = {},
  ): Promise<string> {
    const id = uuidv7();
    const kind = said.kind ?? 'shared';
    const state = await this.state();
    const purchasedAt = kind === 'shared' ? (said.purchasedAt ?? at) : null;
    const life =
      kind === 'shared'
        ? sharedLifeIn(state, { effectiveAt: at, purchasedAt })
        : { expiresAt: said.expiresAt ?? null, graceUntil: null };
    await grantLot(world.ledger, {
      lot: {
        id,
        poolId: this.id,
        kind,
        purchasedAt,
        effectiveAt: at,
        source: kind === 'shared' ? 'purchase' : 'courtesy',
        amount: parseCredits(credits),
        expiresAt: life.expiresAt,
        graceUntil: life.graceUntil,
        reference: null,
        advance: false,
      },
      actor: 'test',
      reason: 'a test',
      at,
    });
    return id;
  }

  async state(): Promise<ContractState> {
    const [found] = await rows<{ state: ContractState }>(
      world.db,
      'select state from contract_changes where contract_id = ? order by number desc limit 1',
      [this.id],
    );
    if (!found) throw new Error('no change');
    return found.state;
  }

  touch(): Promise<void> {
    return this.ask.contractTouched(this.id);
  }

  change(change: AskedChange, requestId: string = randomUUID()): Promise<ContractState> {
    return this.ask.changeContract({ contractId: this.id, requestId, change, actor: 'test', reason: 'a test' });
  }

  /** Moves the contract's clock to an instant. */
  async goTo(instant: Instant): Promise<void> {
    const at = await this.clock();
    await fastForward(world.client, contractWorkflowId(this.id), Math.ceil((millisecondsOf(instant) - at) / 1_000) + 2);
  }

  /** Milliseconds of the workflow's own clock. */
  async clock(): Promise<number> {
    const { raw } = await this.handle.describe();
    const { currentTime } = raw.workflowExtendedInfo?.timeSkippingInfo ?? {};
    return currentTime?.seconds == null ? Date.now() : Number(currentTime.seconds) * 1_000;
  }

  apply(
    operation: Record<string, unknown> & { kind: string; at: Instant },
  ): Promise<{ accepted: boolean; code?: string }> {
    const common = { actor: 'test', reason: 'a test', contractId: this.id, userId: this.userId };
    return world.ledger.apply({ ...common, ...operation } as unknown as Operation) as never;
  }

  reserve(jobId: string, credits: string, at: Instant) {
    return this.apply({
      kind: 'reserve',
      act: 'reserve',
      jobId,
      amount: parseCredits(credits),
      cap: parseCredits(credits),
      project: null,
      at,
    });
  }

  settle(jobId: string, credits: string, at: Instant) {
    return this.apply({ kind: 'settle', act: 'close', jobId, actual: parseCredits(credits), at });
  }

  /** What moved in the contract's lots, in the order of the ledger: instant in days, from, to, credits. */
  async transfers(): Promise<string[]> {
    const found = await rows<{ bookedAt: Instant; from: string; to: string; amount: bigint; kind: string }>(
      world.db,
      `select t.booked_at as "bookedAt", t.from_bucket as "from", t.to_bucket as "to", t.amount, t.kind
       from transfers t
       join lots l on l.id = t.lot_id
       where l.pool_id = ?
       order by t.batch_id, t.operation_position, t.position`,
      [this.id],
    );
    const day = (instant: Instant) =>
      Math.round(((millisecondsOf(instant) - millisecondsOf(this.begin)) / 86_400_000) * 100) / 100;
    return found.map(
      ({ bookedAt, kind, from, to, amount }) =>
        `day ${day(bookedAt)} ${kind}: ${from} → ${to} ${formatCredits(amount)}`,
    );
  }
}

it('looks', async () => {
  const one = await Contract.open({ graceDays: 30 });
  const lot = await one.grant('10', one.days(0));
  await one.touch();
  await eventually('a look', async () => (await one.handle.query(contractViewQuery)).contract !== null);
  console.log(await one.handle.query(contractViewQuery), lot);
  await one.goTo(one.days(366));
  console.log(
    await one.clock(),
    new Date(await one.clock()),
    await one.transfers(),
    await one.handle.query(contractViewQuery),
  );
  await one.change({ kind: 'renew' });
  await one.goTo(one.days(800));
  console.log(new Date(await one.clock()), await one.transfers(), await one.state());
});
