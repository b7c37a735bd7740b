/** Where external runs are put up: the database, and the object store that keeps what their claimers send. */
import { setTimeout as wait } from 'node:timers/promises';
import { type Db, isUnavailable } from '../db/client';
import { closeExternalRun, externalStates, offerExternalRun, wishOfExternalRun } from '../db/externalRuns';
import type { ObjectStore } from '../db/objectStore';
import { BillingError } from '../domain/errors';
import type { Instant } from '../domain/instant';
import type { ExternalBoard } from '../runners/external';

const AGAIN_MS = 500;

export function createExternalBoard(options: { db: Db; store: ObjectStore; now: () => Instant }): ExternalBoard {
  const { db, store, now } = options;
  return {
    offer: (run) => insist(() => offerExternalRun(db, run, now())),
    look: (runs) => unlessAway(() => externalStates(db, runs)),
    wish: (run, wants) => insist(() => wishOfExternalRun(db, run, wants)),
    close: (run) => insist(() => closeExternalRun(db, run, now())),
    pathOf: (digest) => insist(() => store.pathOf(digest)),
  };
}

/** @returns what the act gives, or `undefined` when the database or the object store is away. */
async function unlessAway<T>(act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    if (isUnavailable(error) || (error instanceof BillingError && error.code === 'unavailable')) return undefined;
    throw error;
  }
}

async function insist<T>(act: () => Promise<T>): Promise<T> {
  for (;;) {
    const done = await unlessAway(async () => ({ value: await act() }));
    if (done) return done.value;
    await wait(AGAIN_MS);
  }
}
