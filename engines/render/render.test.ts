import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { PNG } from 'pngjs';
import { type Camera, faceOf } from './camera';
import { Chance } from './chance';
import type { Scene, SceneMaterial } from './scene';
import type { Sky } from './sky';
import { Tracer } from './tracer';

let folder: string;
const running = new Set<ChildProcess>();
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'render-'));
});
afterAll(async () => {
  for (const child of running) child.kill('SIGKILL');
  await rm(folder, { recursive: true });
});

type Json = Record<string, unknown>;

interface Shape {
  readonly positions: readonly number[];
  readonly indices?: readonly number[];
  readonly material?: Json;
}

/** A scene of shapes without normals, each with its own material. */
function glb(shapes: readonly Shape[], more: Json = {}): Buffer {
  const parts: Buffer[] = [];
  const bufferViews: Json[] = [];
  const accessors: Json[] = [];
  const store = (bytes: Buffer, accessor: Json): number => {
    bufferViews.push({ buffer: 0, byteOffset: Buffer.concat(parts).length, byteLength: bytes.length });
    parts.push(bytes);
    return accessors.push({ ...accessor, bufferView: bufferViews.length - 1 }) - 1;
  };
  const meshes = shapes.map(({ positions, indices }, number) => ({
    primitives: [
      {
        attributes: {
          POSITION: store(Buffer.from(Float32Array.from(positions).buffer), {
            componentType: 5126,
            type: 'VEC3',
            count: positions.length / 3,
          }),
        },
        ...(indices && {
          indices: store(Buffer.from(Uint32Array.from(indices).buffer), {
            componentType: 5125,
            type: 'SCALAR',
            count: indices.length,
          }),
        }),
        material: number,
      },
    ],
  }));
  const json = {
    asset: { version: '2.0' },
    scene: 0,
    scenes: [{ nodes: meshes.map((_, node) => node) }],
    nodes: meshes.map((_, mesh) => ({ mesh })),
    meshes,
    materials: shapes.map(({ material }) => material ?? {}),
    accessors,
    bufferViews,
    buffers: [{ byteLength: Buffer.concat(parts).length }],
    ...more,
  };
  const text = Buffer.from(JSON.stringify(json));
  const jsonChunk = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, 0x20)]);
  const binary = Buffer.concat(parts);
  return Buffer.concat([
    words(0x46546c67, 2, 28 + jsonChunk.length + binary.length, jsonChunk.length, 0x4e4f534a),
    jsonChunk,
    words(binary.length, 0x004e4942),
    binary,
  ]);
}

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [place, value] of values.entries()) buffer.writeUInt32LE(value, place * 4);
  return buffer;
}

/** A square in the plane z = 0 that faces +Z. */
function square(half: number, z = 0): readonly number[] {
  return [
    [-half, -half, z],
    [half, -half, z],
    [half, half, z],
    [-half, -half, z],
    [half, half, z],
    [-half, half, z],
  ].flat();
}

/** A ball of the unit radius, flat-shaded. */
function ball(): readonly number[] {
  const at = (u: number, v: number): number[] => {
    const [a, b] = [(u / 24) * 2 * Math.PI, (v / 12) * Math.PI];
    return [Math.sin(b) * Math.cos(a), Math.cos(b), Math.sin(b) * Math.sin(a)];
  };
  const positions: number[] = [];
  for (let u = 0; u < 24; u++) {
    for (let v = 0; v < 12; v++) {
      positions.push(
        ...at(u, v),
        ...at(u + 1, v),
        ...at(u, v + 1),
        ...at(u + 1, v),
        ...at(u + 1, v + 1),
        ...at(u, v + 1),
      );
    }
  }
  return positions;
}

const GLOW = {
  pbrMetallicRoughness: { baseColorFactor: [0, 0, 0, 1], metallicFactor: 1 },
  emissiveFactor: [0.2, 0.5, 1],
};
const MATTE = { pbrMetallicRoughness: { baseColorFactor: [0.5, 0.5, 0.5, 1], metallicFactor: 0, roughnessFactor: 1 } };
/** Looks along -Z at a field of 2 x 2. */
const FLAT_CAMERA = {
  cameras: [{ type: 'orthographic', orthographic: { xmag: 1, ymag: 1, znear: 0, zfar: 10 } }],
  nodes: [{ mesh: 0 }, { camera: 0, translation: [0, 0, 5] }],
  scenes: [{ nodes: [0, 1] }],
};
const PARTS = glb([
  { positions: square(2, -1), material: MATTE },
  {
    positions: ball(),
    material: { pbrMetallicRoughness: { baseColorFactor: [1, 0.7, 0.3, 1], roughnessFactor: 0.2 } },
  },
  { positions: square(0.3, 2), material: { ...GLOW, alphaMode: 'BLEND' } },
]);

