import { existsSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PNG } from 'pngjs';
import { zip } from '../../dev/samples/zip';
import { clearEngines, type DrivenEngine, fallsIn, startEngine } from '../testing/drive';
import { describeWith } from '../testing/sandbox';

jest.setTimeout(120_000);
afterEach(clearEngines);

const HEAD = '#version 3.7;\nglobal_settings { assumed_gamma 1 }\n';
const CAMERA = 'camera { location <0, 1, -3> right x*image_width/image_height look_at <0, 1, 0> }\n';
const LIGHT = 'light_source { <4, 6, -5> rgb 1 }\n';
/** A red half and a green half: the clock moves the border. */
const HALVES = `${HEAD}${CAMERA}background { rgb <1, 0, 0> }
box { <clock*4, -9, 1>, <9, 9, 2> pigment { rgb <0, 1, 0> } finish { ambient 1 diffuse 0 } }
`;
/** Soft shadows make it slow: several seconds at 400 x 300. */
const SLOW = `${HEAD}${CAMERA}
light_source { <4, 6, -5> rgb 1 area_light x*3, z*3, 17, 17 jitter }
plane { y, 0 pigment { checker rgb 0.9 rgb 0.3 } }
sphere { <0, 1, 0>, 0.8 pigment { rgb <0.2, 0.4, 0.8> } finish { reflection 0.4 } }
`;

