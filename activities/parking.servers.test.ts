/**
 * Parking on the engines of the product that meter while they run, behind the walls where those work: a reservation that is too
 * small is topped up once; at the cap or without credits the engine stands still; consent or credits make it go on at once; and
 * after the grace it stops, keeps its part, and is paid for as far as was agreed.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEMO } from '../db/seed';
import { packageRoot } from '../dev/root';
import { describeWith } from '../engines/testing/sandbox';
import { type ProcessRow, readProcess, readProcessTable } from '../runners/processes';
import { scene } from '../test/api/inputs';
import { type Heard, startApi, type TestApi } from '../test/api/server';
import { eventually } from '../test/world/eventually';

jest.setTimeout(180_000);

/** No machine is so slow that a job is stopped while a test looks at others. */
const LONG_GRACE_SECONDS = 3600;
/** Three megapixels of final quality: three credits. */
const PICTURE = { width: 2000, height: 1500, quality: 'final', threads: 1 };

let api: TestApi;
let workFolder: string;

beforeAll(async () => {
  api = await startApi({ parkedGraceSeconds: LONG_GRACE_SECONDS });
  await api.startJobsWorker();
  workFolder = await api.startSandboxWorker(2 * 1024 ** 3);
}, 60_000);

afterEach(() => {
  api.settings.parkedGraceSeconds = LONG_GRACE_SECONDS;
});

afterAll(() => api?.close());

const jobOf = async (id: string): Promise<Heard['body']> =>
  (await api.ask('GET', `/v1/jobs/${id}`, { as: 'operator' })).body;
const when = (id: string, what: string, holds: (job: Heard['body']) => boolean) =>
  eventually(
    `job ${id} ${what}`,
    async () => {
      const job = await jobOf(id);
      return holds(job) && job;
    },
    120_000,
  );
const ended = (id: string) => when(id, 'at its end', ({ state }) => ['settled', 'released'].includes(state));
const parked = (id: string, reason: string) =>
  when(id, `parked for ${reason}`, (job) => job.state === 'parked' && job.reason === reason);

/** What happened to a job, in order. */
async function kindsOf(id: string): Promise<string[]> {
  const events = await api.db.raw('select kind from job_events where job_id = ? order by seq', [id]);
  return events.rows.map(({ kind }: { kind: string }) => kind);
}

/** The first process of a job's run. */
function processOf(id: string) {
  const folder = join(workFolder, 'runs');
  const records = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
  return readProcess(records.find(({ jobId }) => jobId === id)?.pid ?? 0);
}

/** The first process of a job's run and all that descend from it: the walls, the engine, and the program that it drives. */
function treeOf(id: string): ProcessRow[] {
  const table = [...(readProcessTable()?.values() ?? [])];
  const tree = [processOf(id)].filter((row) => row !== undefined);
  // Whoever joins is looked at for children of its own.
  for (const { pid } of tree) tree.push(...table.filter(({ parent }) => parent === pid));
  return tree;
}

// Skipped where bubblewrap or POV-Ray is not installed.
describeWith(['bwrap', 'povray'])('on the engine', () => {
  describe.each([
    ['render', 'triangle.gltf', () => scene(), { samples: 4 }],
    ['povray', 'hall.pov', () => readFileSync(join(packageRoot(), 'samples', 'hall.pov'), 'utf8'), { samples: 1 }],
  ])('%s', (engine, name, content, quick) => {
    let input: string;
    beforeAll(async () => {
      const body = content();
      const headers = { 'Content-Type': 'application/octet-stream' };
      for (const as of ['submitter', 'contractAdmin'] as const) {
        input = (await api.ask('POST', `/v1/inputs?name=${name}`, { as, key: null, body, headers })).body.digest;
      }
    });

    async function submit(
      { height = PICTURE.height, ...more }: Record<string, unknown>,
      as: 'submitter' | 'contractAdmin' = 'submitter',
    ): Promise<string> {
      const parameters = { ...PICTURE, ...quick, height };
      const json = { service: 'rendering', input, parameters, contractId: DEMO.contract, expected: '1', ...more };
      const { status, body } = await api.ask('POST', '/v1/jobs', { as, json });
      expect({ status, route: body.route }).toEqual({ status: 201, route: { runner: 'sandbox', engine } });
      return body.id;
    }

    it('a reservation that is too small is topped up once', async () => {
      const id = await submit({ maxCredits: '9' });
      expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'completed', charged: '3' });
      expect((await kindsOf(id)).filter((kind) => kind === 'topped-up')).toHaveLength(1);
    });

    it('at its cap it stands still, and consent makes it go on to its whole picture', async () => {
      const id = await submit({ maxCredits: '1' });
      await parked(id, 'cap');
      const stopped = treeOf(id);
      expect(stopped.length).toBeGreaterThan(1);
      expect(new Set(stopped.map(({ state }) => state))).toEqual(new Set(['T']));
      // As long as another picture takes, none of its processes uses any of the processors' time.
      const other = await submit({ maxCredits: '1', height: 500 });
      expect(await ended(other)).toMatchObject({ state: 'settled', reason: 'completed', charged: '1' });
      expect(treeOf(id)).toEqual(stopped);
      await api.ask('POST', `/v1/jobs/${id}/raise-cap`, { json: { maxCredits: '4' } });
      expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'completed', charged: '3' });
      expect(await kindsOf(id)).toEqual(expect.arrayContaining(['parked', 'cap-raised', 'resumed', 'settled']));
      const { items } = (await api.ask('GET', `/v1/jobs/${id}/results`)).body;
      expect(items.map(({ name }: { name: string }) => name)).toContain('image.png');
    });

    it('without credits it stands still, and goes on as soon as some arrive', async () => {
      // The administrator has no credits of their own, and the picture costs two more than the contract has.
      const contractId = DEMO.smallContract;
      const { available } = (await api.ask('GET', `/v1/contracts/${contractId}/balance`, { as: 'provider' })).body;
      const cost = Number(available) + 2;
      const id = await submit({ maxCredits: '20', contractId, height: 500 * cost }, 'contractAdmin');
      await parked(id, 'credits');
      expect(processOf(id)).toMatchObject({ state: 'T' });
      const json = { kind: 'shared', amount: '5', reason: 'more to compute' };
      expect((await api.ask('POST', `/v1/contracts/${contractId}/lots`, { as: 'provider', json })).status).toBe(201);
      expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'completed', charged: String(cost) });
    });

    it('after the grace it stops, keeps the part that it made, and is paid for as far as was agreed', async () => {
      api.settings.parkedGraceSeconds = 5;
      const id = await submit({ maxCredits: '1' });
      await parked(id, 'cap');
      expect(await ended(id)).toMatchObject({ state: 'settled', reason: 'out-of-credits', charged: '1' });
      const { items } = (await api.ask('GET', `/v1/jobs/${id}/results`)).body;
      const part = items.find(({ name }: { name: string }) => name === 'partial.png');
      expect(part).toMatchObject({ mediaType: 'image/png' });
      expect((await api.ask('GET', part.url)).status).toBe(200);
    });
  });
});
