/**
 * Compute elsewhere in the one suite: the real board in Postgres, the real REST routes, and the reference agent, which computes with
 * the embedded runner of this machine.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { createExternalBoard } from '../activities/externalBoard';
import { runAgent } from '../cli/agent';
import { insertSimulation } from '../db/testing/simulation';
import { packageRoot } from '../dev/root';
import { instantOfMilliseconds } from '../domain/instant';
import { claimerOf } from '../test/api/claimer';
import { scene } from '../test/api/inputs';
import { startApi, type TestApi } from '../test/api/server';
import { createEmbeddedRunner } from './embedded';
import { createExternalRunner } from './external';
import { isAlive, readProcess } from './processes';
import type { Run, RunEnd, Runner, RunSpec } from './runner';
import { alive, Bed, type RunnerPlace, until } from './testing/bed';
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

const boardOf = () => createExternalBoard({ db: api.db, store: api.store, now });

/** Writes the open attempt that a run is of: reports count only for one. @returns the job's id. */
async function openAttempt(digest = input): Promise<string> {
  const { id } = await insertSimulation(api.db);
  await api.owner.raw('update jobs set input_digest = ? where id = ?', [digest, id]);
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
  const external = createExternalRunner({ board: boardOf(), lookEveryMs: 20 });
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

describe('external', () => {
  const { claim } = claimerOf(() => api);
  let bed: Bed;

  beforeEach(() => {
    bed = new Bed(createTriedRunner);
  });

  afterEach(() => bed.close());

  it('ends when it is stopped, and the claimer kills an engine that ignores it', async () => {
    const spec = bed.spec([{ do: 'onTerm', steps: [] }, { do: 'work' }]);
    const run = await bed.workingSpec(spec);
    await run.stop(100);
    expect(await run.end).toMatchObject({ kind: 'stopped', message: 'It was stopped.' });
    await until(() => alive(spec).length === 0);
  }, 30_000);

  it('is a failure of the platform, told at once, when the claimer cannot start the engine', async () => {
    const spec = bed.spec([], { engine: { name: 'nowhere', onLostAttempt: 'restart' } });
    const run = await bed.startSpec(spec);
    expect(await run.end).toMatchObject({ kind: 'engine-failed', message: 'The engine could not be run elsewhere.' });
  });

  it('keeps what can be kept of a message that no API takes', async () => {
    const message = 'line 1: no \\u0000 and no half of \\ud83d is allowed';
    const end = await bed.ended([
      { do: 'write', text: `{"type":"failed","message":"${message}","counters":{}}\n` },
      { do: 'exit', code: 2 },
    ]);
    expect(end).toMatchObject({ kind: 'input-failed', message: 'line 1: no  and no half of  is allowed' });
  });

  it('is claimed by nobody while it is suspended', async () => {
    const external = createExternalRunner({ board: boardOf(), lookEveryMs: 20 });
    const engine = { name: `parked-${uuidv7().slice(-12)}`, onLostAttempt: 'restart' as const };
    const run = await external.start({ ...bed.spec([]), jobId: await openAttempt(), engine });
    try {
      await run.suspend();
      expect(await claim(engine.name)).toBeNull();
      await run.resume();
      expect(await claim(engine.name)).not.toBeNull();
    } finally {
      await run.stop(0);
    }
  });

  // A claimer that stands still cannot be told from one that is dead: both lose the attempt.
  it.each(['running', 'suspended'])(
    'is lost with a claimer that is killed while it is %s; none of its engines goes on once another swept',
    async (how) => {
      const home = join(bed.workFolder, 'home');
      const picture = await api.upload(scene(), { name: 'triangle.gltf', mediaType: 'model/gltf+json' });
      const external = createExternalRunner({ board: boardOf(), lookEveryMs: 20, lostAfterMs: 4_000 });
      const first = startAgentProcess(home);
      let heir: ChildProcess | undefined;
      const run = await external.start({
        ...bed.spec([]),
        jobId: await openAttempt(picture),
        engine: { name: 'render', onLostAttempt: 'restart' },
        parameters: { width: 8000, height: 8000, quality: 'final' },
      });
      try {
        await until(() => run.snapshot().fraction > 0 && livingIn(home).length > 0);
        if (how === 'suspended') await run.suspend();
        first.kill('SIGKILL');
        await once(first, 'exit');
        // The engine of a running attempt sees that its claimer is gone; a suspended one sees nothing.
        if (how === 'running') await until(() => livingIn(home).length === 0);
        else heir = startAgentProcess(home);
        await until(() => livingIn(home).length === 0);
        expect(await run.end).toMatchObject({
          kind: 'engine-failed',
          message: 'The compute of a host elsewhere was not heard of any more.',
        });
      } finally {
        await run.stop(0);
        for (const agent of [first, heir]) {
          if (agent?.kill('SIGINT')) await once(agent, 'exit');
        }
      }
    },
    60_000,
  );
});

/** The agent that people start, as a process of its own. */
function startAgentProcess(home: string): ChildProcess {
  const program = join(packageRoot(), 'dist', 'cli', 'main.js');
  const args = [program, 'agent', '--engine', 'render', '--name', 'a host elsewhere'];
  const { PATH } = process.env;
  const key = api.keys.compute?.key ?? '';
  const env = { PATH, HOME: home, HOLDFAST_HOME: home, HOLDFAST_URL: api.url, HOLDFAST_API_KEY: key };
  return spawn(process.execPath, args, { env, stdio: 'ignore' });
}

/** The processes that work in a folder. */
function livingIn(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && worksIn(pid, folder) && isAlive(readProcess(pid)));
}

function worksIn(pid: number, folder: string): boolean {
  try {
    return readlinkSync(`/proc/${pid}/cwd`).startsWith(folder);
  } catch {
    return false;
  }
}
