/**
 * Makes `samples/gallery.glb`, the scene of the demo: a round pavilion on a terrace by a pond, at late morning.
 *
 * `node dist/dev/samples/makeScene.js [file]`. The same file comes out each time: chance has a fixed seed.
 */
import { writeFileSync } from 'node:fs';

type Vector = readonly [number, number, number];

interface Mesh {
  readonly positions: number[];
  readonly normals: number[];
  readonly indices: number[];
}

interface Material {
  readonly name: string;
  readonly color: readonly [number, number, number, number];
  readonly metallic: number;
  readonly roughness: number;
  readonly emissive?: Vector;
  readonly strength?: number;
}

interface Place {
  readonly mesh: string;
  readonly material: string;
  readonly at?: Vector;
  readonly turn?: number;
  readonly size?: number | Vector;
}

const COLUMNS = 10;

const MATERIALS: readonly Material[] = [
  { name: 'limestone', color: [0.58, 0.5, 0.39, 1], metallic: 0, roughness: 0.75 },
  { name: 'pale stone', color: [0.68, 0.63, 0.54, 1], metallic: 0, roughness: 0.6 },
  { name: 'dark slate', color: [0.13, 0.14, 0.16, 1], metallic: 0, roughness: 0.25 },
  { name: 'light slate', color: [0.55, 0.52, 0.48, 1], metallic: 0, roughness: 0.3 },
  { name: 'copper', color: [0.17, 0.4, 0.34, 1], metallic: 0.35, roughness: 0.5 },
  { name: 'gold', color: [1.0, 0.72, 0.28, 1], metallic: 1, roughness: 0.16 },
  { name: 'chrome', color: [0.92, 0.93, 0.95, 1], metallic: 1, roughness: 0.04 },
  { name: 'rose copper', color: [0.95, 0.53, 0.4, 1], metallic: 1, roughness: 0.3 },
  { name: 'red lacquer', color: [0.62, 0.03, 0.03, 1], metallic: 0, roughness: 0.12 },
  { name: 'blue lacquer', color: [0.03, 0.12, 0.45, 1], metallic: 0, roughness: 0.1 },
  { name: 'water', color: [0.012, 0.05, 0.06, 1], metallic: 0, roughness: 0.03 },
  { name: 'meadow', color: [0.17, 0.25, 0.07, 1], metallic: 0, roughness: 1 },
  { name: 'cypress', color: [0.045, 0.11, 0.035, 1], metallic: 0, roughness: 0.9 },
  { name: 'bark', color: [0.16, 0.1, 0.06, 1], metallic: 0, roughness: 0.9 },
  { name: 'lamp', color: [1, 0.9, 0.7, 1], metallic: 0, roughness: 0.5, emissive: [1, 0.72, 0.38], strength: 4 },
];

/** A seeded generator of numbers in [0, 1). */
function chanceOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}

/** A grid of points over [0, 1] x [0, 1] as a surface with smooth normals. */
function surface(columns: number, rows: number, pointOf: (u: number, v: number) => Vector): Mesh {
  const mesh: Mesh = { positions: [], normals: [], indices: [] };
  const step = 1e-4;
  for (let row = 0; row <= rows; row++) {
    for (let column = 0; column <= columns; column++) {
      const [u, v] = [column / columns, row / rows];
      mesh.positions.push(...pointOf(u, v));
      const alongU = difference(pointOf(u + step, v), pointOf(u - step, v));
      // At the ends of v a pole may collapse, so the slope is taken just inside.
      const inside = Math.min(1 - 2 * step, Math.max(2 * step, v));
      const aroundU = length(alongU) > 1e-9 ? alongU : difference(pointOf(u + step, inside), pointOf(u - step, inside));
      const alongV = difference(pointOf(u, inside + step), pointOf(u, inside - step));
      mesh.normals.push(...unit(cross(alongV, aroundU)));
    }
  }
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = row * (columns + 1) + column;
      const above = at + columns + 1;
      mesh.indices.push(at, above, at + 1, at + 1, above, above + 1);
    }
  }
  return mesh;
}

/** A profile of (radius, height) pairs turned about the vertical axis; each straight piece has its own edges. */
function turned(profile: readonly (readonly [number, number])[], around: number): Mesh {
  const pieces = profile.slice(1).map((end, number) => {
    const start = profile[number] as readonly [number, number];
    return surface(around, 1, (u, v) => {
      const radius = start[0] + (end[0] - start[0]) * v;
      const angle = -2 * Math.PI * u;
      return [radius * Math.cos(angle), start[1] + (end[1] - start[1]) * v, radius * Math.sin(angle)];
    });
  });
  return joined(pieces);
}