interface Report {
  readonly type: string;
  readonly name?: string;
  readonly file?: string;
  readonly message?: string;
  readonly fraction?: number;
  readonly counters?: Record<string, number>;
}

interface Engine {
  readonly child: ChildProcess;
  readonly folder: string;
  readonly reports: Report[];
  /** Settles at the engine's end with its exit code. */
  readonly end: Promise<number | null>;
}

let started = 0;

async function start(
  input: Buffer,
  parameters: Json,
  onReport?: (report: Report, child: ChildProcess) => void,
): Promise<Engine> {
  const own = join(folder, String(++started));
  await mkdir(own);
  await writeFile(join(own, 'input'), input);
  await writeFile(join(own, 'parameters.json'), JSON.stringify(parameters));
  const main = join(__dirname, '../../dist/engines/render/main.js');
  const child = spawn(process.execPath, [main], { cwd: own, stdio: ['pipe', 'pipe', 'pipe'], env: {} });
  running.add(child);
  const reports: Report[] = [];
  createInterface({ input: child.stdout }).on('line', (line) => {
    const report = JSON.parse(line) as Report;
    reports.push(report);
    onReport?.(report, child);
  });
  const end = once(child, 'close').then(([code]) => {
    running.delete(child);
    return code as number | null;
  });
  return { child, folder: own, reports, end };
}

async function run(input: Buffer, parameters: Json): Promise<Engine & { readonly code: number | null }> {
  const engine = await start(input, parameters);
  return { ...engine, code: await engine.end };
}

function picture(engine: Engine, name = 'image.png'): PNG {
  return PNG.sync.read(readFileSync(join(engine.folder, 'out', name)));
}

