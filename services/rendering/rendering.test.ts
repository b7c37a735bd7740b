import { mkdtemp, open, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zip } from '../../dev/samples/zip';
import { mainScene as mainSceneOfEngine } from '../../engines/povray/sceneFiles';
import type { InputError } from '../service';
import { service as rendering } from './index';
import type { GltfFacts } from './inspectGltf';
import { mainScene } from './inspectPovray';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'rendering-'));
});
afterAll(() => rm(folder, { recursive: true }));

type Json = Record<string, unknown>;

/** One triangle: three positions of 36 bytes, three indices of 6. */
const TRIANGLE: Json = {
  asset: { version: '2.0' },
  scene: 0,
  scenes: [{ nodes: [0] }],
  nodes: [{ mesh: 0 }],
  meshes: [{ primitives: [{ attributes: { POSITION: 0 }, indices: 1 }] }],
  accessors: [
    { bufferView: 0, componentType: 5126, count: 3, type: 'VEC3' },
    { bufferView: 1, componentType: 5123, count: 3, type: 'SCALAR' },
  ],
  bufferViews: [
    { buffer: 0, byteOffset: 0, byteLength: 36 },
    { buffer: 0, byteOffset: 36, byteLength: 6 },
  ],
  buffers: [{ byteLength: 42 }],
};

const BINARY = Buffer.alloc(44);
for (const [place, value] of [0, 0, 0, 1, 0, 0, 0, 1, 0].entries()) BINARY.writeFloatLE(value, place * 4);
for (const [place, value] of [0, 1, 2].entries()) BINARY.writeUInt16LE(value, 36 + place * 2);

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [place, value] of values.entries()) buffer.writeUInt32LE(value, place * 4);
  return buffer;
}

function glb(json: Json | string, binary = BINARY): Buffer {
  const text = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json));
  const padded = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, 0x20)]);
  return Buffer.concat([
    words(0x46546c67, 2, 28 + padded.length + binary.length, padded.length, 0x4e4f534a),
    padded,
    words(binary.length, 0x004e4942),
    binary,
  ]);
}

async function inspect(bytes: Buffer | string) {
  const path = join(folder, 'input');
  await writeFile(path, bytes);
  return rendering.inspect({ path, size: Buffer.byteLength(bytes) });
}

async function refusal(bytes: Buffer | string): Promise<string> {
  try {
    await inspect(bytes);
  } catch (error) {
    expect((error as InputError).message).toMatch(/^[A-Z].*\.$/);
    return (error as InputError).code;
  }
  return 'nothing: it was accepted';
}

describe('what an inspection tells', () => {
  it('counts the triangles of a .glb as shown, each instance of a mesh again', async () => {
    const nodes = [{ children: [1, 2], mesh: 0 }, { mesh: 0 }, { mesh: 0, camera: 0 }, { mesh: 0 }];
    const bytes = glb({ ...TRIANGLE, nodes, cameras: [{ type: 'perspective' }] });
    expect(await inspect(bytes)).toEqual({
      kind: 'gltf',
      format: 'glb',
      bytes: bytes.length,
      triangles: 3,
      meshes: 1,
      nodes: 3,
      cameras: 1,
    });
  });

  it('reads a .gltf whose buffer is embedded', async () => {
    const uri = `data:application/octet-stream;base64,${BINARY.toString('base64')}`;
    const facts = await inspect(JSON.stringify({ ...TRIANGLE, buffers: [{ byteLength: 42, uri }] }));
    expect(facts).toMatchObject({ format: 'gltf', triangles: 1 });
  });

  it('counts strips and fans by their corners, and neither lines nor points', async () => {
    const primitives = [0, 1, 4, 5, 6].map((mode) => ({ attributes: { POSITION: 0 }, mode }));
    expect(await inspect(glb({ ...TRIANGLE, meshes: [{ primitives }] }))).toMatchObject({ triangles: 3 });
  });

  it('accepts the sample scene, which has enough triangles to be worth a rendering', async () => {
    const path = join(__dirname, '../../samples/gallery.glb');
    const facts = await rendering.inspect({ path, size: (await stat(path)).size });
    expect(facts).toMatchObject({ kind: 'gltf', triangles: expect.any(Number), cameras: 1 });
    expect((facts as GltfFacts).triangles).toBeGreaterThanOrEqual(50_000);
  });
});