function sphere(around: number, rings: number): Mesh {
  return surface(around, rings, (u, v) => {
    const [angle, polar] = [-2 * Math.PI * u, Math.PI * (1 - v)];
    return [Math.sin(polar) * Math.cos(angle), Math.cos(polar), Math.sin(polar) * Math.sin(angle)];
  });
}

/** A shaft with grooves, a little thicker a third of the way up, as stone columns are. */
function column(height: number): Mesh {
  const grooves = 16;
  const shaft = surface(grooves * 4, 8, (u, v) => {
    const swell = 0.3 - 0.055 * v + 0.012 * Math.sin(Math.PI * Math.min(1, v * 1.4));
    const groove = 0.022 * Math.abs(Math.sin(u * Math.PI * grooves)) ** 0.8;
    const radius = swell - 0.022 + groove;
    const angle = -2 * Math.PI * u;
    return [radius * Math.cos(angle), 0.32 + v * (height - 0.72), radius * Math.sin(angle)];
  });
  const base = turned(
    [
      [0.46, 0],
      [0.46, 0.12],
      [0.42, 0.14],
      [0.38, 0.2],
      [0.4, 0.24],
      [0.36, 0.32],
      [0.25, 0.33],
    ],
    32,
  );
  const top = height - 0.4;
  const capital = turned(
    [
      [0.24, top],
      [0.29, top + 0.03],
      [0.27, top + 0.07],
      [0.34, top + 0.2],
      [0.42, top + 0.24],
      [0.42, top + 0.4],
      [0, top + 0.4],
    ],
    32,
  );
  return joined([shaft, base, capital]);
}

function torusKnot(p: number, q: number, along: number, around: number, thickness: number): Mesh {
  const centre = (t: number): Vector => {
    const angle = 2 * Math.PI * t;
    const radius = 0.62 + 0.3 * Math.cos(q * angle);
    return [radius * Math.cos(p * angle), 0.38 * Math.sin(q * angle), radius * Math.sin(p * angle)];
  };
  return surface(around, along, (u, v) => {
    const here = centre(v);
    const forward = unit(difference(centre(v + 1e-4), centre(v - 1e-4)));
    const side = unit(cross(forward, unit(here)));
    const up = cross(side, forward);
    const angle = 2 * Math.PI * u;
    const [a, b] = [Math.cos(angle) * thickness, Math.sin(angle) * thickness];
    return [here[0] + side[0] * a + up[0] * b, here[1] + side[1] * a + up[1] * b, here[2] + side[2] * a + up[2] * b];
  });
}

/** Meadow with hills that rise beyond the terrace. */
function hills(): Mesh {
  const waves = Array.from({ length: 9 }, chanceOf(7)).map((phase) => phase * 2 * Math.PI);
  return surface(96, 40, (u, v) => {
    const angle = -2 * Math.PI * u;
    const distance = 6 + 120 * v ** 2.2;
    const [x, z] = [distance * Math.cos(angle), distance * Math.sin(angle)];
    const rise = Math.min(1, Math.max(0, (distance - 16) / 70)) ** 1.6;
    let height = 0;
    for (let wave = 0; wave < 9; wave++) {
      const turn = wave * 2.4;
      const frequency = 0.045 * 1.33 ** wave;
      const along = x * Math.cos(turn) + z * Math.sin(turn);
      height += (Math.sin(along * frequency + (waves[wave] ?? 0)) + 0.55) * 4.2 * 0.6 ** wave;
    }
    // Flat in front, where the pond lies.
    const behind = 0.3 + 0.7 * Math.min(1, Math.max(0, (18 - z) / 40));
    return [x, -0.55 + rise * behind * height, z];
  });
}

function cypress(seed: number): Mesh {
  const chance = chanceOf(seed);
  const phases = Array.from({ length: 12 }, () => chance() * 2 * Math.PI);
  return surface(28, 26, (u, v) => {
    const angle = -2 * Math.PI * u;
    const outline = Math.sin(Math.PI * v ** 0.62) ** 0.75 * (1 - 0.55 * v);
    let ruffle = 1;
    for (let wave = 0; wave < 12; wave++) {
      const around = 2 + wave;
      ruffle +=
        (0.16 / Math.sqrt(wave + 1)) *
        Math.sin(around * angle + (wave % 2 === 0 ? 1 : -1) * (wave * 5 + 9) * v + (phases[wave] ?? 0));
    }
    const radius = 0.62 * outline * ruffle;
    return [radius * Math.cos(angle), 0.35 + 4.2 * v, radius * Math.sin(angle)];
  });
}

