/**
 * Contracts that live for years: how fast their workflows start, what they cost while nothing happens, and how long it takes
 * until an instant is booked at which lots of a thousand of them expire, with jobs reserving all the while.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { v7 as uuidv7 } from 'uuid';
import { temporalWorkflows } from '../../api/temporal';
import { firstRow } from '../../db/client';
import { DEMO } from '../../db/seed';
import { contractWorkflowId } from '../../domain/contract';
import { parseCredits } from '../../domain/credits';
import { addMonths, type Instant, instantOfMilliseconds, millisecondsOf } from '../../domain/instant';
import { jobWorkflowId } from '../../domain/job';
import type { GrantOperation } from '../../domain/operations';
import { type Effort, type Figure, figure, percentile, rounded } from './figure';
import { cpuSeconds } from './ledger/cpu';
import type { BenchWorld } from './world';

const DAY_MS = 86_400_000;
/** Contracts with a lot that expires at the instant that is measured. */
const EXPIRING = 1_000;
const STARTS_AT_ONCE = 32;
const IDLE_MS = 30_000;
const BASELINE_MS = 20_000;
const SUBMITTERS = 2;
const GRANTS_AT_ONCE = 500;

export async function benchContracts(world: BenchWorld, { contracts: alive }: Effort): Promise<Figure[]> {
  const expiring = Math.min(EXPIRING, Math.ceil(alive / 2));
  const memoryBefore = memory(world);
  const contractIds = await writeContracts(world, alive);
  const quiet = contractIds.slice(expiring);
  await grantLots(world, quiet, instantOfMilliseconds(Date.now() - DAY_MS));
  const rate = await start(world, quiet);
  const idle = await idleCost(world);
  const memoryAfter = memory(world);
  // Late enough for the rest to have started, and for a baseline.
  const untilMs = (1_000 * expiring) / rate + BASELINE_MS + 15_000;
  const { purchasedAt, expiresAt } = twelveMonthsBefore(Date.now() + Math.ceil(untilMs));
  await grantLots(world, contractIds.slice(0, expiring), purchasedAt);
  await start(world, contractIds.slice(0, expiring));
  const before = await submitUntil(world, millisecondsOf(expiresAt) - 500);
  await waitUntil(millisecondsOf(expiresAt));
  const booked = booking(world, expiresAt, expiring);
  let isOver = false;
  const during = submitWhile(world, () => !isOver);
  const seconds = await booked;
  isOver = true;
  const [baseline, loaded] = [before.sort(ascending), (await during).sort(ascending)];
  await terminateAll(world, contractIds);
  const params = { contracts: alive, expiring };
  return [
    figure({ name: 'contracts-start', params: { ...params, atOnce: STARTS_AT_ONCE }, ours: rate, unit: 'workflows/s' }),
    figure({
      name: 'contracts-idle',
      params: { ...params, seconds: IDLE_MS / 1_000 },
      ours: idle.processors,
      unit: 'processors busy',
      seen: { byProcess: idle.byProcess, mebibytesBefore: memoryBefore, mebibytesAlive: memoryAfter },
    }),
    figure({
      name: 'contracts-instant',
      params,
      ours: seconds,
      unit: 's until all are booked',
      goal: { of: 'ours', bound: '<=', value: 60 },
    }),
    figure({
      name: 'contracts-instant-jobs',
      params: { ...params, submitters: SUBMITTERS },
      ours: percentile(loaded, 0.99),
      baseline: percentile(baseline, 0.99),
      unit: 'ms p99 of POST /v1/jobs',
      goal: { of: 'ratio', bound: '<=', value: 2 },
      seen: {
        jobsBefore: baseline.length,
        jobsDuring: loaded.length,
        medianBefore: rounded(percentile(baseline, 0.5)),
        medianDuring: rounded(percentile(loaded, 0.5)),
      },
    }),
  ];
}

/** Rows as the API writes them, many at once, with one administrator for all. */
async function writeContracts({ db }: BenchWorld, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => uuidv7());
  const startsAt = instantOfMilliseconds(Date.now() - 400 * DAY_MS);
  await db.raw(
    `insert into contracts (id, customer_id, name, starts_at, ends_at, time_zone)
     select id, ?, 'Contract to measure', ?, ?, 'UTC' from unnest(?::uuid[]) as id`,
    [DEMO.customer, startsAt, addMonths(startsAt, 60, 'UTC'), ids],
  );
  await db.raw(
    `insert into contract_users (contract_id, user_id, role, authorised_at)
     select id, ?, 'contract-admin', ? from unnest(?::uuid[]) as id`,
    [DEMO.people.contractAdmin.id, startsAt, ids],
  );
  return ids;
}

async function grantLots({ ledger }: BenchWorld, contractIds: readonly string[], purchasedAt: Instant): Promise<void> {
  const lots = contractIds.map((poolId) => lotOf(poolId, purchasedAt));
  for (let from = 0; from < lots.length; from += GRANTS_AT_ONCE) {
    const outcomes = await ledger.applyBatch(lots.slice(from, from + GRANTS_AT_ONCE));
    if (outcomes.some(({ accepted }) => !accepted)) throw new Error('a lot to measure with was not granted');
  }
}

