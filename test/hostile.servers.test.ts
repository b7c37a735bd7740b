/**
 * Strangers' files that want more than to be computed, submitted over REST beside an honest job: what can be seen is refused at
 * the quote, the rest ends behind walls, nobody is charged for it, and the honest job never notices.
 */
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEMO } from '../db/seed';
import { zip } from '../dev/samples/zip';
import { describeWith } from '../engines/testing/sandbox';
import { NETLIST, netlistWith, scene } from './api/inputs';
import { type Heard, startApi, type TestApi } from './api/server';
import { eventually } from './world/eventually';

jest.setTimeout(180_000);

let api: TestApi;
let workFolder: string;
let honest: string;

// Whether programs are installed or not, what is refused at the quote is refused.
beforeAll(async () => {
  api = await startApi();
  honest = await api.upload(NETLIST);
  await api.startJobsWorker();
  workFolder = await api.startSandboxWorker(192 * 2 ** 20);
}, 60_000);

afterAll(() => api?.close());

async function upload(content: string | Buffer, name: string): Promise<string> {
  const mediaType = 'application/octet-stream';
  const body = typeof content === 'string' ? content : new Uint8Array(content);
  const answer = await api.ask('POST', `/v1/inputs?name=${name}`, {
    key: null,
    body,
    headers: { 'Content-Type': mediaType },
  });
  expect(answer.status).toBe(201);
  return answer.body.digest;
}

async function submit(service: string, input: string, more: Record<string, unknown> = {}): Promise<Heard> {
  const json = { service, input, contractId: DEMO.contract, maxCredits: '5', ...more };
  return api.ask('POST', '/v1/jobs', { json });
}

async function ended(id: string): Promise<Heard['body']> {
  const job = async () => (await api.ask('GET', `/v1/jobs/${id}`)).body;
  await eventually(`job ${id} at its end`, async () => ['settled', 'released'].includes((await job()).state), 120_000);
  return job();
}

describe('refused at the quote, with nothing reserved', () => {
  const bomb = Buffer.alloc(64 * 2 ** 20);
  const link = { name: 'scene.pov', content: '/etc/passwd', mode: 0o120777 };
  const accessors = [
    { bufferView: 0, componentType: 5126, count: 3, type: 'VEC3', min: [0, 0, 0], max: [1, 1, 0] },
    { componentType: 5125, type: 'SCALAR', count: 1_000_000_000 },
  ];
  const DECK = '*NODE\n1,0,0,0\n*INCLUDE,INPUT=/etc/passwd\n*STEP\n*STATIC\n*END STEP\n';

  test.each<[string, string, string, string | Buffer, Record<string, unknown>]>([
    ['a glTF scene of a billion indices', 'rendering', 'x.gltf', scene({ accessors }), { width: 64, height: 64 }],
    [
      'a scene in a zip bomb',
      'rendering',
      'x.zip',
      zip([{ name: 'scene.pov', content: bomb }]),
      { width: 64, height: 64 },
    ],
    ['a scene that is a link', 'rendering', 'x.zip', zip([link]), { width: 64, height: 64 }],
    [
      'a scene that leads out',
      'rendering',
      'x.zip',
      zip([{ name: '../s.pov', content: 'x' }]),
      { width: 64, height: 64 },
    ],
    [
      'a scene that includes a file of the machine',
      'rendering',
      'x.pov',
      '#include "/etc/hostname"\ncamera {}',
      { width: 64, height: 64 },
    ],
    ['an OpenFOAM case in a zip bomb', 'cfd', 'x.zip', zip([{ name: 'system/controlDict', content: bomb }]), {}],
    ['an OpenFOAM case with a link', 'cfd', 'x.zip', zip([{ ...link, name: 'system/controlDict' }]), {}],
    ['an OpenFOAM case that leads out', 'cfd', 'x.zip', zip([{ name: '../../etc/cron.d/x', content: 'x' }]), {}],
    ['a deck that includes a file', 'structural-analysis', 'x.inp', DECK, {}],
    ['a netlist that runs a command', 'simulation', 'x.cir', netlistWith('.control', 'shell id', '.endc', '.op'), {}],
  ])('%s', async (_what, service, name, content, parameters) => {
    const answer = await submit(service, await upload(content, name), { parameters });
    expect(answer).toMatchObject({ status: 422, body: { code: 'input_invalid' } });
    expect(answer.body.detail.length).toBeGreaterThan(20);
  });
});

// Skipped where POV-Ray or bubblewrap is not installed.
describeWith(['bwrap', 'povray'])('run behind walls', () => {
  const outside = join(tmpdir(), `holdfast-written-${process.pid}`);
  const HEAD = '#version 3.7;\nglobal_settings { assumed_gamma 1 }\ncamera { location -3*z look_at 0 }\n';

  test.each<[string, string, Record<string, unknown>, string[]]>([
    [
      'a scene that writes outside',
      `#fopen F "${outside}" write\n#write (F, "x")\n`,
      {},
      ['completed', 'input-failed'],
    ],
    ['a scene that reads outside', '#fopen F "/etc/passwd" read\n#read (F, A)\n', {}, ['input-failed']],
    ['a scene that never ends', '#declare I=0;\n#while (I < 1) #end\n', { timeLimitSeconds: 1 }, ['time-limit']],
    [
      'a scene that takes all memory',
      '#declare I=0;\n#declare A=array[90000000]\n#while (I<90000000) #declare A[I]=<I,I,I>; #declare I=I+1; #end\n',
      { timeLimitSeconds: 30 },
      ['platform-failed', 'input-failed', 'time-limit'],
    ],
  ])('%s costs nothing, and the job beside it never notices', async (_what, lines, more, reasons) => {
    const input = await upload(`${HEAD}${lines}`, 'hostile.pov');
    const hostile = await submit('rendering', input, { parameters: { width: 64, height: 48 }, ...more });
    expect(hostile).toMatchObject({ status: 201, body: { route: { runner: 'sandbox', engine: 'povray' } } });
    const beside = await submit('simulation', honest);
    expect(await ended(beside.body.id)).toMatchObject({ state: 'settled', charged: '5' });
    const end = await ended(hostile.body.id);
    // The picture is small enough to be free, should the walls let the scene believe that it wrote.
    expect([null, '0']).toContain(end.charged);
    expect(reasons).toContain(end.reason);
    expect(existsSync(outside)).toBe(false);
    // No attempt's folder and no record of a run is left: nothing of it lives.
    await eventually('a tidy work folder', () => readdirSync(workFolder).every((name) => name === 'runs'));
    expect(readdirSync(join(workFolder, 'runs'))).toEqual([]);
  });
});
