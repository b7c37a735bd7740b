/**
 * Finding what a ray hits. The bounding volume hierarchy is built by three-mesh-bvh; here it is copied once into two
 * flat shared arrays, and rays walk those without allocating: three times as many rays a second as through the
 * library's own casting, which makes several objects for each hit.
 */
import type { Triangles } from './scene';

/** Nodes in the order a depth-first walk meets them, so that a node's first child is the next node. */
export interface Hierarchy {
  /** Six numbers a node: the lowest and the highest corner. */
  readonly bounds: Float32Array;
  /** Two numbers a node: first triangle and how many; for an inner node its second child and 0. */
  readonly links: Uint32Array;
}

/** Builds the hierarchy, and the same triangles in its order. */
export async function buildHierarchy(given: Triangles): Promise<{ hierarchy: Hierarchy; triangles: Triangles }> {
  const { BufferAttribute, BufferGeometry } = await import('three');
  const { CENTER, MeshBVH, SAH } = await import('three-mesh-bvh');
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new BufferAttribute(given.positions, 3));
  // The surface area heuristic makes better trees; for the largest scenes it would take longer than it saves.
  const strategy = given.count <= 400_000 ? SAH : CENTER;
  const tree = new MeshBVH(geometry, { strategy, targetLeafSize: 4 });

  const bounds: number[] = [];
  const links: number[] = [];
  const lastAtDepth: number[] = [];
  tree.traverse((depth, isLeaf, box, first, count) => {
    const node = links.length / 2;
    const parent = lastAtDepth[depth - 1];
    // A depth-first walk meets the first child right after its parent; any other child is the second.
    if (parent !== undefined && node !== parent + 1) links[parent * 2] = node;
    lastAtDepth[depth] = node;
    for (let at = 0; at < 6; at++) bounds.push(box[at] ?? 0);
    links.push(isLeaf ? first : 0, isLeaf ? count : 0);
  });

  const index = geometry.getIndex()?.array ?? [];
  const order = Uint32Array.from({ length: given.count }, (_, triangle) => (index[triangle * 3] ?? 0) / 3);
  return {
    hierarchy: {
      bounds: shared(Float32Array, bounds.length, (memory) => memory.set(bounds)),
      links: shared(Uint32Array, links.length, (memory) => memory.set(links)),
    },
    triangles: {
      count: given.count,
      positions: reordered(Float32Array, given.positions, 9, order),
      normals: reordered(Float32Array, given.normals, 9, order),
      colors: given.colors && reordered(Uint8Array, given.colors, 9, order),
      materials: reordered(Uint32Array, given.materials, 1, order),
    },
  };
}

type Numbers = Float32Array | Uint32Array | Uint8Array;
interface NumbersOf<A extends Numbers> {
  new (memory: SharedArrayBuffer): A;
  readonly BYTES_PER_ELEMENT: number;
}

function shared<A extends Numbers>(kind: NumbersOf<A>, length: number, fill: (memory: A) => void): A {
  const memory = new kind(new SharedArrayBuffer(length * kind.BYTES_PER_ELEMENT));
  fill(memory);
  return memory;
}

function reordered<A extends Numbers>(kind: NumbersOf<A>, from: A, width: number, order: Uint32Array): A {
  return shared(kind, from.length, (memory) => {
    let at = 0;
    for (const triangle of order) {
      for (let part = 0; part < width; part++) memory[at++] = from[triangle * width + part] ?? 0;
    }
  });
}

/** Casts rays in one thread. The ray is set by the fields, the answer is left in the others. */
export class RayCaster {
  ox = 0;
  oy = 0;
  oz = 0;
  dx = 0;
  dy = 0;
  dz = 0;

  triangle = 0;
  distance = 0;
  /** Barycentric coordinates of the triangle's second and third corner. */
  b1 = 0;
  b2 = 0;

  private readonly bounds: Float32Array;
  private readonly links: Uint32Array;
  private readonly positions: Float32Array;
  private readonly stack = new Uint32Array(256);
  private readonly entries = new Float64Array(256);
  private ix = 0;
  private iy = 0;
  private iz = 0;

  constructor(hierarchy: Hierarchy, triangles: Triangles) {
    this.bounds = hierarchy.bounds;
    this.links = hierarchy.links;
    this.positions = triangles.positions;
  }

  /** Whether the ray hits something nearer than `far`; the nearest hit is left in the fields. */
  cast(far: number): boolean {
    return this.walk(far, false);
  }

