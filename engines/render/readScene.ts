/** From the bytes of a glTF file to a {@link Scene}. */
import { type Camera, cross, type Extent, normalize, type Vector } from './camera';
import { openContainer } from './container';
import { buildHierarchy } from './hierarchy';
import { InputFault } from './inputFault';
import type { Scene, SceneMaterial, Triangles } from './scene';

const loadLibrary = () => import('@gltf-transform/core');
type Library = Awaited<ReturnType<typeof loadLibrary>>;
type Accessor = InstanceType<Library['Accessor']>;
type Document = InstanceType<Library['Document']>;
type Material = InstanceType<Library['Material']>;
type Mesh = InstanceType<Library['Mesh']>;
type Node = InstanceType<Library['Node']>;
type Primitive = InstanceType<Library['Primitive']>;

const TRIANGLES_MAX = 5_000_000;
/** Beyond this, squares of distances leave the range of the 32-bit numbers that positions are kept in. */
const COORDINATE_MAX = 1e15;

/** Reads a scene. @throws InputFault when the file cannot be rendered. */
export async function readScene(bytes: Uint8Array): Promise<Scene> {
  const document = await decode(bytes);
  const root = document.getRoot();
  const shown = placements(document);
  const materials = root.listMaterials();
  const { hierarchy, triangles } = await buildHierarchy(flatten(shown, materials));
  return {
    triangles,
    hierarchy,
    materials: [...materials.map(materialOf), PLAIN],
    cameras: shown.filter(({ node }) => node.getCamera()).map(cameraOf),
    extent: extentOf(triangles),
  };
}

async function decode(bytes: Uint8Array): Promise<Document> {
  const { json, binary } = openContainer(bytes);
  const { GLB_BUFFER, Logger, NodeIO, Verbosity } = await loadLibrary();
  const reader = new NodeIO().setLogger(new Logger(Verbosity.SILENT));
  try {
    // The container was checked field by field where bounds matter; what else may be wrong shows here.
    return await reader.readJSON({
      json: json as never,
      resources: binary ? { [GLB_BUFFER]: new Uint8Array(binary) } : {},
    });
  } catch (cause) {
    throw new InputFault(`The scene cannot be read: ${cause instanceof Error ? cause.message : cause}`, { cause });
  }
}

/** A node of the scene and its place in the world, column by column. */
interface Placement {
  readonly node: Node;
  readonly world: ArrayLike<number>;
}

/** The nodes of the scene, parents first. The tree was bounded before, so recursion cannot be deep. */
function placements(document: Document): Placement[] {
  const root = document.getRoot();
  const scene = root.getDefaultScene() ?? root.listScenes()[0];
  const tops = scene ? scene.listChildren() : root.listNodes().filter((node) => !node.getParentNode());
  const found: Placement[] = [];
  const visit = (node: Node, parent: ArrayLike<number>): void => {
    const world = multiply(parent, node.getMatrix());
    found.push({ node, world });
    for (const child of node.listChildren()) visit(child, world);
  };
  for (const top of tops) visit(top, IDENTITY);
  return found;
}

const IDENTITY = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1];

function multiply(a: ArrayLike<number>, b: ArrayLike<number>): number[] {
  const product = new Array<number>(16);
  for (let column = 0; column < 4; column++) {
    for (let row = 0; row < 4; row++) {
      let sum = 0;
      for (let k = 0; k < 4; k++) sum += (a[k * 4 + row] ?? 0) * (b[column * 4 + k] ?? 0);
      product[column * 4 + row] = sum;
    }
  }
  return product;
}