describe('the engine', () => {
  it('makes the same picture, bit by bit, with any number of threads', async () => {
    const size = { width: 150, height: 40, samples: 2 };
    const [one, two, five] = await Promise.all([1, 2, 5].map((threads) => run(PARTS, { ...size, threads })));
    expect([one?.code, two?.code, five?.code]).toEqual([0, 0, 0]);
    const files = [one, two, five].map((engine) => readFileSync(join(engine?.folder ?? '', 'out/image.png')));
    expect(files[1]?.equals(files[0] ?? Buffer.alloc(0))).toBe(true);
    expect(files[2]?.equals(files[0] ?? Buffer.alloc(0))).toBe(true);
    expect(two?.reports.at(-1)).toEqual(one?.reports.at(-1));
    // Not a blank picture, of which all that would be true as well.
    expect(new Set(picture(one as Engine).data).size).toBeGreaterThan(50);
  });

  it('shows a glowing wall in its own colour, exactly', async () => {
    const engine = await run(glb([{ positions: square(3), material: GLOW }], FLAT_CAMERA), { width: 20, height: 20 });
    const { data } = picture(engine);
    // Radiances 0.2, 0.5, 1 through exposure, film curve and sRGB, worked out by hand from their formulas.
    const colors = new Set(Array.from({ length: 400 }, (_, at) => data.subarray(at * 4, at * 4 + 3).join()));
    expect([...colors]).toEqual([[0.2, 0.5, 1].map(displayed).join()]);
  });

  it('covers as many pixels as the geometry says', async () => {
    const engine = await run(glb([{ positions: square(0.5), material: GLOW }], FLAT_CAMERA), { width: 40, height: 40 });
    const { data } = picture(engine);
    const [middle, corner] = [data.subarray((20 * 40 + 20) * 4), data.subarray(0)];
    expect(middle.subarray(0, 3).join()).toBe([0.2, 0.5, 1].map(displayed).join());
    let covered = 0;
    for (let at = 0; at < 1600; at++) covered += data[at * 4 + 1] === displayed(0.5) ? 1 : 0;
    // A quarter of the picture, less the blended pixels along the edges.
    expect(covered).toBeLessThanOrEqual(20 * 20);
    expect(covered).toBeGreaterThanOrEqual(18 * 18);
    expect(corner[1]).not.toBe(displayed(0.5));
  });

  it('goes round the scene in several frames; fraction and counters never fall and end at all the work', async () => {
    const engine = await run(PARTS, { width: 32, height: 16, frames: 3, samples: 2 });
    const named = engine.reports.filter(({ type }) => type === 'result').map(({ name }) => name);
    expect(named).toEqual(['frame-0001.png', 'frame-0002.png', 'frame-0003.png', 'render.json']);
    expect(engine.reports.at(-1)).toMatchObject({ type: 'done', counters: { pixels: 1536, samples: 3072 } });
    const fractions = engine.reports.flatMap(({ fraction }) => fraction ?? []);
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b));
    const pictures = [1, 2, 3].map((frame) => picture(engine, `frame-000${frame}.png`).data.toString('hex'));
    expect(new Set(pictures).size).toBe(3);
    const statistics = JSON.parse(readFileSync(join(engine.folder, 'out/render.json'), 'utf8'));
    expect(statistics).toMatchObject({ triangles: 580, frames: 3, samples: 3072 });
    expect(statistics.secondsPerFrame).toHaveLength(3);
  });

  it('makes the six faces of a panorama, and counts each', async () => {
    const engine = await run(PARTS, { width: 16, height: 16, panorama: true, samples: 1 });
    const named = engine.reports.filter(({ type }) => type === 'result').map(({ name }) => name);
    expect(named).toEqual([...[1, 2, 3, 4, 5, 6].map((face) => `face-${face}.png`), 'render.json']);
    expect(engine.reports.at(-1)).toMatchObject({ type: 'done', counters: { pixels: 6 * 256 } });
  });

  it('keeps what it has when it is told to stop', async () => {
    const parameters = { width: 2000, height: 1000, samples: 1024 };
    const engine = await start(PARTS, parameters, (report, child) => {
      if (report.type === 'progress' && (report.counters?.pixels ?? 0) > 0) child.kill('SIGTERM');
    });
    expect(await engine.end).toBe(0);
    const last = engine.reports.at(-1);
    expect(last?.type).toBe('stopped');
    expect(engine.reports.filter(({ type }) => type === 'result').map(({ name }) => name)).toEqual([
      'partial.png',
      'render.json',
    ]);
    const { data } = picture(engine, 'partial.png');
    let unfinished = 0;
    for (let at = 0; at < 2_000_000; at++) {
      unfinished += data[at * 4] === 24 && data[at * 4 + 1] === 24 && data[at * 4 + 2] === 24 ? 1 : 0;
    }
    expect(unfinished).toBe(2_000_000 - (last?.counters?.pixels ?? 0));
  });

  it('stops while it still reads the scene', async () => {
    const engine = await start(PARTS, { width: 64, height: 64 }, (_report, child) => child.kill('SIGTERM'));
    expect(await engine.end).toBe(0);
    expect(engine.reports.at(-1)?.type).toBe('stopped');
  });

  it('ends at once when nobody watches any more', async () => {
    const engine = await start(PARTS, { width: 4000, height: 4000, samples: 1024 }, (report, child) => {
      if ((report.counters?.pixels ?? 0) > 0) child.stdin?.end();
    });
    expect(await engine.end).toBe(1);
    expect(engine.reports.at(-1)?.type).toBe('progress');
    expect(existsSync(join(engine.folder, 'out/partial.png'))).toBe(false);
  });

  it('reports a fault of the input in a sentence and exits with 2', async () => {
    const engine = await run(PARTS.subarray(0, 500), { width: 64, height: 64 });
    expect(engine.code).toBe(2);
    expect(engine.reports.at(-1)).toMatchObject({ type: 'failed', message: expect.stringMatching(/truncated.*\.$/) });
  });

  it('takes a camera that is not there for a fault of the input', async () => {
    const engine = await run(PARTS, { width: 64, height: 64, camera: 2 });
    expect(engine.code).toBe(2);
    expect(engine.reports.at(-1)?.message).toBe('There is no camera 2: the scene has 0 cameras, counted from 0.');
  });

  it('takes parameters that no service would pass for a failure of the platform', async () => {
    const engine = await run(PARTS, { width: 0, height: 64 });
    expect(engine.code).toBe(1);
  });
});

