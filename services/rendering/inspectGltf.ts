/** What a glTF file holds, as far as a rendering's cost and success depend on it. */
import { InputError, type InputFile } from '../service';
import { type GltfFile, malformed, openGltf } from './gltfFile';
import { type Gltf, type GltfAccessor, gltfSchema } from './gltfSchema';

export interface GltfFacts {
  readonly kind: 'gltf';
  readonly format: 'glb' | 'gltf';
  readonly bytes: number;
  /** As rendered: a mesh that is shown ten times counts ten times. */
  readonly triangles: number;
  readonly meshes: number;
  /** Nodes of the scene that is rendered. */
  readonly nodes: number;
  /** Cameras placed in that scene. */
  readonly cameras: number;
}

const TRIANGLES_MAX = 5_000_000;
/** All accessors together, decoded: overlapping ones could otherwise multiply a small file without end. */
const DECODED_BYTES_MAX = 1024 * 1024 * 1024;
const NODE_DEPTH_MAX = 256;
const KNOWN_EXTENSIONS: readonly string[] = [
  'KHR_mesh_quantization',
  'KHR_materials_emissive_strength',
  'KHR_materials_unlit',
  'KHR_texture_transform',
];

/**
 * Reads the facts of a .glb or .gltf file.
 *
 * @throws InputError `input_not_gltf`, `input_truncated`, `input_malformed`, `input_outside_reference`,
 * `input_unsupported`, `input_too_large` or `input_empty_scene`.
 */
export async function inspectGltf(input: InputFile, bytesMax: number): Promise<GltfFacts> {
  const file = await openGltf(input, bytesMax);
  refuseOutsideReferences(file.json);
  const gltf = readStructure(file.json);
  checkBuffers(gltf, file);
  checkAccessors(gltf);
  const nodes = shownNodes(gltf);
  const triangles = countTriangles(gltf, nodes);
  return {
    kind: 'gltf',
    format: file.format,
    bytes: input.size,
    triangles,
    meshes: gltf.meshes.length,
    nodes: nodes.length,
    cameras: nodes.filter((node) => gltf.nodes[node]?.camera !== undefined).length,
  };
}

/** Every `uri`, wherever it stands, must carry its content itself: nothing else is ever opened. */
function refuseOutsideReferences(json: unknown): void {
  const open: unknown[] = [json];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    for (const [key, child] of Object.entries(value)) {
      if (key === 'uri' && dataUriBytes(child) === undefined) {
        const shown = typeof child === 'string' ? ` (${JSON.stringify(child.slice(0, 60))})` : '';
        throw new InputError(
          'input_outside_reference',
          `The scene refers to another file${shown}. Embed everything, for example as a .glb.`,
        );
      }
      if (key !== 'extras' && typeof child === 'object' && child !== null) open.push(child);
    }
  }
}

/** How many bytes a base64 `data:` URI holds; nothing for any other text. */
function dataUriBytes(uri: unknown): number | undefined {
  if (typeof uri !== 'string') return undefined;
  const head = /^data:[^,]{0,200};base64,/i.exec(uri.slice(0, 256))?.[0];
  if (head === undefined) return undefined;
  const padding = uri.endsWith('==') ? 2 : uri.endsWith('=') ? 1 : 0;
  return Math.floor(((uri.length - head.length - padding) * 3) / 4);
}

function readStructure(json: unknown): Gltf {
  const read = gltfSchema.safeParse(json);
  if (!read.success) {
    const [issue] = read.error.issues;
    if (issue?.path[0] === 'asset' || issue?.path.length === 0) {
      throw new InputError('input_not_gltf', 'The file is not glTF: it has no asset with a version.');
    }
    const where = issue?.path.join('.') ?? 'somewhere';
    if (issue?.code === 'too_big' && issue.origin === 'array' && !issue.exact) {
      throw new InputError('input_too_large', `The scene has more than ${issue.maximum} ${where}.`);
    }
    throw malformed(`${where}: ${issue?.message ?? 'not as glTF says'}`);
  }
  const gltf = read.data;
  if (!gltf.asset.version.startsWith('2.')) {
    throw new InputError(
      'input_not_gltf',
      `The scene has glTF version ${gltf.asset.version.slice(0, 20)}; only 2 is known.`,
    );
  }
  const unknown = gltf.extensionsRequired.find((name) => !KNOWN_EXTENSIONS.includes(name));
  if (unknown !== undefined) {
    const name = unknown.slice(0, 60);
    throw new InputError('input_unsupported', `The scene requires the extension ${name}, which is not supported.`);
  }
  return gltf;
}

function checkBuffers(gltf: Gltf, file: GltfFile): void {
  for (const [number, buffer] of gltf.buffers.entries()) {
    const isBinaryChunk = number === 0 && buffer.uri === undefined;
    const held = isBinaryChunk ? file.binaryBytes : dataUriBytes(buffer.uri);
    if (held === undefined) throw malformed(`buffer ${number} has no content`);
    if (buffer.byteLength > held) {
      const told = `buffer ${number} says ${buffer.byteLength} bytes and holds ${held}`;
      throw new InputError('input_truncated', `The file is truncated: ${told}.`);
    }
  }
  for (const [number, view] of gltf.bufferViews.entries()) {
    const buffer = at(gltf.buffers, view.buffer, `the buffer of buffer view ${number}`);
    if (view.byteOffset + view.byteLength > buffer.byteLength) {
      throw malformed(`buffer view ${number} reaches past the end of its buffer`);
    }
  }
}

const COMPONENT_BYTES = { 5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4 } as const;
const COMPONENTS = { SCALAR: 1, VEC2: 2, VEC3: 3, VEC4: 4, MAT2: 4, MAT3: 9, MAT4: 16 } as const;