describe('a POV-Ray scene', () => {
  const SCENE = '#version 3.7;\ncamera { location <0, 1, -3> look_at y }\nsphere { y, 1 pigment { rgb 1 } }\n';
  const size = { width: 64, height: 48, frames: 1, quality: 'standard' } as const;

  it('is told by its content, and only POV-Ray can run it', async () => {
    const facts = await inspect(SCENE);
    expect(facts).toEqual({ kind: 'povray', format: 'pov', bytes: SCENE.length });
    expect(rendering.enginesFor?.(facts, size)).toEqual(['povray']);
    expect(rendering.enginesFor?.(await inspect(glb(TRIANGLE)), size)).toEqual(['render']);
  });

  it('is accepted as the sample, whose words are in any place', async () => {
    const path = join(__dirname, '../../samples/hall.pov');
    expect(await rendering.inspect({ path, size: (await stat(path)).size })).toMatchObject({ kind: 'povray' });
  });

  it.each(['/etc/passwd', '../../secret.inc', 'C:\\\\scenes\\\\a.inc', 'parts/../../x.inc'])(
    'that includes %s is refused: that is a file of its author',
    async (name) => {
      expect(await refusal(`${SCENE}#include "${name}"\n`)).toBe('input_outside_reference');
    },
  );

  it('is text: neither a netlist nor a binary file is taken for one', async () => {
    expect(await refusal('RC\nR1 in out 1k\n.tran 1u 1m\n.end\n')).toBe('input_not_gltf');
    expect(await refusal(`${SCENE}\0`)).toBe('input_not_gltf');
  });

  it('can come as an archive, in which one file is to be rendered: the one that the engine takes', async () => {
    const archives = [
      ['a.pov', 'b.inc'],
      ['x/main.pov', 'x/other.pov', 'x/map.png'],
    ];
    for (const names of archives) {
      const bytes = zip(names.map((name) => ({ name, content: SCENE })));
      expect(await inspect(bytes)).toEqual({ kind: 'povray', format: 'zip', bytes: bytes.length });
      expect(mainScene(names)).toBe(mainSceneOfEngine(names));
    }
    for (const names of [['a.inc'], ['a.pov', 'b.pov'], ['x/main.pov', 'main.pov'], ['a b.pov']]) {
      expect(await refusal(zip(names.map((name) => ({ name, content: SCENE }))))).toBe('scene_not_in_archive');
      expect(() => mainSceneOfEngine(names)).toThrow();
    }
    const outside = [
      { name: 'a.pov', content: SCENE },
      { name: 'b.inc', content: '#include "/etc/passwd"' },
    ];
    expect(await refusal(zip(outside))).toBe('input_outside_reference');
    const link = inspect(zip([{ name: 'a.pov', content: SCENE, mode: 0o120777 }]));
    await expect(link).rejects.toMatchObject({ code: 'archive_unsafe' });
    expect(await refusal('PK\x03\x04 and no more')).toBe('archive_invalid');
  });

  it('is refused when it is larger than anybody writes', async () => {
    expect(await refusal(SCENE + ' '.repeat(16 * 1024 * 1024))).toBe('input_too_large');
  });

  it('has one camera, and squares of samples up to 81', async () => {
    const facts = await inspect(SCENE);
    expect(() => rendering.estimate(facts, { ...size, camera: 0 })).toThrow('leave the camera out');
    expect(() => rendering.estimate(facts, { ...size, samples: 82 })).toThrow('at most 81 samples');
    expect(rendering.estimate(facts, { ...size, samples: 81, frames: 3 }).reason).toBe(
      'The output size is known exactly: 3 pictures of 64 x 48 pixels.',
    );
  });
});