/** What a channel of this radiance looks like on a screen. */
function displayed(radiance: number): number {
  const x = 0.58 * radiance;
  const film = (2.51 * x ** 2 + 0.03 * x) / (2.43 * x ** 2 + 0.59 * x + 0.14);
  return Math.round(255 * (1.055 * film ** (1 / 2.4) - 0.055));
}

interface Body {
  readonly positions: readonly number[];
  readonly material: SceneMaterial;
}

const GREY: SceneMaterial = { baseColor: [0.5, 0.5, 0.5], alpha: 1, metallic: 0, roughness: 1, emissive: [0, 0, 0] };

/** A scene in memory, its hierarchy a single leaf. */
function sceneOf(bodies: readonly Body[]): Scene {
  const positions = Float32Array.from(bodies.flatMap((body) => body.positions));
  const numbers = bodies.flatMap(({ positions: corners }, body) => new Array<number>(corners.length / 9).fill(body));
  return {
    triangles: {
      count: numbers.length,
      positions,
      normals: new Float32Array(positions.length),
      colors: undefined,
      materials: Uint32Array.from(numbers),
    },
    hierarchy: {
      bounds: Float32Array.of(-9, -9, -9, 9, 9, 9),
      links: Uint32Array.of(0, numbers.length),
    },
    materials: bodies.map(({ material }) => material),
    cameras: [],
    extent: { centre: [0, 0, 0], radius: 5 },
  };
}

/** The mean radiance of the red channel along one ray that goes down the Z axis. */
function meanRadiance(
  bodies: readonly Body[],
  sky: Sky,
  origin: readonly [number, number, number],
  samples: number,
): number {
  const tracer = new Tracer(sceneOf(bodies), sky);
  const chance = new Chance();
  let sum = 0;
  for (let sample = 0; sample < samples; sample++) {
    // The low-discrepancy sequence has 1024 points; further samples are further pixels.
    chance.start(Math.floor(sample / 1024), 0, 0, sample % 1024);
    tracer.trace(...origin, 0, 0, -1, chance);
    sum += tracer.radiance[0] ?? 0;
  }
  return sum / samples;
}

describe('the light', () => {
  const dark: Sky = { sunDirection: [0, 0, 1], sunIrradiance: [0, 0, 0], sunCosine: 1, even: 0 };

  it('makes a white body vanish in a world that is equally bright everywhere', () => {
    for (const roughness of [0.1, 0.5, 1]) {
      const white: SceneMaterial = { ...GREY, baseColor: [1, 1, 1], roughness };
      const found = meanRadiance([{ positions: ball(), material: white }], { ...dark, even: 1 }, [0.5, 0.1, 5], 4096);
      expect(found).toBeGreaterThan(0.96);
      expect(found).toBeLessThan(1.02);
    }
  });

  it('reflects half of an even world in a mirror of half reflectance', () => {
    const mirror: SceneMaterial = { ...GREY, metallic: 1, roughness: 0 };
    const found = meanRadiance([{ positions: square(1), material: mirror }], { ...dark, even: 1 }, [0.2, 0.1, 5], 256);
    expect(found).toBeCloseTo(0.5, 3);
  });

  it('gives a matte plane that faces the sun what Lambert says, and the small shine of its surface', () => {
    const sunny: Sky = { ...dark, sunIrradiance: [2, 2, 2], sunCosine: Math.cos(0.01) };
    const found = meanRadiance([{ positions: square(1), material: GREY }], sunny, [0.2, 0.1, 5], 256);
    const expected = (2 * (0.5 * 0.96 + 0.04 / 4)) / Math.PI;
    expect(found / expected).toBeCloseTo(1, 2);
  });

  it.each([1, 2])('falls off from a small lamp with the square of the distance, here %d', (distance) => {
    const lamp: SceneMaterial = { ...GREY, baseColor: [0, 0, 0], emissive: [1, 1, 1] };
    const bodies = [
      { positions: square(5), material: GREY },
      { positions: square(0.05, distance), material: lamp },
    ];
    // The ray starts beside the lamp and just below it, so that it meets the plane nearly under the lamp.
    const found = meanRadiance(bodies, dark, [0.06, 0, distance - 0.01], 1024);
    const cosineToTheFourth = (distance ** 2 / (distance ** 2 + 0.06 ** 2)) ** 2;
    const expected = (((0.5 * 0.96 + 0.04 / 4) / Math.PI) * 0.1 ** 2 * cosineToTheFourth) / distance ** 2;
    expect(Math.abs(found / expected - 1)).toBeLessThan(0.03);
  });

  it('does not pass a surface that covers the sun, and passes a half transparent one by half', () => {
    const sunny: Sky = { ...dark, sunIrradiance: [2, 2, 2], sunDirection: [0.6, 0, 0.8], sunCosine: 1 };
    const litBehind = (alpha: number): number => {
      const cover = square(0.3, 1).map((value, at) => (at % 3 === 0 ? value + 0.75 : value));
      const bodies = [
        { positions: square(5), material: GREY },
        { positions: cover, material: { ...GREY, baseColor: [0, 0, 0], alpha } as const },
      ];
      return meanRadiance(bodies, sunny, [0, 0, 5], 1024);
    };
    const [open, half, covered] = [litBehind(0), litBehind(0.5), litBehind(1)];
    expect(Math.abs(half / open - 0.5)).toBeLessThan(0.02);
    expect(covered / open).toBeLessThan(0.02);
  });
});

