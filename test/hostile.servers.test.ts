/**
 * Strangers' files that want more than to be computed, submitted over REST beside an honest job: what can be seen is refused at
 * the quote, the rest ends behind walls, nobody is charged for it, and the honest job never notices.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DEMO } from '../db/seed';
import { zip } from '../dev/samples/zip';
import { describeWith } from '../engines/testing/sandbox';
import { isAlive, readProcessTable } from '../runners/processes';
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
  workFolder = await api.startSandboxWorker(192 * 2 ** 20, { bytesMax: 8 * 2 ** 20, filesMax: 1000 });
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
  const CODE = 'application #codeStream { code #{ system("id"); #}; };\n';
  const GEOMETRY = 'Point(1) = {0,0,0};\nSystemCall "id";\n';
  const COMMANDS = netlistWith('.control', 'shell id', '.endc', '.op');
  const DECK = '*NODE\n1,0,0,0\n*INCLUDE,INPUT=/etc/passwd\n*STEP\n*STATIC\n*END STEP\n';

  const SIZE = { width: 64, height: 64 };
  const archive = (name: string, content: string | Buffer) => zip([{ name, content }]);

  test.each<[string, string, string, string | Buffer, RegExp]>([
    ['a glTF scene of a billion indices', 'rendering', 'x.gltf', scene({ accessors }), /more than 1 GiB of numbers/],
    ['a scene in a zip bomb', 'rendering', 'x.zip', archive('scene.pov', bomb), /more than may be unpacked/],
    ['a scene that is a link', 'rendering', 'x.zip', zip([link]), /is a link/],
    ['a scene that leads out', 'rendering', 'x.zip', archive('../s.pov', 'x'), /invalid relative path/],
    ['a scene that includes a file', 'rendering', 'x.pov', '#include "/etc/hostname"\ncamera {}', /of your machine/],
    [
      'an OpenFOAM case in a zip bomb',
      'cfd',
      'x.zip',
      archive('system/controlDict', bomb),
      /more than may be unpacked/,
    ],
    ['an OpenFOAM case with a link', 'cfd', 'x.zip', zip([{ ...link, name: 'system/controlDict' }]), /is a link/],
    ['an OpenFOAM case that leads out', 'cfd', 'x.zip', archive('../../etc/cron.d/x', 'x'), /invalid relative path/],
    ['an OpenFOAM case with code', 'cfd', 'x.zip', archive('system/controlDict', CODE), /#codeStream runs code/],
    ['a geometry that runs a program', 'structural-analysis', 'x.geo', GEOMETRY, /SystemCall reaches outside/],
    ['a deck that includes a file', 'structural-analysis', 'x.inp', DECK, /\*INCLUDE refers to another file/],
    ['a netlist that runs a command', 'simulation', 'x.cir', COMMANDS, /commands \(\.control\) are not run/],
  ])('%s', async (_what, service, name, content, sentence) => {
    const parameters = service === 'rendering' ? SIZE : {};
    const answer = await submit(service, await upload(content, name), { parameters });
    expect(answer).toMatchObject({ status: 422, body: { code: 'input_invalid' } });
    expect(answer.body.detail).toMatch(sentence);
  });
});

// Skipped where POV-Ray or bubblewrap is not installed.
describeWith(['bwrap', 'povray'])('run behind walls', () => {
  const outside = join(tmpdir(), `holdfast-written-${process.pid}`);
  const HEAD = '#version 3.7;\nglobal_settings { assumed_gamma 1 }\ncamera { location -3*z look_at 0 }\n';
  const FREE = { state: 'released', charged: null };
  const LONG = `#declare L="${'x'.repeat(200)}"; #declare I=0;\n#while (I<6) #declare L=concat(L,L); #declare I=I+1; #end\n`;
  const saying = (words: string) => expect.stringContaining(words);

  // In the best quality no picture is free: what is charged tells who pays.
  test.each<[string, string, Record<string, unknown>, Record<string, unknown>]>([
    [
      'a scene that writes outside writes nothing there, and pays for its picture',
      `#fopen F "${outside}" write\n#write (F, "x")\n`,
      {},
      { state: 'settled', reason: 'completed', charged: '1' },
    ],
    [
      'a scene that reads outside',
      '#fopen F "/etc/passwd" read\n#read (F, A)\n',
      {},
      { ...FREE, reason: 'input-failed', message: saying('/etc/passwd') },
    ],
    [
      'a scene that never ends',
      '#declare I=0;\n#while (I < 1) #end\n',
      { timeLimitSeconds: 1 },
      { ...FREE, reason: 'time-limit' },
    ],
    [
      'a scene that never stops talking',
      `${LONG}#while (1) #debug L #end\n`,
      { timeLimitSeconds: 2 },
      { ...FREE, reason: 'time-limit' },
    ],
    [
      'a scene that takes all memory',
      '#declare I=0;\n#declare A=array[90000000]\n#while (I<90000000) #declare A[I]=<I,I,I>; #declare I=I+1; #end\n',
      {},
      { ...FREE, reason: 'platform-failed', message: saying('192 MiB of memory') },
    ],
    ...['', '/tmp/'].map((folder): [string, string, Record<string, unknown>, Record<string, unknown>] => [
      `a scene that fills ${folder || 'its folder'}, file by file`,
      `${LONG}#declare N=0;\n#while (1)\n#fopen F concat("${folder}f", str(N,0,0)) write
        #declare I=0; #while (I<100) #write (F, L) #declare I=I+1; #end\n#fclose F\n#declare N=N+1;\n#end\n`,
      {},
      { ...FREE, reason: 'platform-failed', message: saying('8 MiB') },
    ]),
  ])('%s: the job beside it never notices', async (_what, lines, more, expected) => {
    const input = await upload(`${HEAD}${lines}`, 'hostile.pov');
    const parameters = { width: 64, height: 48, quality: 'final' };
    const hostile = await submit('rendering', input, { parameters, ...more });
    expect(hostile).toMatchObject({ status: 201, body: { route: { runner: 'sandbox', engine: 'povray' } } });
    const beside = await submit('simulation', honest);
    expect(await ended(beside.body.id)).toMatchObject({ state: 'settled', charged: '5' });
    expect(await ended(hostile.body.id)).toMatchObject(expected);
    expect(existsSync(outside)).toBe(false);
    // No attempt's folder, no record of a run and no process is left: nothing of it lives.
    await eventually('a tidy work folder', () => readdirSync(workFolder).every((name) => name === 'runs'));
    expect(readdirSync(join(workFolder, 'runs'))).toEqual([]);
    expect(processesIn(workFolder)).toEqual([]);
    // The worker that it had takes the next job.
    const after = await submit('simulation', honest);
    expect(await ended(after.body.id)).toMatchObject({ state: 'settled', charged: '5' });
  });
});

/** Processes that stand in a folder or see it from behind walls, whoever their parent is by now. */
function processesIn(folder: string): number[] {
  const living = [...(readProcessTable()?.values() ?? [])].filter(isAlive);
  return living
    .map(({ pid }) => pid)
    .filter((pid) => [cwdOf(pid), mountsOf(pid)].some((text) => text.includes(folder)));
}

function cwdOf(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return '';
  }
}

function mountsOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
  } catch {
    return '';
  }
}