function checkAccessors(gltf: Gltf): void {
  let decodedBytes = 0;
  for (const [number, accessor] of gltf.accessors.entries()) {
    const name = `accessor ${number}`;
    const elementBytes = COMPONENT_BYTES[accessor.componentType] * COMPONENTS[accessor.type];
    if (accessor.bufferView !== undefined) {
      const view = at(gltf.bufferViews, accessor.bufferView, `the buffer view of ${name}`);
      const stride = view.byteStride ?? elementBytes;
      const end = accessor.byteOffset + stride * (accessor.count - 1) + elementBytes;
      if (stride < elementBytes || end > view.byteLength) {
        throw malformed(`${name} says ${accessor.count} elements, which reach past the end of its buffer view`);
      }
    }
    if (accessor.sparse) checkSparse(gltf, name, accessor.sparse, { count: accessor.count, elementBytes });
    decodedBytes += elementBytes * accessor.count;
    if (decodedBytes > DECODED_BYTES_MAX) {
      throw new InputError('input_too_large', 'The scene declares more than 1 GiB of numbers.');
    }
  }
}

function checkSparse(
  gltf: Gltf,
  name: string,
  { count, indices, values }: NonNullable<GltfAccessor['sparse']>,
  whole: { readonly count: number; readonly elementBytes: number },
): void {
  const indexView = at(gltf.bufferViews, indices.bufferView, `the sparse indices of ${name}`);
  const valueView = at(gltf.bufferViews, values.bufferView, `the sparse values of ${name}`);
  const fits =
    count <= whole.count &&
    indices.byteOffset + count * COMPONENT_BYTES[indices.componentType] <= indexView.byteLength &&
    values.byteOffset + count * whole.elementBytes <= valueView.byteLength;
  if (!fits) throw malformed(`${name} says ${count} sparse elements, which reach past the end of their buffer views`);
}

/** The nodes of the scene that is rendered, each once. A second parent, which every cycle needs, is refused. */
function shownNodes(gltf: Gltf): number[] {
  const hasParent = new Uint8Array(gltf.nodes.length);
  for (const [number, node] of gltf.nodes.entries()) {
    for (const child of node.children) {
      at(gltf.nodes, child, `a child of node ${number}`);
      if (child === number) throw malformed(`node ${number} is its own child`);
      if (hasParent[child]) throw malformed(`node ${child} has two parents, or its ancestors form a cycle`);
      hasParent[child] = 1;
    }
  }
  const scene =
    gltf.scene === undefined ? gltf.scenes[0] : at(gltf.scenes, gltf.scene, 'the scene that is to be shown');
  const roots = scene?.nodes ?? gltf.nodes.flatMap((_, number) => (hasParent[number] ? [] : [number]));
  if (new Set(roots).size < roots.length) throw malformed('its scene shows a node twice');
  const shown: number[] = [];
  for (let level = roots, depth = 0; level.length > 0; depth++) {
    if (depth === NODE_DEPTH_MAX) throw malformed(`its nodes form a cycle, or more than ${NODE_DEPTH_MAX} levels`);
    for (const number of level) {
      at(gltf.nodes, number, 'a node of the scene');
      if (depth === 0 && hasParent[number]) throw malformed(`node ${number} is a root and a child, maybe of a cycle`);
      shown.push(number);
    }
    level = level.flatMap((number) => gltf.nodes[number]?.children ?? []);
  }
  return shown;
}

function countTriangles(gltf: Gltf, nodes: readonly number[]): number {
  const ofMeshes = gltf.meshes.map((mesh, number) => {
    let triangles = 0;
    for (const primitive of mesh.primitives) triangles += trianglesOf(gltf, number, primitive);
    return triangles;
  });
  let total = 0;
  for (const number of nodes) {
    const mesh = gltf.nodes[number]?.mesh;
    if (mesh !== undefined) total += at(ofMeshes, mesh, `the mesh of node ${number}`);
    if (gltf.nodes[number]?.camera !== undefined) {
      at(gltf.cameras, gltf.nodes[number].camera, `the camera of node ${number}`);
    }
  }
  if (total > TRIANGLES_MAX) {
    throw new InputError(
      'input_too_large',
      `The scene shows ${total} triangles; at most ${TRIANGLES_MAX} can be rendered.`,
    );
  }
  if (total === 0) throw new InputError('input_empty_scene', 'The scene shows no triangles.');
  return total;
}

function trianglesOf(gltf: Gltf, mesh: number, primitive: Gltf['meshes'][number]['primitives'][number]): number {
  const { attributes, indices, material, mode } = primitive;
  for (const [name, accessor] of Object.entries(attributes)) {
    at(gltf.accessors, accessor, `attribute ${name.slice(0, 40)} of mesh ${mesh}`);
  }
  if (material !== undefined) at(gltf.materials, material, `the material of mesh ${mesh}`);
  if (attributes.POSITION === undefined || mode < 4) return 0;
  const positions = at(gltf.accessors, attributes.POSITION, `the positions of mesh ${mesh}`);
  if (positions.type !== 'VEC3') throw malformed(`the positions of mesh ${mesh} are not triples`);
  const corners =
    indices === undefined ? positions.count : at(gltf.accessors, indices, `the indices of mesh ${mesh}`).count;
  return mode === 4 ? Math.floor(corners / 3) : Math.max(0, corners - 2);
}

function at<Item>(list: readonly Item[], index: number, name: string): Item {
  const found = list[index];
  if (found === undefined) throw malformed(`${name} does not exist`);
  return found;
}
