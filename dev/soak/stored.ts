/**
 * A soak of the whole ledger: a Postgres of its own, and so many worlds at once that their operations share batches. With
 * faults connections break in the middle of what is said, sessions are ended and answers are lost; then an operation is sent
 * again until it is answered.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { connect, type Db, firstRow, isUnavailable, rows } from '../../db/client';
import { type Ledger, openLedger } from '../../db/ledger';
import { migrate } from '../../db/migrate';
import { brokenInvariants } from '../../db/testing/invariants';
import { StoredLedger } from '../../db/testing/storedLedger';
import type { Operation } from '../../domain/operations';
import {
  type Answered,
  type History,
  historyOf,
  isStrangers,
  runBesideModel,
  shortestFailure,
} from '../../test/builders/histories';
import { newTally, type Tally } from '../../test/builders/tally';
import type { World } from '../../test/builders/unitOperations';
import { type Chance, chanceOf } from '../chaos/chance';
import { startPostgres } from '../postgres';
import { packageRoot } from '../root';
import { openFaultyWire } from './faultyWire';
import { FINDINGS_MAX, HISTORY_STEPS, type SoakOptions, type SoakSummary, startProgress, summaryOf } from './summary';

interface StoredOptions extends SoakOptions {
  /** How many are under way at once. */
  readonly worlds: number;
  readonly faults: boolean;
  readonly durable: boolean;
}

/** After so many operations a fresh database is taken, while the laws of the last are looked at: so the disk holds out. */
const OPERATIONS_PER_DATABASE = 1_000_000;
/** One of so many chunks of what is said is cut. */
const CUT_ONE_IN = 300;
const LOSE_ONE_IN = 50;
const END_SESSION_AFTER_MS = { low: 200, high: 2_000 };
const VICTIM = 'holdfast-soak';
/** For what worlds begin with and what they hold at their end. */
const CONNECTIONS = 4;

interface Place {
  readonly db: Db;
  readonly ledger: Ledger;
  readonly gate: Gate;
}

interface Soak {
  readonly options: StoredOptions;
  readonly chance: Chance;
  readonly tally: Tally;
  readonly findings: string[];
  readonly faults: Record<'cut' | 'sessionsEnded' | 'answersLost' | 'errors', number>;
  worlds: number;
  batches: number;
}