function lotOf(poolId: string, purchasedAt: Instant): GrantOperation {
  return {
    kind: 'grant',
    act: 'grant',
    at: purchasedAt,
    actor: 'bench',
    reason: 'credits to measure with',
    lot: {
      id: uuidv7(),
      poolId,
      kind: 'shared',
      source: 'purchase',
      amount: parseCredits('100'),
      effectiveAt: purchasedAt,
      expiresAt: addMonths(purchasedAt, 12, 'UTC'),
      graceUntil: null,
      purchasedAt,
      reference: null,
      advance: false,
    },
  };
}

/** Starts the workflows and waits until each has looked at its calendar. @returns how many a second. */
async function start({ client, db }: BenchWorld, contractIds: readonly string[]): Promise<number> {
  const { contractTouched } = temporalWorkflows(client);
  const began = performance.now();
  const left = [...contractIds];
  const lane = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) await patiently(contractTouched, id);
  };
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, lane));
  await until(async () => {
    const found = await firstRow<{ count: bigint }>(
      db,
      'select count(*) from contract_watches where contract_id = any(?::uuid[])',
      [contractIds],
    );
    return Number(found?.count) === contractIds.length;
  });
  return contractIds.length / ((performance.now() - began) / 1_000);
}

/** A busy server may answer later than the API would wait. */
async function patiently(touch: (id: string) => Promise<void>, id: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await touch(id);
    } catch (error) {
      if (attempt === 5) throw error;
    }
  }
}

async function idleCost({ processes }: BenchWorld) {
  const used = () => Object.entries(processes).map(([name, pid]) => [name, cpuSeconds(pid) ?? Number.NaN] as const);
  const before = new Map(used());
  await wait(IDLE_MS);
  const each = used().map(
    ([name, seconds]) => [name, (seconds - (before.get(name) ?? 0)) / (IDLE_MS / 1_000)] as const,
  );
  const byProcess = Object.fromEntries(each.map(([name, busy]) => [name, rounded(busy)]));
  return { processors: each.reduce((sum, [, busy]) => sum + busy, 0), byProcess };
}

/** Resident memory that is no other process's, in mebibytes; Postgres with its children. */
function memory({ processes }: BenchWorld): Record<string, number> {
  return Object.fromEntries(
    Object.entries(processes).map(([name, pid]) => {
      const family = [pid, ...childrenOf(pid)];
      return [name, Math.round(family.reduce((sum, one) => sum + privateKibibytes(one), 0) / 1_024)];
    }),
  );
}

function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((name) => new RegExp(`^PPid:\\s+${pid}$`, 'm').test(read(`/proc/${name}/status`)))
    .map(Number);
}

function privateKibibytes(pid: number): number {
  return Number(/^RssAnon:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1] ?? 0);
}

/** Empty for a process that ended meanwhile. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** A purchase whose twelve months end at an instant, to the day's own length of the years between. */
function twelveMonthsBefore(milliseconds: number): { purchasedAt: Instant; expiresAt: Instant } {
  const purchasedAt = addMonths(instantOfMilliseconds(milliseconds), -12, 'UTC');
  return { purchasedAt, expiresAt: addMonths(purchasedAt, 12, 'UTC') };
}

/** @returns seconds from the instant until the end of every lot is booked. */
async function booking({ db }: BenchWorld, expiresAt: Instant, count: number): Promise<number> {
  await until(async () => {
    const found = await firstRow<{ count: bigint }>(
      db,
      `select count(*) from lots where expires_at = ? and ended_as = 'expired'`,
      [expiresAt],
    );
    return Number(found?.count) === count;
  });
  return (Date.now() - millisecondsOf(expiresAt)) / 1_000;
}

function submitUntil(world: BenchWorld, milliseconds: number): Promise<number[]> {
  return submitWhile(world, () => Date.now() < milliseconds);
}

/** Submits jobs from a few people at once, each the next when its last is reserved. @returns milliseconds of each. */
async function submitWhile(world: BenchWorld, goesOn: () => boolean): Promise<number[]> {
  const took: number[] = [];
  const person = async () => {
    while (goesOn()) {
      const began = performance.now();
      const { id } = await world.call<{ id: string }>('POST', '/v1/jobs', { quoteId: world.quoteId });
      took.push(performance.now() - began);
      await world.client.workflow.getHandle(jobWorkflowId(id)).result();
    }
  };
  await Promise.all(Array.from({ length: SUBMITTERS }, person));
  return took;
}

async function terminateAll({ client }: BenchWorld, contractIds: readonly string[]): Promise<void> {
  const left = [...contractIds];
  const lane = async () => {
    for (let id = left.pop(); id !== undefined; id = left.pop()) {
      await client.workflow
        .getHandle(contractWorkflowId(id))
        .terminate('measured')
        .catch(() => undefined);
    }
  };
  await Promise.all(Array.from({ length: STARTS_AT_ONCE }, lane));
}

async function waitUntil(milliseconds: number): Promise<void> {
  const left = milliseconds - Date.now();
  if (left < 0) throw new Error('the instant to measure came before everything was ready; measure fewer contracts');
  await wait(left);
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const began = performance.now();
  while (!(await holds())) {
    if (performance.now() - began > 900_000) throw new Error('what is measured did not come to its end in 15 minutes');
    await wait(100);
  }
}

function ascending(a: number, b: number): number {
  return a - b;
}
