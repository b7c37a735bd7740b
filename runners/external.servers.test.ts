/**
 * Compute elsewhere in the one suite: the real board in Postgres, the real REST routes, and the reference agent, which computes with
 * the embedded runner of this machine.
 */
import { join } from 'node:path';
import pino from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { createExternalBoard } from '../activities/externalBoard';
import { runAgent } from '../cli/agent';
import { insertSimulation } from '../db/testing/simulation';
import { instantOfMilliseconds } from '../domain/instant';
import { startApi, type TestApi } from '../test/api/server';
import { createEmbeddedRunner } from './embedded';
import { createExternalRunner } from './external';
import type { Run, RunEnd, Runner, RunSpec } from './runner';
import type { RunnerPlace } from './testing/bed';
import { LACKS } from './testing/behaviour';
import { describeRunner } from './testing/conformance';

let api: TestApi;
let input: string;
const agents: { stop: AbortController; ended: Promise<void> }[] = [];

beforeAll(async () => {
  api = await startApi();
  input = await api.upload('the input');
}, 60_000);

afterEach(async () => {
  for (const { stop } of agents) stop.abort();
  await Promise.all(agents.splice(0).map(({ ended }) => ended));
}, 60_000);

afterAll(() => api?.close());

const now = () => instantOfMilliseconds(Date.now());

/** Writes the open attempt that a run is of: reports count only for one. @returns the job's id. */
async function openAttempt(): Promise<string> {
  const { id } = await insertSimulation(api.db);
  await api.owner.raw('update jobs set input_digest = ? where id = ?', [input, id]);
  await api.owner.raw(
    `insert into attempts (job_id, number, runner, worker, started_at) values (?, 1, 'external', 'test', now())`,
    [id],
  );
  return id;
}

/** An external runner with an agent of its own, whose attempts have the folders in which the suite looks. */
function createTriedRunner(place: RunnerPlace): Runner {
  const engine = `scripted-${uuidv7().slice(-12)}`;
  const specs = new Map<string, RunSpec>();
  const external = createExternalRunner({
    board: createExternalBoard({ db: api.db, store: api.store, now }),
    lookEveryMs: 20,
  });
  const local = createEmbeddedRunner(place);
  const stop = new AbortController();
  const ended = runAgent({
    url: api.url,
    key: api.keys.compute?.key ?? '',
    name: engine,
    // A name of its own, so that no other agent of this file claims its runs.
    engines: [{ name: engine, onLostAttempt: 'restart' }],
    runner: {
      ...local,
      start: (spec) => local.start({ ...spec, ...ownParts(specs.get(spec.jobId)) }),
    },
    workFolder: join(place.workFolder, 'agent'),
    runsMax: 10,
    log: pino({ level: 'silent' }),
    signal: stop.signal,
    heartbeatMs: 20,
    claimEveryMs: 20,
  });
  agents.push({ stop, ended });
  return {
    ...external,
    async start(spec): Promise<Run> {
      const jobId = await openAttempt();
      specs.set(jobId, spec);
      const run = await external.start({ ...spec, jobId, engine: { ...spec.engine, name: engine } });
      void run.end.then((_: RunEnd) => specs.delete(jobId));
      return run;
    },
  };
}

/** What the suite gave a run and the wire does not carry. */
function ownParts(spec: RunSpec | undefined): Partial<RunSpec> {
  return spec ? { engine: spec.engine, folder: spec.folder, inputPath: spec.inputPath } : {};
}

describeRunner('external', { create: createTriedRunner, host: [], lacks: LACKS.external ?? [] });
