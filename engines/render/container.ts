/**
 * Opens a glTF file before any library sees it: which container it is, that it names no other file, and that what it
 * declares can be decoded in bounded memory. What is left of it is geometry, nodes, cameras and material factors.
 */
import { InputFault } from './inputFault';

type Json = Record<string, unknown>;

/** A glTF document as a library reads it: its JSON and the binary chunk. */
export interface Container {
  readonly json: Json;
  readonly binary: Uint8Array | undefined;
}

const LIST_LENGTH_MAX = 200_000;
/** All accessors together, decoded. Overlapping accessors could otherwise multiply a small file without end. */
const DECODED_BYTES_MAX = 1024 * 1024 * 1024;
const DEPTH_MAX = 256;
/** Required extensions that change nothing for this engine, or that it reads itself. */
const KNOWN_EXTENSIONS: readonly unknown[] = [
  'KHR_mesh_quantization',
  'KHR_materials_emissive_strength',
  'KHR_materials_unlit',
  'KHR_texture_transform',
];

const COMPONENT_BYTES: Readonly<Record<number, number>> = { 5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4 };
const COMPONENTS: Readonly<Record<string, number>> = {
  SCALAR: 1,
  VEC2: 2,
  VEC3: 3,
  VEC4: 4,
  MAT2: 4,
  MAT3: 9,
  MAT4: 16,
};

/** Opens the bytes of a .glb or .gltf file. @throws InputFault */
export function openContainer(bytes: Uint8Array): Container {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const isBinary = bytes.byteLength >= 4 && view.getUint32(0, true) === 0x46546c67;
  const { text, binary } = isBinary ? openGlb(bytes, view) : { text: bytes, binary: undefined };
  const json = parse(text);
  refuseOutsideReferences(json, 0);
  if (listOf(json, 'extensionsRequired').some((name) => !KNOWN_EXTENSIONS.includes(name))) {
    throw new InputFault('The scene requires glTF extensions that this renderer does not know.');
  }
  boundNodes(json);
  boundAccessors(json);
  return { json: geometryOnly(json), binary };
}

function openGlb(bytes: Uint8Array, view: DataView): { text: Uint8Array; binary: Uint8Array | undefined } {
  if (bytes.byteLength < 20) throw new InputFault('The file is truncated: it ends inside the GLB header.');
  if (view.getUint32(4, true) !== 2) throw new InputFault('Only version 2 of the GLB container can be read.');
  if (view.getUint32(8, true) > bytes.byteLength) throw new InputFault('The file is truncated: its header says more.');
  let text: Uint8Array | undefined;
  let binary: Uint8Array | undefined;
  for (let at = 12; at + 8 <= bytes.byteLength; ) {
    const length = view.getUint32(at, true);
    const kind = view.getUint32(at + 4, true);
    if (at + 8 + length > bytes.byteLength) throw new InputFault('The file is truncated: a chunk passes its end.');
    const chunk = bytes.subarray(at + 8, at + 8 + length);
    if (kind === 0x4e4f534a) text ??= chunk;
    if (kind === 0x004e4942) binary ??= chunk;
    at += 8 + length;
  }
  if (!text) throw new InputFault('The file is not glTF: it has no JSON chunk.');
  return { text, binary };
}

function parse(text: Uint8Array): Json {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(text));
  } catch {
    throw new InputFault('The file is not glTF: its JSON cannot be parsed.');
  }
  if (!isObject(json)) throw new InputFault('The file is not glTF: its JSON is not an object.');
  const { asset } = json;
  if (!isObject(asset) || typeof asset.version !== 'string' || !asset.version.startsWith('2.')) {
    throw new InputFault('The file is not glTF 2.0: asset.version does not say 2.x.');
  }
  return json;
}

/** Every `uri`, wherever it stands, must carry its content itself. */
function refuseOutsideReferences(value: unknown, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (depth > 64) throw new InputFault('The JSON of the scene is nested too deeply.');
  for (const [key, child] of Object.entries(value)) {
    if (key === 'uri' && !(typeof child === 'string' && /^data:[^,]{0,200};base64,/i.test(child))) {
      throw new InputFault('The scene refers to another file; embed everything (a .glb, or base64 data: URIs).');
    }
    if (key !== 'extras') refuseOutsideReferences(child, depth + 1);
  }
}

/** A node has one parent at most, so that the scene is a tree; and the tree is not deep enough to end a stack. */
function boundNodes(json: Json): void {
  const nodes = objectsOf(json, 'nodes');
  const parents = new Int32Array(nodes.length).fill(-1);
  for (const [parent, node] of nodes.entries()) {
    for (const child of listOf(node, 'children')) {
      if (!isIndex(child, nodes)) throw new InputFault(`Node ${parent} has a child that does not exist.`);
      if (parents[child] !== -1) throw new InputFault(`Node ${child} has two parents.`);
      parents[child] = parent;
    }
  }
  const depths = new Int32Array(nodes.length);
  for (let start = 0; start < nodes.length; start++) {
    let depth = 0;
    for (let at = start; at !== -1 && depths[at] === 0; at = parents[at] ?? -1) {
      if (++depth > DEPTH_MAX) throw new InputFault('The nodes of the scene form a cycle or are nested too deeply.');
    }
    let known = depth;
    for (let at = start; at !== -1 && depths[at] === 0; at = parents[at] ?? -1) depths[at] = known--;
  }
}

