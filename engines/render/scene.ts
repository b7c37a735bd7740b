/**
 * A scene as rays need it: triangles in world space in shared memory, a bounding volume hierarchy over them, and
 * materials. It crosses to the worker threads without being copied.
 */
import type { Camera, Extent, Vector } from './camera';
import type { Hierarchy } from './hierarchy';

export interface SceneMaterial {
  readonly baseColor: Vector;
  /** The share of light that this surface stops; the rest passes straight through. */
  readonly alpha: number;
  readonly metallic: number;
  readonly roughness: number;
  readonly emissive: Vector;
}

/** Triangles, three corners each, nine numbers a triangle. */
export interface Triangles {
  readonly count: number;
  readonly positions: Float32Array;
  /** Shading normals; zeros where the triangle is flat. */
  readonly normals: Float32Array;
  /** Linear colours times 255, or none when no mesh has any. */
  readonly colors: Uint8Array | undefined;
  readonly materials: Uint32Array;
}

export interface Scene {
  readonly triangles: Triangles;
  readonly materials: readonly SceneMaterial[];
  readonly cameras: readonly Camera[];
  readonly extent: Extent;
  readonly hierarchy: Hierarchy;
}