describe('a panorama', () => {
  const facts: GltfFacts = { kind: 'gltf', format: 'glb', bytes: 1, triangles: 1, meshes: 1, nodes: 1, cameras: 1 };

  it('of n megapixels a face uses 6n, and counts as 6 frames', () => {
    const parameters = rendering.parameters.parse({ width: 500, height: 500, panorama: true });
    const { expected, reason } = rendering.estimate(facts, parameters);
    expect(expected).toEqual([{ meter: 'megapixels', quantity: 1_500_000n }]);
    expect(reason).toBe('The output size is known exactly: a panorama of 6 pictures of 500 x 500 pixels.');
    expect(rendering.dimensions(facts, parameters)).toMatchObject({ imageMegapixels: '0.25', frames: '6' });
  });

  it.each([
    { width: 64, height: 48, panorama: true },
    { width: 64, height: 64, panorama: true, frames: 2 },
  ])('is square and comes alone: %j is refused', (parameters) => {
    expect(rendering.parameters.safeParse(parameters).error?.issues[0]?.message).toMatch(/panorama/);
  });
});

describe('a hostile or broken file is refused with a stable code', () => {
  it('when it is empty', async () => {
    expect(await refusal('')).toBe('input_not_gltf');
  });

  it('when it is something else altogether', async () => {
    expect(await refusal('\x89PNG\r\n\x1a\n')).toBe('input_not_gltf');
    expect(await refusal('{"name":"not a scene"}')).toBe('input_not_gltf');
    expect(await refusal('{{{')).toBe('input_not_gltf');
  });

  it('when it is two gigabytes of zeros, without reading them', async () => {
    const path = join(folder, 'zeros');
    const file = await open(path, 'w');
    await file.truncate(2 ** 31);
    await file.close();
    const memoryBefore = process.memoryUsage().rss;
    await expect(rendering.inspect({ path, size: 2 ** 31 })).rejects.toMatchObject({ code: 'input_not_gltf' });
    expect(process.memoryUsage().rss - memoryBefore).toBeLessThan(64 * 1024 * 1024);
  });

  it('when it is a .glb above the size limit, without reading it', async () => {
    const path = join(folder, 'large');
    const file = await open(path, 'w');
    await file.write(words(0x46546c67, 2, 2 ** 31, 16, 0x4e4f534a));
    await file.truncate(2 ** 31);
    await file.close();
    await expect(rendering.inspect({ path, size: 2 ** 31 })).rejects.toMatchObject({ code: 'input_too_large' });
  });

  it('when the container is cut anywhere', async () => {
    const whole = glb(TRIANGLE);
    for (const length of [4, 11, 19, 20, 60, whole.length - 45, whole.length - 1]) {
      expect([length, await refusal(whole.subarray(0, length))]).toEqual([length, 'input_truncated']);
    }
  });

  it('when the header says less than there is', async () => {
    expect(await refusal(Buffer.concat([glb(TRIANGLE), Buffer.alloc(4)]))).toBe('input_malformed');
  });

  it('when the JSON chunk says four gigabytes', async () => {
    const bytes = glb(TRIANGLE);
    bytes.writeUInt32LE(0xffffffff, 12);
    expect(await refusal(bytes)).toBe('input_truncated');
  });

  it('when the container or the document has another version', async () => {
    const bytes = glb(TRIANGLE);
    bytes.writeUInt32LE(1, 4);
    expect(await refusal(bytes)).toBe('input_not_gltf');
    expect(await refusal(glb({ ...TRIANGLE, asset: { version: '1.0' } }))).toBe('input_not_gltf');
  });

  it('when it names a file, an address or a device, in buffers, images or extensions', async () => {
    for (const uri of ['../secret.bin', 'file:///etc/passwd', 'http://169.254.169.254/', '/dev/zero', '', 7]) {
      expect(await refusal(glb({ ...TRIANGLE, images: [{ uri }] }))).toBe('input_outside_reference');
    }
    const buffers = [{ byteLength: 42, uri: 'scene.bin' }];
    expect(await refusal(JSON.stringify({ ...TRIANGLE, buffers }))).toBe('input_outside_reference');
    const extensions = { EXT_any: { deep: [{ uri: 'x.ktx' }] } };
    expect(await refusal(glb({ ...TRIANGLE, extensions }))).toBe('input_outside_reference');
  });

  it('when a billion indices are claimed of a small file', async () => {
    const [positions, indices] = TRIANGLE.accessors as Json[];
    const many = { ...indices, count: 1_000_000_000 };
    expect(await refusal(glb({ ...TRIANGLE, accessors: [positions, many] }))).toBe('input_malformed');
    const unbacked = { componentType: 5125, type: 'SCALAR', count: 1_000_000_000 };
    expect(await refusal(glb({ ...TRIANGLE, accessors: [positions, unbacked] }))).toBe('input_too_large');
  });

  it('when many accessors claim the same bytes, which decoding would multiply', async () => {
    const binary = Buffer.alloc(1024 * 1024);
    const accessor = { bufferView: 0, componentType: 5126, count: Math.floor(binary.length / 12), type: 'VEC3' };
    const json = {
      ...TRIANGLE,
      accessors: [...(TRIANGLE.accessors as Json[]), ...Array.from({ length: 2000 }, () => accessor)],
      bufferViews: [{ buffer: 0, byteLength: binary.length }, (TRIANGLE.bufferViews as Json[])[1]],
      buffers: [{ byteLength: binary.length }],
    };
    expect(await refusal(glb(json, binary))).toBe('input_too_large');
  });

  it('when a buffer view passes its buffer, or a buffer its chunk', async () => {
    const bufferViews = [{ buffer: 0, byteOffset: 40, byteLength: 36 }, (TRIANGLE.bufferViews as Json[])[1]];
    expect(await refusal(glb({ ...TRIANGLE, bufferViews }))).toBe('input_malformed');
    expect(await refusal(glb({ ...TRIANGLE, buffers: [{ byteLength: 4096 }] }))).toBe('input_truncated');
  });

  it('when counts are negative, fractional or not numbers', async () => {
    for (const count of [-1, 0, 1.5, 1e300, '3', null]) {
      const accessors = [{ ...(TRIANGLE.accessors as Json[])[0], count }, (TRIANGLE.accessors as Json[])[1]];
      expect([count, await refusal(glb({ ...TRIANGLE, accessors }))]).toEqual([count, 'input_malformed']);
    }
  });

  it('when a place or a colour is not the numbers it must be', async () => {
    for (const translation of [null, 1, [1, 2], [1, 2, 3, 4], [1, '2', 3]]) {
      expect(await refusal(glb({ ...TRIANGLE, nodes: [{ mesh: 0, translation }] }))).toBe('input_malformed');
    }
    expect(await refusal(glb({ ...TRIANGLE, materials: [{ emissiveFactor: 1 }] }))).toBe('input_malformed');
  });

  it('when an index points at nothing', async () => {
    expect(await refusal(glb({ ...TRIANGLE, nodes: [{ mesh: 5 }] }))).toBe('input_malformed');
    expect(await refusal(glb({ ...TRIANGLE, nodes: [{ mesh: 0, children: [9] }] }))).toBe('input_malformed');
    expect(await refusal(glb({ ...TRIANGLE, scenes: [{ nodes: [3] }] }))).toBe('input_malformed');
    expect(await refusal(glb({ ...TRIANGLE, scene: 1 }))).toBe('input_malformed');
  });

  it('when nodes form a cycle', async () => {
    expect(await refusal(glb({ ...TRIANGLE, nodes: [{ mesh: 0, children: [0] }] }))).toBe('input_malformed');
    const cycle = [{ mesh: 0, children: [1] }, { children: [0] }];
    expect(await refusal(glb({ ...TRIANGLE, nodes: cycle }))).toBe('input_malformed');
  });

  it('when nodes double at each level, as a small file could to show a mesh 2^40 times', async () => {
    const nodes = Array.from({ length: 41 }, (_, level) =>
      level < 40 ? { children: [level + 1, level + 1] } : { mesh: 0 },
    );
    expect(await refusal(glb({ ...TRIANGLE, nodes }))).toBe('input_malformed');
  });

  it('when nodes are nested by the thousand', async () => {
    const nodes = Array.from({ length: 5000 }, (_, level) => (level < 4999 ? { children: [level + 1] } : { mesh: 0 }));
    expect(await refusal(glb({ ...TRIANGLE, nodes }))).toBe('input_malformed');
  });

  it('when its JSON is nested by the million', async () => {
    expect(await refusal(glb(`{"asset":${'['.repeat(1_000_000)}`))).toBe('input_malformed');
  });

  it('when its JSON holds millions of values, without building them', async () => {
    const memoryBefore = process.memoryUsage().rss;
    expect(await refusal(glb(`{"nodes":[${'{},'.repeat(5_000_000)}{}]}`))).toBe('input_too_large');
    expect(process.memoryUsage().rss - memoryBefore).toBeLessThan(200 * 1024 * 1024);
  });

  it('when its lists are too long', async () => {
    const nodes = Array.from({ length: 200_001 }, () => ({}));
    expect(await refusal(glb({ ...TRIANGLE, nodes }))).toBe('input_too_large');
  });

  it('when it shows more than five million triangles by instances', async () => {
    const binary = Buffer.alloc(36 * 40_000);
    const json = {
      ...TRIANGLE,
      scenes: [{ nodes: Array.from({ length: 126 }, (_, node) => node) }],
      nodes: Array.from({ length: 126 }, () => ({ mesh: 0 })),
      meshes: [{ primitives: [{ attributes: { POSITION: 0 } }] }],
      accessors: [{ bufferView: 0, componentType: 5126, count: 120_000, type: 'VEC3' }],
      bufferViews: [{ buffer: 0, byteLength: binary.length }],
      buffers: [{ byteLength: binary.length }],
    };
    expect(await refusal(glb(json, binary))).toBe('input_too_large');
  });

  it('when it shows nothing', async () => {
    expect(await refusal(glb({ asset: { version: '2.0' } }))).toBe('input_empty_scene');
    expect(await refusal(glb({ ...TRIANGLE, scenes: [{ nodes: [] }] }))).toBe('input_empty_scene');
  });

  it('when it requires an extension that is not supported', async () => {
    const extensionsRequired = ['KHR_draco_mesh_compression'];
    expect(await refusal(glb({ ...TRIANGLE, extensionsRequired }))).toBe('input_unsupported');
  });

  it('when its text is not UTF-8', async () => {
    expect(await refusal(Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]))).toBe('input_not_gltf');
  });
});