function boundAccessors(json: Json): void {
  for (const name of ['meshes', 'materials', 'cameras', 'scenes', 'buffers', 'bufferViews']) objectsOf(json, name);
  const views = objectsOf(json, 'bufferViews');
  let decodedBytes = 0;
  for (const [number, accessor] of objectsOf(json, 'accessors').entries()) {
    const componentBytes = COMPONENT_BYTES[Number(accessor.componentType)];
    const components = COMPONENTS[String(accessor.type)];
    const count = accessor.count;
    if (!componentBytes || !components || typeof count !== 'number' || !Number.isSafeInteger(count) || count < 1) {
      throw new InputFault(`Accessor ${number} has no valid type and count.`);
    }
    const elementBytes = componentBytes * components;
    decodedBytes += elementBytes * count;
    if (decodedBytes > DECODED_BYTES_MAX) throw new InputFault('The scene declares more data than can be rendered.');
    boundSparse(accessor, number, count);
    if (accessor.bufferView === undefined) continue;
    const view = isIndex(accessor.bufferView, views) ? views[accessor.bufferView] : undefined;
    if (!view) throw new InputFault(`Accessor ${number} names a buffer view that does not exist.`);
    const stride = Number(view.byteStride ?? elementBytes);
    const end = Number(accessor.byteOffset ?? 0) + stride * (count - 1) + elementBytes;
    if (!(stride >= elementBytes && end <= Number(view.byteLength))) {
      throw new InputFault(`Accessor ${number} reaches past the end of its buffer view.`);
    }
  }
}

/** The library writes as many sparse elements as are claimed, so a claim without bounds would never end. */
function boundSparse(accessor: Json, number: number, count: number): void {
  if (accessor.sparse === undefined) return;
  const claimed = isObject(accessor.sparse) ? accessor.sparse.count : undefined;
  if (!(typeof claimed === 'number' && Number.isSafeInteger(claimed) && claimed >= 1 && claimed <= count)) {
    throw new InputFault(`Accessor ${number} has more sparse elements than elements.`);
  }
}

/** What this engine renders. The rest is never decoded, so it can cost neither time nor memory. */
function geometryOnly(json: Json): Json {
  const materials = objectsOf(json, 'materials').map((material) => {
    checkTuples(material, { emissiveFactor: 3 });
    const pbr = isObject(material.pbrMetallicRoughness) ? material.pbrMetallicRoughness : {};
    checkTuples(pbr, { baseColorFactor: 4 });
    return pick(
      {
        ...material,
        pbrMetallicRoughness: pick(pbr, ['baseColorFactor', 'metallicFactor', 'roughnessFactor']),
        // The strength is kept where the reader of materials looks for it; the library ignores it.
        extras: { emissiveStrength: emissiveStrength(material) },
      },
      ['name', 'pbrMetallicRoughness', 'emissiveFactor', 'alphaMode', 'alphaCutoff', 'extras'],
    );
  });
  const meshes = objectsOf(json, 'meshes').map((mesh) => ({
    primitives: objectsOf(mesh, 'primitives').map((primitive) =>
      pick(primitive, ['attributes', 'indices', 'material', 'mode']),
    ),
  }));
  const nodes = objectsOf(json, 'nodes').map((node) => {
    checkTuples(node, { matrix: 16, translation: 3, rotation: 4, scale: 3 });
    return pick(node, ['children', 'mesh', 'camera', 'matrix', 'translation', 'rotation', 'scale']);
  });
  const kept = pick(json, ['asset', 'scene', 'scenes', 'cameras', 'buffers', 'bufferViews', 'accessors']);
  return { ...kept, materials, meshes, nodes };
}

/** The library hands such fields on as they are, whatever they are. */
function checkTuples(from: Json, lengths: Readonly<Record<string, number>>): void {
  for (const [name, length] of Object.entries(lengths)) {
    const tuple = from[name];
    if (tuple === undefined) continue;
    if (!Array.isArray(tuple) || tuple.length !== length || !tuple.every((value) => typeof value === 'number')) {
      throw new InputFault(`The scene has a field ${name} that is not a list of ${length} numbers.`);
    }
  }
}

function emissiveStrength(material: Json): number {
  const extensions = isObject(material.extensions) ? material.extensions : {};
  const extension = extensions.KHR_materials_emissive_strength;
  const strength = isObject(extension) ? Number(extension.emissiveStrength ?? 1) : 1;
  return strength >= 0 && strength <= 1e6 ? strength : 1;
}

function pick(from: Json, names: readonly string[]): Json {
  return Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
}

function listOf(from: Json, name: string): readonly unknown[] {
  const list = from[name] ?? [];
  if (!Array.isArray(list)) throw new InputFault(`The scene's ${name} is not a list.`);
  if (list.length > LIST_LENGTH_MAX) throw new InputFault(`The scene has more than ${LIST_LENGTH_MAX} ${name}.`);
  return list;
}

function objectsOf(from: Json, name: string): readonly Json[] {
  const list = listOf(from, name);
  if (!list.every(isObject)) throw new InputFault(`The scene's ${name} holds something that is not an object.`);
  return list as readonly Json[];
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isIndex(value: unknown, list: readonly unknown[]): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value < list.length;
}