  /** Whether anything is nearer than `far`. Ends at the first hit found, so the fields hold some hit. */
  isBlocked(far: number): boolean {
    return this.walk(far, true);
  }

  private walk(far: number, endsAtFirst: boolean): boolean {
    const { links, stack, entries } = this;
    this.ix = 1 / (this.dx === 0 ? 1e-30 : this.dx);
    this.iy = 1 / (this.dy === 0 ? 1e-30 : this.dy);
    this.iz = 1 / (this.dz === 0 ? 1e-30 : this.dz);
    this.distance = far;
    let found = false;
    let height = 0;
    let node = 0;
    if (this.entry(0) === Infinity) return false;
    for (;;) {
      const count = links[node * 2 + 1] as number;
      const link = links[node * 2] as number;
      if (count > 0) {
        for (let triangle = link; triangle < link + count; triangle++) {
          if (this.meet(triangle)) found = true;
        }
        if (found && endsAtFirst) return true;
      } else {
        const first = this.entry(node + 1);
        const second = this.entry(link);
        if (first < Infinity || second < Infinity) {
          const firstIsNearer = first <= second;
          const farther = firstIsNearer ? second : first;
          if (farther < Infinity) {
            entries[height] = farther;
            stack[height++] = firstIsNearer ? link : node + 1;
          }
          node = firstIsNearer ? node + 1 : link;
          continue;
        }
      }
      do {
        if (height === 0) return found;
        node = stack[--height] as number;
      } while ((entries[height] as number) > this.distance);
    }
  }

  /** Where the ray enters a node's box, or infinity when it misses it or enters behind the nearest hit. */
  private entry(node: number): number {
    const { bounds } = this;
    const at = node * 6;
    const x1 = ((bounds[at] as number) - this.ox) * this.ix;
    const x2 = ((bounds[at + 3] as number) - this.ox) * this.ix;
    const y1 = ((bounds[at + 1] as number) - this.oy) * this.iy;
    const y2 = ((bounds[at + 4] as number) - this.oy) * this.iy;
    const z1 = ((bounds[at + 2] as number) - this.oz) * this.iz;
    const z2 = ((bounds[at + 5] as number) - this.oz) * this.iz;
    let near = Math.min(x1, x2);
    let far = Math.max(x1, x2);
    const nearY = Math.min(y1, y2);
    const farY = Math.max(y1, y2);
    const nearZ = Math.min(z1, z2);
    const farZ = Math.max(z1, z2);
    if (nearY > near) near = nearY;
    if (nearZ > near) near = nearZ;
    if (farY < far) far = farY;
    if (farZ < far) far = farZ;
    return near <= far && far >= 0 && near <= this.distance ? near : Infinity;
  }

  /** Möller and Trumbore's test; both sides count. */
  private meet(triangle: number): boolean {
    const p = this.positions;
    const at = triangle * 9;
    const { dx, dy, dz } = this;
    const ax = p[at] as number;
    const ay = p[at + 1] as number;
    const az = p[at + 2] as number;
    const e1x = (p[at + 3] as number) - ax;
    const e1y = (p[at + 4] as number) - ay;
    const e1z = (p[at + 5] as number) - az;
    const e2x = (p[at + 6] as number) - ax;
    const e2y = (p[at + 7] as number) - ay;
    const e2z = (p[at + 8] as number) - az;
    const px = dy * e2z - dz * e2y;
    const py = dz * e2x - dx * e2z;
    const pz = dx * e2y - dy * e2x;
    const determinant = e1x * px + e1y * py + e1z * pz;
    if (determinant === 0) return false;
    const inverse = 1 / determinant;
    const sx = this.ox - ax;
    const sy = this.oy - ay;
    const sz = this.oz - az;
    const b1 = (sx * px + sy * py + sz * pz) * inverse;
    if (!(b1 >= 0 && b1 <= 1)) return false;
    const qx = sy * e1z - sz * e1y;
    const qy = sz * e1x - sx * e1z;
    const qz = sx * e1y - sy * e1x;
    const b2 = (dx * qx + dy * qy + dz * qz) * inverse;
    if (!(b2 >= 0 && b1 + b2 <= 1)) return false;
    const distance = (e2x * qx + e2y * qy + e2z * qz) * inverse;
    if (!(distance > 0 && distance < this.distance)) return false;
    this.distance = distance;
    this.triangle = triangle;
    this.b1 = b1;
    this.b2 = b2;
    return true;
  }
}