describe('what a rendering uses', () => {
  const facts = { kind: 'gltf', format: 'glb', bytes: 1, triangles: 1, meshes: 1, nodes: 1, cameras: 1 } as const;

  it('is known exactly before it runs, and metered the same: a millionth of a megapixel is a pixel', () => {
    const parameters = rendering.parameters.parse({ width: 1024, height: 768, frames: 3 });
    const { low, expected, high } = rendering.estimate(facts, parameters);
    expect(expected).toEqual([{ meter: 'megapixels', quantity: 2_359_296n }]);
    expect([low, high]).toEqual([expected, expected]);
    expect(rendering.usageOf({ pixels: 2_359_296, rays: 5, samples: 7 })).toEqual([
      ...expected,
      { meter: 'rays', quantity: 5_000_000n },
      { meter: 'samples', quantity: 7_000_000n },
    ]);
  });

  it('is classified by quality and by the exact size of a picture', () => {
    const parameters = rendering.parameters.parse({ width: 1024, height: 768, quality: 'final' });
    expect(rendering.dimensions(facts, parameters)).toEqual({
      quality: 'final',
      imageMegapixels: '0.786432',
      frames: '1',
    });
  });

  it('refuses a camera that the scene does not have', () => {
    const parameters = rendering.parameters.parse({ width: 64, height: 64, camera: 1 });
    expect(() => rendering.estimate(facts, parameters)).toThrow('There is no camera 1: the scene has 1 camera');
  });
});

describe('parameters that cannot be meant are refused with a sentence', () => {
  const size = { width: 64, height: 64 };
  it.each([
    [{ width: 0, height: 64 }, 'the width is at least 16 pixels'],
    [{ width: 64, height: 1e9 }, 'the height is at most 8192 pixels'],
    [{ width: 64.5, height: 64 }, 'the width is a whole number of pixels'],
    [{ width: 8192, height: 8192 }, 'a picture has at most 33 megapixels'],
    [{ ...size, frames: 0 }, 'there is at least 1 frame'],
    [{ ...size, frames: 241 }, 'there are at most 240 frames'],
    [{ ...size, quality: 'draft' }, 'the quality is standard, high or final'],
    [{ ...size, samples: 0 }, 'there is at least 1 sample a pixel'],
    [{ ...size, colour: 'red' }, 'Unrecognized key: "colour"'],
  ])('%j', (given, message) => {
    expect(rendering.parameters.safeParse(given).error?.issues.map((issue) => issue.message)).toEqual([message]);
  });
});
