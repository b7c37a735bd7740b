/** The parts of glTF 2.0 that decide what a rendering costs. Fields beyond these are let through unread. */
import { z } from 'zod';

const LIST_LENGTH_MAX = 200_000;

const index = z.int().min(0);
const bytes = z
  .int()
  .min(0)
  .max(2 ** 32);

const numbers = (length: number) => z.array(z.number()).length(length).optional();

function listOf<Item extends z.ZodType>(item: Item) {
  return z.array(item).max(LIST_LENGTH_MAX).default([]);
}

const sparse = z.looseObject({
  count: z.int().min(1),
  indices: z.looseObject({
    bufferView: index,
    byteOffset: bytes.default(0),
    componentType: z.literal([5121, 5123, 5125]),
  }),
  values: z.looseObject({ bufferView: index, byteOffset: bytes.default(0) }),
});

export const gltfSchema = z.looseObject({
  asset: z.looseObject({ version: z.string() }),
  extensionsRequired: listOf(z.string()),
  scene: index.optional(),
  scenes: listOf(z.looseObject({ nodes: listOf(index) })),
  nodes: listOf(
    z.looseObject({
      children: listOf(index),
      mesh: index.optional(),
      camera: index.optional(),
      matrix: numbers(16),
      translation: numbers(3),
      rotation: numbers(4),
      scale: numbers(3),
    }),
  ),
  cameras: listOf(z.looseObject({ type: z.enum(['perspective', 'orthographic']) })),
  meshes: listOf(
    z.looseObject({
      primitives: listOf(
        z.looseObject({
          attributes: z.record(z.string(), index),
          indices: index.optional(),
          material: index.optional(),
          mode: z.int().min(0).max(6).default(4),
        }),
      ),
    }),
  ),
  materials: listOf(
    z.looseObject({
      pbrMetallicRoughness: z.looseObject({ baseColorFactor: numbers(4) }).optional(),
      emissiveFactor: numbers(3),
    }),
  ),
  accessors: listOf(
    z.looseObject({
      bufferView: index.optional(),
      byteOffset: bytes.default(0),
      componentType: z.literal([5120, 5121, 5122, 5123, 5125, 5126]),
      count: z.int().min(1),
      type: z.enum(['SCALAR', 'VEC2', 'VEC3', 'VEC4', 'MAT2', 'MAT3', 'MAT4']),
      sparse: sparse.optional(),
    }),
  ),
  bufferViews: listOf(
    z.looseObject({
      buffer: index,
      byteOffset: bytes.default(0),
      byteLength: bytes,
      byteStride: z.int().min(4).max(252).optional(),
    }),
  ),
  buffers: listOf(z.looseObject({ byteLength: bytes, uri: z.string().optional() })),
});

export type Gltf = z.infer<typeof gltfSchema>;
export type GltfAccessor = Gltf['accessors'][number];