function box(): Mesh {
  const faces: Mesh[] = [];
  for (let axis = 0; axis < 3; axis++) {
    for (const side of [-0.5, 0.5]) {
      faces.push(
        surface(1, 1, (u, v) => {
          const [a, b] = side > 0 ? [v - 0.5, u - 0.5] : [u - 0.5, v - 0.5];
          const point = [0, 0, 0];
          point[axis] = side;
          point[(axis + 1) % 3] = a;
          point[(axis + 2) % 3] = b;
          return point as unknown as Vector;
        }),
      );
    }
  }
  return joined(faces);
}

function scene(): { meshes: ReadonlyMap<string, Mesh>; places: Place[] } {
  const meshes = new Map<string, Mesh>([
    [
      'steps',
      turned(
        [
          [6.4, -0.6],
          [6.4, -0.3],
          [5.9, -0.3],
          [5.9, 0],
          [5.4, 0],
          [5.4, 0.3],
          [4.9, 0.3],
          [4.9, 0.6],
          [0, 0.6],
        ],
        96,
      ),
    ],
    ['column', column(4.2)],
    [
      'ring',
      turned(
        [
          [3.45, 0],
          [4.45, 0],
          [4.45, 0.28],
          [4.52, 0.3],
          [4.52, 0.55],
          [4.8, 0.72],
          [4.8, 0.86],
          [3.3, 0.86],
          [3.45, 0.5],
          [3.45, 0],
        ],
        120,
      ),
    ],
    ['dome', joined([dome(4.25, 1), dome(4.05, -1)])],
    [
      'finial',
      turned(
        [
          [0.34, 0],
          [0.34, 0.1],
          [0.12, 0.2],
          [0.1, 0.34],
          [0.24, 0.5],
          [0.24, 0.6],
          [0.05, 0.8],
          [0, 1.5],
        ],
        32,
      ),
    ],
    [
      'pedestal',
      turned(
        [
          [0.85, 0],
          [0.85, 0.15],
          [0.72, 0.2],
          [0.62, 0.9],
          [0.74, 1.0],
          [0.74, 1.1],
          [0, 1.1],
        ],
        48,
      ),
    ],
    ['knot', torusKnot(2, 3, 180, 18, 0.155)],
    ['sphere', sphere(40, 20)],
    ['hills', hills()],
    ['tree', cypress(3)],
    [
      'trunk',
      turned(
        [
          [0.16, -0.3],
          [0.13, 0.6],
        ],
        12,
      ),
    ],
    ['box', box()],
    [
      'pond',
      turned(
        [
          [9.2, 0],
          [0, 0],
        ],
        64,
      ),
    ],
    [
      'rim',
      turned(
        [
          [9.2, -0.5],
          [9.2, 0.12],
          [9.3, 0.16],
          [9.7, 0.16],
          [9.8, 0.1],
          [9.8, -0.5],
        ],
        128,
      ),
    ],
    [
      'lantern',
      turned(
        [
          [0.2, 0],
          [0.2, 0.08],
          [0.07, 0.12],
          [0.06, 0.95],
          [0.17, 1.0],
          [0, 1.0],
        ],
        24,
      ),
    ],
  ]);
  const places: Place[] = [
    { mesh: 'hills', material: 'meadow' },
    { mesh: 'steps', material: 'limestone' },
    { mesh: 'ring', material: 'pale stone', at: [0, 4.8, 0] },
    { mesh: 'dome', material: 'copper', at: [0, 5.66, 0] },
    { mesh: 'finial', material: 'gold', at: [0, 9.06, 0] },
    { mesh: 'pedestal', material: 'dark slate', at: [0, 0.6, 0] },
    { mesh: 'knot', material: 'gold', at: [0, 2.75, 0], turn: 0.5, size: 1.12 },
    { mesh: 'pond', material: 'water', at: [0, -0.42, 15.2] },
    { mesh: 'rim', material: 'limestone', at: [0, -0.5, 15.2] },
  ];
  for (let number = 0; number < COLUMNS; number++) {
    const angle = (2 * Math.PI * (number + 0.5)) / COLUMNS + Math.PI / 2;
    places.push({
      mesh: 'column',
      material: 'pale stone',
      at: [3.95 * Math.cos(angle), 0.6, 3.95 * Math.sin(angle)],
      turn: angle,
    });
  }
  floor(places);
  spheres(places);
  trees(places);
  return { meshes, places };
}

