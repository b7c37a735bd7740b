/** Small inputs for requests. */

/** A netlist with one analysis: one simulation, 5 credits. */
export const NETLIST = `A resistor divider
V1 in 0 DC 1
R1 in out 1k
R2 out 0 1k
.op
.end
`;

/** A netlist with these cards instead of an analysis. */
export function netlistWith(...cards: string[]): string {
  return NETLIST.replace('.op', cards.join('\n'));
}

export type Gltf = Record<string, unknown>;

const positions = Buffer.alloc(36);
for (const [place, value] of [0, 0, 0, 1, 0, 0, 0, 1, 0].entries()) positions.writeFloatLE(value, place * 4);

const TRIANGLE: Gltf = {
  asset: { version: '2.0' },
  scene: 0,
  scenes: [{ nodes: [0] }],
  nodes: [{ mesh: 0 }],
  meshes: [{ primitives: [{ attributes: { POSITION: 0 } }] }],
  accessors: [{ bufferView: 0, componentType: 5126, count: 3, type: 'VEC3', min: [0, 0, 0], max: [1, 1, 0] }],
  bufferViews: [{ buffer: 0, byteLength: 36 }],
  buffers: [{ byteLength: 36, uri: `data:application/octet-stream;base64,${positions.toString('base64')}` }],
};

/** A scene of one triangle, as text, with some parts replaced. */
export function scene(parts: Gltf = {}): string {
  return JSON.stringify({ ...TRIANGLE, ...parts });
}

/** The same scene as a binary file. */
export function binaryScene(): Buffer {
  const { buffers: _embedded, ...rest } = TRIANGLE;
  const text = Buffer.from(JSON.stringify({ ...rest, buffers: [{ byteLength: 36 }] }));
  const padded = Buffer.concat([text, Buffer.alloc((4 - (text.length % 4)) % 4, 0x20)]);
  const words = (...values: number[]) => Buffer.from(new Uint32Array(values).buffer);
  const length = 28 + padded.length + positions.length;
  return Buffer.concat([
    words(0x46546c67, 2, length, padded.length, 0x4e4f534a),
    padded,
    words(positions.length, 0x004e4942),
    positions,
  ]);
}