function flatten(shown: readonly Placement[], materials: readonly Material[]): Triangles {
  const counts = new Map<Mesh, number>();
  let count = 0;
  let hasColors = false;
  for (const { node } of shown) {
    const mesh = node.getMesh();
    if (!mesh) continue;
    const primitives = mesh.listPrimitives();
    let ofMesh = counts.get(mesh);
    if (ofMesh === undefined) {
      ofMesh = primitives.reduce((sum, primitive) => sum + triangleCount(primitive), 0);
      counts.set(mesh, ofMesh);
    }
    count += ofMesh;
    hasColors ||= primitives.some((primitive) => primitive.getAttribute('COLOR_0'));
    if (count > TRIANGLES_MAX) {
      throw new InputFault(`The scene has more than ${TRIANGLES_MAX} triangles, instances included.`);
    }
  }
  if (count === 0) throw new InputFault('The scene shows no triangles.');

  const numbers = new Map(materials.map((material, number) => [material, number]));
  const triangles: Triangles = {
    count,
    positions: new Float32Array(new SharedArrayBuffer(count * 36)),
    normals: new Float32Array(new SharedArrayBuffer(count * 36)),
    colors: hasColors ? new Uint8Array(new SharedArrayBuffer(count * 9)).fill(255) : undefined,
    materials: new Uint32Array(new SharedArrayBuffer(count * 4)),
  };
  let at = 0;
  for (const { node, world } of shown) {
    for (const primitive of node.getMesh()?.listPrimitives() ?? []) {
      const material = primitive.getMaterial();
      const number = (material && numbers.get(material)) ?? materials.length;
      at = place(primitive, world, number, triangles, at);
    }
  }
  return triangles;
}

function triangleCount(primitive: Primitive): number {
  const corners = primitive.getIndices()?.getCount() ?? primitive.getAttribute('POSITION')?.getCount() ?? 0;
  if (!primitive.getAttribute('POSITION')) return 0;
  if (primitive.getMode() === 4) return Math.floor(corners / 3);
  return primitive.getMode() === 5 || primitive.getMode() === 6 ? Math.max(0, corners - 2) : 0;
}

/** Writes a primitive's triangles in world space, from number `at` on; the next free number is returned. */
function place(
  primitive: Primitive,
  world: ArrayLike<number>,
  material: number,
  triangles: Triangles,
  at: number,
): number {
  const position = primitive.getAttribute('POSITION');
  if (!position) return at;
  if (position.getElementSize() !== 3) throw new InputFault('The positions of a mesh are not triples.');
  const vertices = position.getCount();
  const normal = attribute(primitive, 'NORMAL', vertices);
  const color = attribute(primitive, 'COLOR_0', vertices);
  const indices = primitive.getIndices();
  const turn = normalMatrix(world);
  const source: number[] = [0, 0, 0, 0];
  const count = triangleCount(primitive);

  for (let triangle = 0; triangle < count; triangle++, at++) {
    triangles.materials[at] = material;
    for (let corner = 0; corner < 3; corner++) {
      const step = cornerOf(primitive.getMode(), triangle, corner);
      const vertex = indices ? indices.getScalar(step) : step;
      if (!(vertex < vertices)) {
        throw new InputFault(`A mesh has vertex number ${vertex} in its indices, but only ${vertices} vertices.`);
      }
      const target = at * 9 + corner * 3;
      position.getElement(vertex, source);
      const [x = 0, y = 0, z = 0] = source;
      for (let row = 0; row < 3; row++) {
        const coordinate =
          (world[row] ?? 0) * x + (world[row + 4] ?? 0) * y + (world[row + 8] ?? 0) * z + (world[row + 12] ?? 0);
        if (!(Math.abs(coordinate) <= COORDINATE_MAX)) {
          throw new InputFault('The scene has a position that is not a finite number, or is far out of range.');
        }
        triangles.positions[target + row] = coordinate;
      }
      if (normal) {
        normal.getElement(vertex, source);
        placeNormal(source, turn, triangles.normals, target);
      }
      if (color && triangles.colors) {
        color.getElement(vertex, source);
        for (let channel = 0; channel < 3; channel++) {
          triangles.colors[target + channel] = Math.round(255 * within(source[channel], 0, 1, 1));
        }
      }
    }
  }
  return at;
}

function attribute(primitive: Primitive, name: string, vertices: number): Accessor | undefined {
  const accessor = primitive.getAttribute(name);
  return accessor && accessor.getCount() >= vertices && accessor.getElementSize() >= 3 ? accessor : undefined;
}

/** The vertex, as a step along the primitive, of one corner of one triangle. */
function cornerOf(mode: number, triangle: number, corner: number): number {
  if (mode === 4) return triangle * 3 + corner;
  if (mode === 6) return corner === 0 ? 0 : triangle + corner;
  // Every other triangle of a strip runs backwards.
  const odd = triangle % 2;
  return triangle + (corner === 1 ? 1 + odd : corner === 2 ? 2 - odd : 0);
}