/** The outer (side 1) or inner (side -1) shell of the dome, open at its foot. */
function dome(radius: number, side: number): Mesh {
  return surface(96, 20, (u, v) => {
    const [angle, rise] = [-2 * Math.PI * u, (Math.PI / 2) * (side > 0 ? v : 1 - v)];
    const rib = side > 0 ? 1 + 0.012 * Math.abs(Math.cos(12 * angle)) ** 6 : 1;
    return [
      radius * Math.cos(rise) * rib * Math.cos(angle),
      radius * 0.8 * Math.sin(rise) * rib,
      radius * Math.cos(rise) * rib * Math.sin(angle),
    ];
  });
}

/** Two colours of paving in the pavilion, as tiles with fine joints. */
function floor(places: Place[]): void {
  for (let row = -5; row <= 5; row++) {
    for (let column = -5; column <= 5; column++) {
      const [x, z] = [column * 0.72, row * 0.72];
      if (Math.hypot(Math.abs(x) + 0.36, Math.abs(z) + 0.36) > 4.6) continue;
      const material = (row + column) % 2 === 0 ? 'dark slate' : 'light slate';
      places.push({ mesh: 'box', material, at: [x, 0.6, z], size: [0.7, 0.04, 0.7] });
    }
  }
}

function spheres(places: Place[]): void {
  const shown: readonly (readonly [string, number, number, number, number])[] = [
    ['red lacquer', -2.55, 0.3, 5.12, 0.36],
    ['chrome', 2.75, 0, 5.55, 0.62],
    ['blue lacquer', 4.05, -0.3, 5.0, 0.34],
    ['rose copper', -4.25, -0.3, 4.55, 0.5],
    ['gold', -3.45, -0.3, 5.5, 0.2],
    ['pale stone', 1.75, 0, 5.4, 0.24],
  ];
  for (const [material, x, y, z, radius] of shown) {
    places.push({ mesh: 'sphere', material, at: [x, y + radius, z], size: radius });
  }
  for (const side of [-1, 1]) {
    for (const z of [6.05, 3.2]) {
      const x = side * (z > 5 ? 1.25 : 6.9);
      const y = z > 5 ? -0.3 : -0.5;
      places.push({ mesh: 'lantern', material: 'dark slate', at: [x, y, z] });
      places.push({ mesh: 'sphere', material: 'lamp', at: [x, y + 1.14, z], size: 0.15 });
    }
  }
}

function trees(places: Place[]): void {
  const chance = chanceOf(41);
  const spots: readonly (readonly [number, number])[] = [
    [-9.2, 1.2],
    [-8.4, -3.4],
    [-11.6, -1.0],
    [9.4, 0.6],
    [8.6, -3.9],
    [12.2, -2.2],
    [-14.5, -7],
    [15.5, -8],
    [-6.2, -11],
    [6.4, -12.5],
    [-19, -13],
    [20.5, -15],
  ];
  for (const [x, z] of spots) {
    const size = 1.15 + chance() * 0.75;
    const turn = chance() * 2 * Math.PI;
    places.push({ mesh: 'tree', material: 'cypress', at: [x, -0.55, z], turn, size });
    places.push({ mesh: 'trunk', material: 'bark', at: [x, -0.55, z], size });
  }
}

const CAMERA = { from: [-6.4, 2.6, 21.5] as Vector, to: [0.1, 3.75, 0] as Vector, fovDegrees: 35.5 };