// Skipped where POV-Ray or bubblewrap is not installed.
describeWith(['bwrap', 'povray'])('the driver of POV-Ray', () => {
  describe('a picture', () => {
    it('has the asked size and what the scene shows, and the counters agree with POV-Ray', async () => {
      const engine = startEngine('povray', HALVES, { width: 160, height: 120 });
      const { code, last, reports } = await engine.end;
      expect({ code, type: last.type }).toEqual({ code: 0, type: 'done' });
      expect(last.counters).toEqual({ pixels: 19_200, samples: 76_800, rays: expect.any(Number) });
      expect(last.statistics).toEqual(last.counters);
      expect(fallsIn(reports)).toEqual([]);
      const picture = pictureOf(engine, 'image.png');
      expect([picture.width, picture.height]).toEqual([160, 120]);
      expect([colourAt(picture, 20, 60), colourAt(picture, 140, 60)]).toEqual([
        [255, 0, 0],
        [0, 255, 0],
      ]);
    });

    it('takes one sample a pixel when asked, which POV-Ray itself does not count', async () => {
      const { last } = await startEngine('povray', HALVES, { width: 64, height: 48, samples: 1 }).end;
      expect(last.counters).toEqual({ pixels: 3072, samples: 3072, rays: 3072 });
      expect(last.statistics).toEqual(last.counters);
    });

    it.each([
      ['standard', 4],
      ['high', 9],
      ['final', 25],
    ])('of quality %s has %d samples a pixel', async (quality, samples) => {
      const { last } = await startEngine('povray', HALVES, { width: 32, height: 32, quality }).end;
      expect(last.counters).toMatchObject({ pixels: 1024, samples: 1024 * samples });
    });

    it('of one colour is right, and told', async () => {
      const engine = startEngine('povray', `${HEAD}background { rgb 1 }`, { width: 32, height: 24 });
      expect((await engine.end).last.type).toBe('done');
      const { warnings } = JSON.parse(textOf(engine, 'render.json')) as { warnings: string[] };
      expect(warnings).toEqual(['No objects in scene.', 'image: every pixel has the same colour']);
    });
  });

  it('renders an animation with the clock from 0 to 1, in files that sort', async () => {
    const engine = startEngine('povray', HALVES, { width: 64, height: 48, frames: 11, samples: 1 });
    const { last } = await engine.end;
    expect(last.counters.pixels).toBe(11 * 64 * 48);
    const names = readdirSync(join(engine.folder, 'out')).filter((name) => name.startsWith('frame-'));
    expect([names.length, names[0], names.at(-1)]).toEqual([11, 'frame-0001.png', 'frame-0011.png']);
    const borders = names.map((name) => borderOf(pictureOf(engine, name)));
    expect(borders[0]).toBeCloseTo(32, -0.5);
    expect(borders).toEqual([...borders].sort((a, b) => a - b));
    expect(borders[10]).toBeGreaterThan(60);
  });

  it('renders a panorama whose faces meet at their edges', async () => {
    const scene = `${HEAD}camera { location <1, 2, 3> look_at x }
      sky_sphere { pigment { function { x*0.31 + y*0.23 + z*0.17 + 0.4 } color_map { [0 rgb <1, 0, 0>] [1 rgb <0, 0, 1>] } } }`;
    const engine = startEngine('povray', scene, { width: 64, height: 64, panorama: true });
    const { last } = await engine.end;
    expect(last).toMatchObject({ type: 'done', counters: { pixels: 6 * 64 * 64 } });
    const [right, left, up, down, front, back] = [1, 2, 3, 4, 5, 6].map((face) =>
      pictureOf(engine, `face-${face}.png`),
    );
    for (const at of [5, 32, 60]) {
      expectNear(colourAt(front, 63, at), colourAt(right, 0, at));
      expectNear(colourAt(right, 63, at), colourAt(back, 0, at));
      expectNear(colourAt(back, 63, at), colourAt(left, 0, at));
      expectNear(colourAt(left, 63, at), colourAt(front, 0, at));
      expectNear(colourAt(front, at, 0), colourAt(up, at, 63));
      expectNear(colourAt(front, at, 63), colourAt(down, at, 0));
      expectNear(colourAt(right, at, 0), colourAt(up, 63, 63 - at));
    }
    expect(colourAt(right, 32, 32)).not.toEqual(colourAt(left, 32, 32));
  });

  describe('an archive', () => {
    const MAIN = `${HEAD}#include "parts/ball.inc"\n${CAMERA}background { rgb <1, 0, 0> }\nobject { Ball }\n`;
    const BALL =
      '#declare Ball = box { <-9, -9, 1>, <9, 9, 2> pigment { image_map { png "parts/image.png" } scale 20 } finish { ambient 1 diffuse 0 } }';

    it('renders with what it includes, beside the scene and elsewhere, and keeps its pictures', async () => {
      const archive = zip([
        { name: 'hall/main.pov', content: MAIN },
        { name: 'hall/study.pov', content: '' },
        { name: 'hall/parts/ball.inc', content: BALL },
        { name: 'hall/parts/image.png', content: greenPicture() },
        { name: 'hall/povray.ini', content: 'Width=9' },
        { name: '.povray/3.7/povray.conf', content: '' },
      ]);
      const engine = startEngine('povray', archive, { width: 64, height: 48, panorama: false });
      expect((await engine.end).last.type).toBe('done');
      expect(colourAt(pictureOf(engine, 'image.png'), 32, 24)).toEqual([0, 255, 0]);
      expect(readdirSync(join(engine.folder, 'work', 'scene')).sort()).toEqual(['hall']);
      expect(readdirSync(join(engine.folder, 'work', 'scene', 'hall')).sort()).toEqual([
        'main.pov',
        'parts',
        'study.pov',
      ]);
    });

    it('names the file of a fault', async () => {
      const archive = zip([
        { name: 'a.pov', content: MAIN },
        { name: 'parts/ball.inc', content: '\n#declare Ball = sphere { nothing }' },
      ]);
      const { last } = await startEngine('povray', archive, { width: 32, height: 24 }).end;
      expect(last).toMatchObject({
        type: 'failed',
        message: expect.stringMatching(/^parts\/ball.inc line 2: Expected/),
      });
    });

    it('has a panorama too', async () => {
      const archive = zip([{ name: 'a.pov', content: `${HEAD}${CAMERA}background { rgb 1 }` }]);
      const { last } = await startEngine('povray', archive, { width: 32, height: 32, panorama: true }).end;
      expect(last).toMatchObject({ type: 'done', counters: { pixels: 6 * 1024 } });
    });

    it.each([
      ['a path that leads out', [{ name: '../out.inc', content: '' }], /cannot be unpacked/],
      ['a link', [{ name: 'a.inc', content: '/etc/passwd', mode: 0o120777 }], /is a link/],
      ['no scene', [{ name: 'a.inc', content: '' }], /has no .pov file/],
      [
        'two scenes',
        [
          { name: 'a.pov', content: '' },
          { name: 'b.pov', content: '' },
        ],
        /call the one to render main.pov/,
      ],
    ])('with %s is refused', async (_, entries, message) => {
      const engine = startEngine('povray', zip(entries), { width: 32, height: 24 });
      expect((await engine.end).last).toMatchObject({ type: 'failed', message: expect.stringMatching(message) });
      expect(readdirSync(engine.folder).sort()).toEqual(['input', 'out', 'parameters.json', 'tmp', 'work']);
    });
  });

  describe('a scene at fault', () => {
    it.each([
      [
        'an undeclared name',
        `${HEAD}sphere { <0, 0, 0> 1 pigment { rgb foo } }`,
        /^line 3: .*undeclared identifier 'foo'/,
      ],
      ['its own #error', `${HEAD}#error "not today"`, /^line 3: Parse halted by #error directive: not today/],
      ['an absent include', `${HEAD}#include "mine.inc"`, /^line 3: Cannot open include file mine.inc/],
      ['a text that is no scene', 'hello\n', /^line 1: /],
    ])('%s ends as failed, with its line', async (_, scene, message) => {
      const { code, last } = await startEngine('povray', scene, { width: 32, height: 24 }).end;
      expect({ code, type: last.type, stated: last.statistics }).toEqual({
        code: 2,
        type: 'failed',
        stated: undefined,
      });
      expect(last.message).toMatch(message);
    });

    it.each([
      ['without a camera', `${HEAD}${LIGHT}`],
      ['with a camera that is moved', `${HEAD}camera { location 0 rotate 5*y }`],
    ])('%s has no panorama', async (_, scene) => {
      const { last } = await startEngine('povray', scene, { width: 32, height: 32, panorama: true }).end;
      expect(last).toMatchObject({ type: 'failed', message: expect.stringMatching(/^A panorama needs a camera/) });
    });
  });

  describe('a hostile scene', () => {
    it.each([
      ['#fopen F "/etc/passwd" read', /Cannot open user file \/etc\/passwd/],
      ['#include "/etc/passwd"', /Cannot open include file \/etc\/passwd/],
      ['#fopen F "/usr/bin/x" write', /Cannot open user file \/usr\/bin\/x/],
      ['#fopen F "../beside" write', /Cannot open user file \.\.\/beside/],
      ['#fopen F "/proc/1/environ" read\n#read (F, A)\n#error A', /./],
    ])('reaches nothing outside with %s', async (line, message) => {
      const engine = startEngine('povray', `${HEAD}${line}\n`, { width: 32, height: 24 });
      const { last, log } = await engine.end;
      expect(last).toMatchObject({ type: 'failed', message: expect.stringMatching(message) });
      expect(last.message + log).not.toMatch(/root:|HOLDFAST/);
      expect(existsSync('/usr/bin/x')).toBe(false);
    });

    it('writes into nothing that stays but its folder', async () => {
      const lines = '#fopen F "/tmp/holdfast-povray-mark" write\n#write (F, "x")\n';
      const engine = startEngine('povray', HEAD + lines, { width: 32, height: 24 });
      expect((await engine.end).last.type).toBe('done');
      expect(readdirSync(engine.folder).sort()).toEqual([
        'input',
        'out',
        'parameters.json',
        'pictures.json',
        'tmp',
        'work',
      ]);
      expect(existsSync('/tmp/holdfast-povray-mark')).toBe(false);
    });

    it('cannot put a picture or messages of its own in place of the real ones', async () => {
      const forged = `#fopen F "image.png" write
        #write (F, "no picture")
        #fclose F
        #debug "Rendered 999999 of 3072 pixels (3%)\\n"
        #warning "Rendered 999999 of 3072 pixels (3%)\\n"
        `;
      const engine = startEngine('povray', HALVES + forged, { width: 64, height: 48, samples: 1 });
      const { last, reports } = await engine.end;
      expect(last).toMatchObject({ type: 'done', counters: { pixels: 3072, rays: 3072 } });
      expect(Math.max(...reports.map(({ counters }) => counters?.pixels ?? 0))).toBe(3072);
      expect(pictureOf(engine, 'image.png').width).toBe(64);
    });

    it('that never ends its parsing is stopped within the 3 s of the protocol', async () => {
      const engine = startEngine('povray', `${HEAD}#while (1) #declare A = 1; #end`, { width: 32, height: 24 });
      await engine.until(({ type }) => type === 'progress');
      await laterThan(engine, 1000);
      const { code, last, tookMs } = await stop(engine);
      expect({ code, last }).toMatchObject({ code: 0, last: { type: 'stopped', counters: { pixels: 0 } } });
      expect(tookMs).toBeLessThan(3000);
    });
  });

  describe('a stop', () => {
    it('keeps the blocks that are done as a partial picture, and counts just those', async () => {
      const engine = startEngine('povray', SLOW, { width: 400, height: 300, quality: 'final' });
      await engine.until(({ counters, fraction = 0 }) => fraction > 0.1 && (counters?.pixels ?? 0) > 0);
      const { code, last, reports, tookMs } = await stop(engine);
      expect({ code, type: last.type }).toEqual({ code: 0, type: 'stopped' });
      expect(tookMs).toBeLessThan(3000);
      expect(reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual([
        'partial.png',
        'render.json',
      ]);
      const { pixels = 0 } = last.counters;
      expect(last.statistics?.pixels).toBe(pixels);
      expect(fallsIn(reports)).toEqual([]);
      const picture = pictureOf(engine, 'partial.png');
      expect([picture.width, picture.height]).toEqual([400, 300]);
      const isBlank = (at: number) => [0, 1, 2].every((channel) => picture.data[at * 4 + channel] === 24);
      const blank = Array.from({ length: 400 * 300 }, (_, at) => at).filter(isBlank).length;
      expect(blank).toBe(400 * 300 - pixels);
    });

    it('keeps the whole pictures of an animation', async () => {
      const engine = startEngine('povray', SLOW, { width: 200, height: 150, frames: 200, samples: 1 });
      await engine.until(({ name }) => name === 'frame-0001.png');
      const { last } = await stop(engine);
      expect(last.type).toBe('stopped');
      expect(last.counters.pixels).toBeGreaterThanOrEqual(200 * 150);
      expect(pictureOf(engine, 'frame-0001.png').width).toBe(200);
    });

    it('shows in the partial picture what the whole one shows', async () => {
      const whole = startEngine('povray', SLOW, { width: 400, height: 300, samples: 1 });
      const partial = startEngine('povray', SLOW, { width: 400, height: 300, samples: 1 });
      await partial.until(({ fraction = 0 }) => fraction > 0.05);
      await stop(partial);
      await whole.end;
      const [a, b] = [pictureOf(whole, 'image.png'), pictureOf(partial, 'partial.png')];
      // The first block is done. The jitter of soft shadows does not reach the sky.
      for (const at of [2, 10, 30]) expectNear(colourAt(a, at, at), colourAt(b, at, at));
    });
  });

  describe('after a lost attempt', () => {
    const SIZE = { width: 256, height: 192, samples: 4 };
    const PIXELS = 256 * 192;

    it('continues its picture, counts all of it, and agrees with POV-Ray, however often it was lost', async () => {
      const first = startEngine('povray', SLOW, SIZE);
      const before = await lose(first, 'SIGKILL', 0.1);
      const second = startEngine('povray', SLOW, SIZE, first);
      const then = await lose(second, 'SIGTERM', before + 0.1);
      const { last, reports } = await startEngine('povray', SLOW, SIZE, second).end;
      expect(last).toMatchObject({ type: 'done', counters: { pixels: PIXELS, samples: 4 * PIXELS } });
      expect(last.statistics).toEqual(last.counters);
      expect(fallsIn(reports)).toEqual([]);
      // The first report comes before anything is known.
      const [fraction = 0] = reports.map((report) => report.fraction ?? 0).filter((one) => one > 0);
      expect(fraction).toBeGreaterThanOrEqual(then);
    });

    it('shows the same as a picture that was never lost', async () => {
      const sharp = SLOW.replace('jitter', '');
      const size = { width: 320, height: 240, samples: 1 };
      const whole = startEngine('povray', sharp, size);
      const lost = startEngine('povray', sharp, size);
      await lose(lost, 'SIGKILL', 0.2);
      const resumed = startEngine('povray', sharp, size, lost);
      expect((await resumed.end).last.counters.samples).toBe(320 * 240);
      await whole.end;
      expect(pictureOf(resumed, 'image.png').data.equals(pictureOf(whole, 'image.png').data)).toBe(true);
      expect(readdirSync(resumed.folder)).not.toContain('earlier');
    });

    it('keeps the pictures of an animation that are done', async () => {
      const film = { width: 160, height: 120, frames: 5, samples: 4 };
      const lost = startEngine('povray', SLOW, film);
      await lost.until(({ name }) => name === 'frame-0002.png');
      lost.child.kill('SIGKILL');
      const { rays = 0 } = (await lost.end).reports.findLast(({ counters }) => counters)?.counters ?? {};
      const done = pictureOf(lost, 'frame-0002.png');
      const resumed = startEngine('povray', SLOW, film, lost);
      const { last } = await resumed.end;
      expect(last).toMatchObject({ type: 'done', counters: { pixels: 5 * 19_200, samples: 20 * 19_200 } });
      expect(last.statistics).toEqual(last.counters);
      expect(last.counters.rays).toBeGreaterThan(rays);
      expect(pictureOf(resumed, 'frame-0002.png').data.equals(done.data)).toBe(true);
      expect(JSON.parse(textOf(resumed, 'render.json'))).toMatchObject({ pictures: 5, pixels: 5 * 19_200 });
    });

    it.each([
      ['a state file that is none', (folder: string) => writeFileSync(join(folder, 'work', 'image.pov-state'), 'no')],
      ['nothing but its folder', (folder: string) => rmSync(join(folder, 'work'), { recursive: true })],
    ])('that left %s, it starts anew', async (_, spoil) => {
      const lost = startEngine('povray', SLOW, SIZE);
      await lose(lost, 'SIGKILL', 0.1);
      spoil(lost.folder);
      const { last } = await startEngine('povray', SLOW, SIZE, lost).end;
      expect(last).toMatchObject({ type: 'done', counters: { pixels: PIXELS, samples: 4 * PIXELS } });
      expect(last.statistics).toEqual(last.counters);
    });

    it('renders a picture again that the disk did not keep whole', async () => {
      const film = { width: 64, height: 48, frames: 8, samples: 1 };
      const lost = startEngine('povray', HALVES, film);
      await lost.until(({ name }) => name === 'frame-0003.png');
      lost.child.kill('SIGKILL');
      await lost.end;
      truncateSync(join(lost.folder, 'out', 'frame-0002.png'), 100);
      const resumed = startEngine('povray', HALVES, film, lost);
      expect((await resumed.end).last).toMatchObject({
        type: 'done',
        counters: { pixels: 8 * 3072, rays: 8 * 3072 },
      });
      expect(borderOf(pictureOf(resumed, 'frame-0002.png'))).toBeGreaterThan(30);
    });
  });

  it('ends at once, POV-Ray too, when nobody watches any more', async () => {
    const engine = startEngine('povray', SLOW, { width: 400, height: 300, quality: 'final' });
    await engine.until(({ counters }) => (counters?.pixels ?? 0) > 0);
    engine.child.stdin?.end();
    expect((await engine.end).code).toBe(1);
  });

  it('renders the sample scene', async () => {
    const scene = readFileSync(join(__dirname, '..', '..', 'samples', 'hall.pov'));
    const engine = startEngine('povray', scene, { width: 120, height: 90 });
    expect((await engine.end).last.type).toBe('done');
    const { warnings, finiteObjects } = JSON.parse(textOf(engine, 'render.json')) as Record<string, unknown>;
    expect(warnings).toEqual([]);
    expect(finiteObjects).toBeGreaterThan(100);
  });
});

async function stop(engine: DrivenEngine) {
  const from = performance.now();
  engine.child.kill('SIGTERM');
  return { ...(await engine.end), tookMs: performance.now() - from };
}

/** Ends an engine in mid-picture, and tells how far it was. */
async function lose(engine: DrivenEngine, signal: NodeJS.Signals, from: number): Promise<number> {
  await engine.until(({ fraction = 0 }) => fraction > from);
  engine.child.kill(signal);
  const { last } = await engine.end;
  if (last.type === 'done') throw new Error('it was done before it could be lost');
  return last.fraction ?? from;
}

/** A number of reports later, four of which come in a second. */
async function laterThan(engine: DrivenEngine, ms: number): Promise<void> {
  let reports = 0;
  await engine.until(() => ++reports > ms / 250);
}

function textOf({ folder }: DrivenEngine, name: string): string {
  return readFileSync(join(folder, 'out', name), 'utf8');
}

function pictureOf({ folder }: DrivenEngine, name: string): PNG {
  return PNG.sync.read(readFileSync(join(folder, 'out', name)));
}

function colourAt(picture: PNG | undefined, x: number, y: number): number[] {
  if (!picture) throw new Error('no picture');
  const at = (y * picture.width + x) * 4;
  return [...picture.data.subarray(at, at + 3)];
}

function greenPicture(): Buffer {
  const picture = new PNG({ width: 2, height: 2 });
  picture.data.fill(Buffer.from([0, 255, 0, 255]));
  return PNG.sync.write(picture);
}

function borderOf(picture: PNG): number {
  const row = Array.from({ length: picture.width }, (_, x) => colourAt(picture, x, picture.height >> 1));
  const green = row.findIndex(([red = 0, one = 0]) => one > red);
  return green < 0 ? picture.width : green;
}

function expectNear(a: readonly number[], b: readonly number[]): void {
  for (const [channel, value] of a.entries()) expect(Math.abs(value - (b[channel] ?? 0))).toBeLessThan(8);
}