describe('the faces of a panorama', () => {
  const camera = { origin: [1, 2, 3], right: [0, 0, 1], up: [-0.6, 0.8, 0], forward: [0.8, 0.6, 0] } as const;
  const [right, left, up, down, front, back] = [0, 1, 2, 3, 4, 5].map((face) =>
    faceOf({ ...camera, halfHeight: 0.3, orthographic: false }, face),
  ) as [Camera, Camera, Camera, Camera, Camera, Camera];
  /** Where a face looks at a place of its picture, from -1 to 1. */
  const ray = ({ forward, right, up }: Camera, x: number, y: number): number[] =>
    [0, 1, 2].map((axis) => (forward[axis] ?? 0) + x * (right[axis] ?? 0) + y * (up[axis] ?? 0) + 0);

  it('look out from the place of the camera, the front one levelled', () => {
    expect(front).toMatchObject({ origin: [1, 2, 3], forward: [1, 0, 0], up: [0, 1, 0], halfHeight: 1 });
    expect(ray(back, 0, 0)).toEqual([-1, 0, 0]);
    expect(ray(up, 0, 0)).toEqual([0, 1, 0]);
    expect(ray(down, 0, 0)).toEqual([0, -1, 0]);
  });

  it.each([-1, -0.3, 0.7])('meet at their edges, at %d of the way', (t) => {
    expect(ray(front, 1, t)).toEqual(ray(right, -1, t));
    expect(ray(right, 1, t)).toEqual(ray(back, -1, t));
    expect(ray(back, 1, t)).toEqual(ray(left, -1, t));
    expect(ray(left, 1, t)).toEqual(ray(front, -1, t));
    expect(ray(front, t, 1)).toEqual(ray(up, t, -1));
    expect(ray(front, t, -1)).toEqual(ray(down, t, 1));
  });
});

describe('the hierarchy', () => {
  it('finds the same nearest triangle as testing them all', async () => {
    const seed = Number(process.env.TEST_SEED ?? Date.now() % 2 ** 31);
    process.stdout.write(`TEST_SEED=${seed}\n`);
    // In a process of its own, because the library that builds the hierarchy is an ES module.
    const script = `
      const { buildHierarchy, RayCaster } = require(${JSON.stringify(join(__dirname, '../../dist/engines/render/hierarchy.js'))});
      let state = ${seed};
      const chance = () => ((state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff) >> 8) / 2 ** 23;
      const count = 3000;
      const positions = new Float32Array(count * 9);
      for (let triangle = 0; triangle < count; triangle++) {
        const centre = [chance() * 9, chance() * 9, chance() * 9];
        for (let at = 0; at < 9; at++) positions[triangle * 9 + at] = centre[at % 3] + chance();
      }
      const normals = new Float32Array(count * 9);
      buildHierarchy({ count, positions, normals, colors: undefined, materials: new Uint32Array(count) }).then((built) => {
        const one = { bounds: Float32Array.of(-1, -1, -1, 11, 11, 11), links: Uint32Array.of(0, count) };
        const casters = [new RayCaster(built.hierarchy, built.triangles), new RayCaster(one, built.triangles)];
        const found = { hits: 0, differences: 0 };
        for (let ray = 0; ray < 3000; ray++) {
          const axis = ray % 4;
          const direction = [0, 1, 2].map((at) => (axis === 3 ? chance() - 0.5 : at === axis ? 1 : 0));
          const size = Math.hypot(...direction);
          const origin = [chance() * 9, chance() * 9, chance() * 9];
          const [a, b] = casters.map((caster) => {
            [caster.ox, caster.oy, caster.oz] = origin;
            [caster.dx, caster.dy, caster.dz] = direction.map((part) => part / size);
            return caster.cast(Infinity) ? caster.triangle + ' ' + caster.distance : 'nothing';
          });
          if (a !== 'nothing') found.hits++;
          if (a !== b || casters[0].isBlocked(Infinity) !== (a !== 'nothing')) found.differences++;
        }
        console.log(JSON.stringify(found));
      });`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    running.add(child);
    child.stdout.setEncoding('utf8');
    let answer = '';
    child.stdout.on('data', (text: string) => {
      answer += text;
    });
    await once(child, 'close');
    running.delete(child);
    const found = JSON.parse(answer);
    expect(found.differences).toBe(0);
    expect(found.hits).toBeGreaterThan(500);
  });
});