/** The scene as a GLB file: one buffer, every mesh stored once, places as nodes. */
function glb(): Buffer {
  const { meshes, places } = scene();
  const binary: Buffer[] = [];
  let binaryLength = 0;
  const bufferViews: object[] = [];
  const accessors: object[] = [];
  const store = (array: Float32Array | Uint16Array, target: number, accessor: object): number => {
    const bytes = Buffer.from(array.buffer, array.byteOffset, array.byteLength);
    const padding = (4 - (bytes.length % 4)) % 4;
    bufferViews.push({ buffer: 0, byteOffset: binaryLength, byteLength: bytes.length, target });
    binary.push(bytes, Buffer.alloc(padding));
    binaryLength += bytes.length + padding;
    return accessors.push({ bufferView: bufferViews.length - 1, ...accessor }) - 1;
  };
  const stored = new Map([...meshes].map(([name, mesh]) => [name, storeMesh(mesh, store)]));

  const numbers = new Map<string, number>();
  const gltfMeshes: object[] = [];
  const nodes: Record<string, unknown>[] = places.map((place) => {
    const key = `${place.mesh}, ${place.material}`;
    let mesh = numbers.get(key);
    if (mesh === undefined) {
      const material = MATERIALS.findIndex(({ name }) => name === place.material);
      mesh = gltfMeshes.push({ name: key, primitives: [{ ...stored.get(place.mesh), material }] }) - 1;
      numbers.set(key, mesh);
    }
    const half = (place.turn ?? 0) / 2;
    const size = place.size ?? 1;
    return {
      mesh,
      ...(place.at ? { translation: place.at } : {}),
      ...(place.turn ? { rotation: [0, Math.sin(half), 0, Math.cos(half)] } : {}),
      ...(size !== 1 ? { scale: typeof size === 'number' ? [size, size, size] : size } : {}),
    };
  });
  nodes.push({ name: 'view from the pond', camera: 0, matrix: lookAt(CAMERA.from, CAMERA.to) });

  const json = {
    asset: { version: '2.0', generator: 'holdfast dev/samples/makeScene.ts' },
    scene: 0,
    scenes: [{ name: 'gallery', nodes: nodes.map((_, number) => number) }],
    nodes,
    cameras: [
      { type: 'perspective', perspective: { yfov: (CAMERA.fovDegrees * Math.PI) / 180, znear: 0.1, zfar: 500 } },
    ],
    meshes: gltfMeshes,
    materials: MATERIALS.map(({ name, color, metallic, roughness, emissive, strength }) => ({
      name,
      pbrMetallicRoughness: { baseColorFactor: color, metallicFactor: metallic, roughnessFactor: roughness },
      ...(emissive ? { emissiveFactor: emissive } : {}),
      ...(strength ? { extensions: { KHR_materials_emissive_strength: { emissiveStrength: strength } } } : {}),
    })),
    extensionsUsed: ['KHR_materials_emissive_strength'],
    accessors,
    bufferViews,
    buffers: [{ byteLength: binaryLength }],
  };
  const text = Buffer.from(JSON.stringify(json));
  const jsonChunk = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, 0x20)]);
  return Buffer.concat([
    words(0x46546c67, 2, 28 + jsonChunk.length + binaryLength),
    words(jsonChunk.length, 0x4e4f534a),
    jsonChunk,
    words(binaryLength, 0x004e4942),
    ...binary,
  ]);
}

function storeMesh(
  { positions, normals, indices }: Mesh,
  store: (array: Float32Array | Uint16Array, target: number, accessor: object) => number,
): object {
  const vertices = positions.length / 3;
  if (vertices > 65_535) throw new Error('a mesh has too many vertices for 16-bit indices');
  const bound = (pick: (...values: number[]) => number): number[] =>
    [0, 1, 2].map((axis) => Math.fround(positions.filter((_, at) => at % 3 === axis).reduce((a, b) => pick(a, b))));
  const floats = { componentType: 5126, type: 'VEC3', count: vertices };
  return {
    attributes: {
      POSITION: store(Float32Array.from(positions), 34962, { ...floats, min: bound(Math.min), max: bound(Math.max) }),
      NORMAL: store(Float32Array.from(normals), 34962, floats),
    },
    indices: store(Uint16Array.from(indices), 34963, { componentType: 5123, type: 'SCALAR', count: indices.length }),
  };
}

function lookAt(from: Vector, to: Vector): number[] {
  const backward = unit(difference(from, to));
  const right = unit(cross([0, 1, 0], backward));
  return [...right, 0, ...cross(backward, right), 0, ...backward, 0, ...from, 1];
}

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [number, value] of values.entries()) buffer.writeUInt32LE(value, number * 4);
  return buffer;
}

function joined(meshes: readonly Mesh[]): Mesh {
  const all: Mesh = { positions: [], normals: [], indices: [] };
  for (const mesh of meshes) {
    const offset = all.positions.length / 3;
    for (const value of mesh.positions) all.positions.push(value);
    for (const value of mesh.normals) all.normals.push(value);
    for (const index of mesh.indices) all.indices.push(index + offset);
  }
  return all;
}

function difference(a: Vector, b: Vector): Vector {
  return [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function length(a: Vector): number {
  return Math.hypot(a[0], a[1], a[2]);
}

function unit(a: Vector): Vector {
  const size = length(a);
  return [a[0] / size, a[1] / size, a[2] / size];
}

const file = process.argv[2] ?? 'samples/gallery.glb';
const bytes = glb();
writeFileSync(file, bytes);
console.log(`${file}: ${bytes.length} bytes`);
