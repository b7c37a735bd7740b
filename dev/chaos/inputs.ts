/** What the storm's jobs run on: the samples, and a scene of one triangle, whose pictures take next to no time to prepare. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageRoot } from '../root';

export interface UploadedInput {
  readonly name: string;
  readonly mediaType: string;
  readonly content: Buffer | string;
}

export async function gallery(): Promise<UploadedInput> {
  const content = await readFile(join(packageRoot(), 'samples/gallery.glb'));
  return { name: 'gallery.glb', mediaType: 'model/gltf-binary', content };
}

export async function filter(): Promise<UploadedInput> {
  const content = await readFile(join(packageRoot(), 'samples/filter.cir'));
  return { name: 'filter.cir', mediaType: 'text/x-spice', content };
}

/** A scene that holds everything it needs. */
export function triangle(): UploadedInput {
  const corners = Buffer.from(new Float32Array([0, 0, 0, 1, 0, 0, 0, 1, 0]).buffer);
  const scene = {
    asset: { version: '2.0' },
    scene: 0,
    scenes: [{ nodes: [0] }],
    nodes: [{ mesh: 0 }],
    meshes: [{ primitives: [{ attributes: { POSITION: 0 } }] }],
    accessors: [{ bufferView: 0, componentType: 5126, count: 3, type: 'VEC3', min: [0, 0, 0], max: [1, 1, 0] }],
    bufferViews: [{ buffer: 0, byteLength: corners.length }],
    buffers: [
      { byteLength: corners.length, uri: `data:application/octet-stream;base64,${corners.toString('base64')}` },
    ],
  };
  return { name: 'triangle.gltf', mediaType: 'model/gltf+json', content: JSON.stringify(scene) };
}