describe('a scene that cannot be rendered is reported as the input’s fault', () => {
  const triangle: Shape = { positions: [0, 0, 0, 1, 0, 0, 0, 1, 0] };
  const view = (json: Json): Buffer => glb([triangle], json);
  const many = { positions: new Array<number>(9 * 50_000).fill(0) };

  it.each<[string, Buffer, RegExp]>([
    ['is no glTF', Buffer.from('P6 1 1 255 abc'), /not glTF/],
    ['is empty', Buffer.alloc(0), /not glTF/],
    ['is cut', glb([triangle]).subarray(0, 300), /truncated/],
    ['has no meshes', glb([]), /no triangles/],
    ['has an index past its vertices', glb([{ ...triangle, indices: [0, 1, 3] }]), /vertex number 3.*only 3/],
    [
      'has a position that is not a number',
      glb([{ positions: [0, 0, 0, Number.NaN, 0, 0, 0, 1, 0] }]),
      /not a finite number/,
    ],
    ['scales a position out of range', view({ nodes: [{ mesh: 0, scale: [1e200, 1, 1] }] }), /not a finite number/],
    ['refers to another file', view({ images: [{ uri: 'wood.png' }] }), /another file/],
    ['has a cycle of nodes', view({ nodes: [{ mesh: 0, children: [1] }, { children: [0] }] }), /cycle/],
    ['claims more than a view holds', view({ bufferViews: [{ buffer: 0, byteLength: 8 }] }), /past the end/],
    ['claims a buffer that is not there', view({ bufferViews: [{ buffer: 3, byteLength: 36 }] }), /cannot be read/],
    [
      'claims numbers without end',
      view({ accessors: [{ componentType: 5126, type: 'VEC3', count: 1e9 }] }),
      /more data/,
    ],
    [
      'claims sparse numbers without end',
      view({ accessors: [{ componentType: 5126, type: 'VEC3', count: 3, sparse: { count: 1e300 } }] }),
      /more sparse elements/,
    ],
    ['has a colour that is one number', view({ materials: [{ emissiveFactor: 1 }] }), /list of 3 numbers/],
    ['has a place that is nothing', view({ nodes: [{ mesh: 0, translation: null }] }), /list of 3 numbers/],
    ['requires an unknown extension', view({ extensionsRequired: ['KHR_draco_mesh_compression'] }), /extensions/],
    ['has a mesh that is a number', view({ meshes: [7] }), /not an object/],
    ['shows nodes that are not there', view({ scenes: [{ nodes: [99] }] }), /cannot be read|no triangles/],
    [
      'shows more than five million triangles by instances',
      glb([many], { nodes: new Array(101).fill({ mesh: 0 }), scenes: [{ nodes: [...Array(101).keys()] }] }),
      /5000000 triangles/,
    ],
  ])('when it %s', async (_, bytes, message) => {
    const engine = await run(bytes, { width: 64, height: 64 });
    expect(engine.reports.at(-1)).toMatchObject({ type: 'failed', message: expect.stringMatching(message) });
    expect(engine.code).toBe(2);
  });
});