export async function runOnPostgres(options: StoredOptions): Promise<SoakSummary> {
  const from = performance.now();
  const soak: Soak = {
    options,
    chance: chanceOf(options.seed),
    tally: newTally(),
    findings: [],
    faults: { cut: 0, sessionsEnded: 0, answersLost: 0, errors: 0 },
    worlds: 0,
    batches: 0,
  };
  const folder = await mkdtemp(join(tmpdir(), 'holdfast-soak-'));
  const postgres = await startPostgres({ folder, durable: options.durable });
  const stopProgress = startProgress(options, soak.tally, () =>
    options.faults ? `, faults ${JSON.stringify(soak.faults)}` : '',
  );
  try {
    let looking = Promise.resolve();
    for (let number = 1; !isDone(soak); number++) {
      const look = await runOnDatabase(soak, postgres.url, `soak_${number}`);
      await looking;
      looking = look().catch((error) => {
        soak.findings.push(`the laws could not be looked at: ${messageOf(error)}`);
      });
    }
    await looking;
  } finally {
    stopProgress();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
  return summaryOf(options, { ...soak, from });
}

function isDone({ options: { operations, only }, tally, worlds, findings }: Soak): boolean {
  if (findings.length >= FINDINGS_MAX) return true;
  return only === undefined ? tally.operations >= operations : worlds >= 1;
}

/** Runs worlds on a fresh database. @returns what is left to do with it, beside whatever runs next. */
async function runOnDatabase(soak: Soak, serverUrl: string, name: string): Promise<() => Promise<void>> {
  const server = connect(serverUrl, { poolMax: 1, as: 'owner' });
  await server.raw('create database ??', [name]);
  const url = Object.assign(new URL(serverUrl), { pathname: `/${name}` }).toString();
  const owner = connect(url, { poolMax: 1, as: 'owner' });
  await migrate(owner, join(packageRoot(), 'db/migrations'));
  await runThroughFaults(soak, server, url);
  return async () => {
    soak.options.say(`looking at the laws in ${name}`);
    // The laws look at everything: without statistics, or one row at a time, that would take longer than all the rest.
    await owner.raw('analyze');
    await owner.raw('set enable_nestloop = off');
    soak.findings.push(...(await brokenInvariants(owner)));
    const found = await firstRow<{ count: bigint }>(owner, 'select count(*) from batches');
    soak.batches += Number(found?.count);
    await owner.destroy();
    await server.raw('drop database ?? with (force)', [name]);
    await server.destroy();
  };
}

/** Runs worlds side by side; only the ledger is behind a wire that breaks, not what worlds begin with and are looked at. */
async function runThroughFaults(soak: Soak, server: Db, url: string): Promise<void> {
  const { faults, worlds } = soak.options;
  const wire = await openFaultyWire(url, soak.chance, () => {
    soak.faults.cut += 1;
  });
  const db = connect(url, { poolMax: CONNECTIONS });
  const victim = connect(faults ? wire.url : url, { applicationName: VICTIM });
  const ledger = openLedger(victim);
  const calm = new AbortController();
  if (faults) wire.break(CUT_ONE_IN);
  const ending = faults ? endSessions(soak, server, calm.signal) : undefined;
  try {
    const until = soak.tally.operations + OPERATIONS_PER_DATABASE;
    const place = { db, ledger, gate: gateOf(CONNECTIONS), until };
    await Promise.all(Array.from({ length: worlds }, () => runWorlds(soak, place)));
  } finally {
    calm.abort();
    await ending;
    wire.break(null);
    await ledger.close();
    await Promise.all([victim.destroy(), db.destroy()]);
    await wire.close();
  }
}

/** One world after the other, until there were enough operations. */
async function runWorlds(soak: Soak, place: Place & { until: number }): Promise<void> {
  const { seed, only } = soak.options;
  while (!isDone(soak) && soak.tally.operations < place.until) {
    soak.worlds += 1;
    const world = only ?? soak.worlds;
    const history = historyOf({ seed, world }, HISTORY_STEPS);
    try {
      await runWorld(soak, place, { history, world });
    } catch (error) {
      // A fault of the ledger is found by many worlds at once: a few tell enough.
      if (isDone(soak)) return;
      soak.findings.push(`world ${world}: ${messageOf(error)}`);
      soak.options.say(`a finding in world ${world}: ${messageOf(error).split('\n')[0]}`);
      if (!soak.options.faults) soak.findings.push(await shortened(soak, place, { history, world }));
    }
  }
}

async function runWorld(soak: Soak, place: Place, { history, world }: { history: History; world: number }) {
  const { db, ledger, gate } = place;
  const { faults } = soak.options;
  const send = faults ? sendThroughFaults(soak, ledger) : sendTogether(ledger);
  const stored = new StoredLedger(db, world, send);
  // Hundreds of worlds that begin at once would wait for a connection longer than a client waits.
  const gated = {
    open: (people: World) => gate(() => stored.open(people)),
    apply: send,
    look: () => gate(() => stored.look()),
  };
  await runBesideModel(history, gated, {
    tally: soak.tally,
    world,
    lookEvery: Number.POSITIVE_INFINITY,
    // Only what names a pool in common is decided in the order in which it is asked.
    ...(faults ? { batchMax: 1 } : { apart: isStrangers }),
  });
}

/** Worlds of shortened histories are numbered from here. */
const SHORTENED_FROM = 0x8000_0000;
const SHORTENING_TRIES = 300;

/** The fewest steps that show the same, when the world is alone and nothing breaks. */
async function shortened(soak: Soak, place: Place, failed: { history: History; world: number }): Promise<string> {
  let number = SHORTENED_FROM + failed.world * (SHORTENING_TRIES + 2);
  const apart = { ...soak, tally: newTally() };
  const run = (history: History) => {
    number += 1;
    return runWorld(apart, place, { history, world: number });
  };
  return `world ${failed.world} shortened: ${(await shortestFailure(failed.history, run, SHORTENING_TRIES)).message}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Lets so many at once do their work; the others wait in the order in which they came. */
type Gate = <T>(work: () => Promise<T>) => Promise<T>;

function gateOf(atOnce: number): Gate {
  const waiting: (() => void)[] = [];
  let free = atOnce;
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}

type Send = (operations: readonly Operation[]) => Promise<Answered>;

/** All at once: the ledger decides them in the order in which they are asked. */
function sendTogether(ledger: Ledger): Send {
  return async (operations) => ({ outcomes: await Promise.all(operations.map((one) => ledger.apply(one))), sent: 1 });
}

/** One after the other, each until it is answered: what was asked at once could overtake when a part of it is lost. */
function sendThroughFaults(soak: Soak, ledger: Ledger): Send {
  return async ([operation, ...others]) => {
    if (!operation || others.length > 0) throw new Error('with faults operations are sent one by one');
    for (let sent = 1; ; sent++) {
      try {
        const outcome = await ledger.apply(operation);
        if (soak.chance.between(1, LOSE_ONE_IN) > 1) return { outcomes: [outcome], sent };
        soak.faults.answersLost += 1;
      } catch (error) {
        if (!isUnavailable(error)) throw error;
        soak.faults.errors += 1;
      }
    }
  };
}

/** Ends one session of the ledger after the other, at random instants. */
async function endSessions(soak: Soak, server: Db, calm: AbortSignal): Promise<void> {
  const { chance, faults } = soak;
  while (!calm.aborted) {
    const pause = chance.between(END_SESSION_AFTER_MS.low, END_SESSION_AFTER_MS.high);
    await delay(pause, undefined, { signal: calm }).catch(() => undefined);
    const sessions = await rows<{ pid: number }>(
      server,
      'select pid from pg_stat_activity where application_name = ?',
      [VICTIM],
    );
    if (sessions.length === 0) continue;
    await rows(server, 'select pg_terminate_backend(?)', [chance.pick(sessions).pid]);
    faults.sessionsEnded += 1;
  }
}