/** Normals turn by the cofactors, which also serve transforms that flatten or mirror. */
function normalMatrix(world: ArrayLike<number>): readonly [Vector, Vector, Vector] {
  const column = (number: number): Vector => [
    world[number * 4] ?? 0,
    world[number * 4 + 1] ?? 0,
    world[number * 4 + 2] ?? 0,
  ];
  const [a, b, c] = [column(0), column(1), column(2)];
  return [cross(b, c), cross(c, a), cross(a, b)];
}

function placeNormal(
  source: readonly number[],
  turn: readonly [Vector, Vector, Vector],
  normals: Float32Array,
  target: number,
): void {
  const [x = 0, y = 0, z = 0] = source;
  const [a, b, c] = turn;
  const nx = a[0] * x + b[0] * y + c[0] * z;
  const ny = a[1] * x + b[1] * y + c[1] * z;
  const nz = a[2] * x + b[2] * y + c[2] * z;
  const length = Math.sqrt(nx * nx + ny * ny + nz * nz);
  // An unusable normal stays zero: the triangle is then shaded flat.
  if (!(length > 0 && length < Infinity)) return;
  normals[target] = nx / length;
  normals[target + 1] = ny / length;
  normals[target + 2] = nz / length;
}

function extentOf({ positions }: Triangles): Extent {
  const low = [Infinity, Infinity, Infinity];
  const high = [-Infinity, -Infinity, -Infinity];
  for (let at = 0; at < positions.length; at++) {
    const axis = at % 3;
    const value = positions[at] ?? 0;
    if (value < (low[axis] ?? 0)) low[axis] = value;
    if (value > (high[axis] ?? 0)) high[axis] = value;
  }
  const middle = (axis: number): number => ((low[axis] ?? 0) + (high[axis] ?? 0)) / 2;
  const half = (axis: number): number => ((high[axis] ?? 0) - (low[axis] ?? 0)) / 2;
  const radius = Math.hypot(half(0), half(1), half(2));
  return { centre: [middle(0), middle(1), middle(2)], radius: radius > 0 ? radius : 1e-3 };
}

/** What glTF says of a primitive without a material, except that an all-metal surface would show only the sky. */
const PLAIN: SceneMaterial = {
  baseColor: [0.8, 0.8, 0.8],
  alpha: 1,
  metallic: 0,
  roughness: 0.9,
  emissive: [0, 0, 0],
};

function materialOf(material: Material): SceneMaterial {
  const [red, green, blue, alpha] = material.getBaseColorFactor();
  const [emissiveRed, emissiveGreen, emissiveBlue] = material.getEmissiveFactor();
  const strength = within(material.getExtras().emissiveStrength, 0, 1e6, 1);
  const opacity = within(alpha, 0, 1, 1);
  const byMode = { OPAQUE: 1, MASK: opacity >= material.getAlphaCutoff() ? 1 : 0, BLEND: opacity };
  return {
    baseColor: [within(red, 0, 1, 1), within(green, 0, 1, 1), within(blue, 0, 1, 1)],
    alpha: byMode[material.getAlphaMode()] ?? 1,
    metallic: within(material.getMetallicFactor(), 0, 1, 1),
    roughness: within(material.getRoughnessFactor(), 0, 1, 1),
    emissive: [
      within(emissiveRed, 0, 1, 0) * strength,
      within(emissiveGreen, 0, 1, 0) * strength,
      within(emissiveBlue, 0, 1, 0) * strength,
    ],
  };
}

function within(value: unknown, low: number, high: number, fallback: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? Math.min(high, Math.max(low, value)) : fallback;
}

function cameraOf({ node, world }: Placement): Camera {
  const camera = node.getCamera();
  const column = (number: number): Vector => [
    world[number * 4] ?? 0,
    world[number * 4 + 1] ?? 0,
    world[number * 4 + 2] ?? 0,
  ];
  const forward = normalize(column(2).map((value) => -value) as unknown as Vector);
  const right = normalize(cross(forward, column(1)));
  const orthographic = camera?.getType() === 'orthographic';
  const halfHeight = orthographic ? Math.abs(camera?.getYMag() ?? 1) : Math.tan((camera?.getYFov() ?? 0.7) / 2);
  const placed: Camera = {
    origin: column(3),
    right,
    up: cross(right, forward),
    forward,
    halfHeight,
    orthographic,
  };
  const numbers = [...placed.origin, ...right, ...forward, halfHeight];
  if (!numbers.every(Number.isFinite) || halfHeight <= 0 || halfHeight > 1e15) {
    throw new InputFault('A camera of the scene has no usable place or angle of view.');
  }
  return placed;
}
