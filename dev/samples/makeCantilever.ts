/** Makes `samples/cantilever.inp`: a steel beam that is held at one end and pulled down at the other. `node dist/dev/samples/makeCantilever.js`. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** A beam along x, in millimetres, newtons and megapascals. */
export interface Cantilever {
  readonly length: number;
  readonly width: number;
  readonly height: number;
  /** Elements along, across and up. */
  readonly mesh: readonly [number, number, number];
  readonly youngsModulus: number;
  readonly poissonsRatio: number;
  /** On the whole end, downwards. */
  readonly force: number;
  readonly type?: 'C3D8' | 'C3D8I';
}

export const SAMPLE: Cantilever = {
  length: 200,
  width: 20,
  height: 20,
  mesh: [40, 6, 6],
  youngsModulus: 210_000,
  poissonsRatio: 0.3,
  force: 1_000,
};

/** The deck's text. The force is spread over the end as a uniform shear would be. */
export function makeCantilever(beam: Cantilever): string {
  const { length, width, height, mesh, youngsModulus, poissonsRatio, force, type = 'C3D8I' } = beam;
  const [along, across, up] = mesh;
  const nodeAt = (i: number, j: number, k: number) => 1 + i + (along + 1) * (j + (across + 1) * k);
  const range = (count: number) => Array.from({ length: count }, (_, place) => place);
  const nodes = range(up + 1).flatMap((k) =>
    range(across + 1).flatMap((j) =>
      range(along + 1).map((i) =>
        [nodeAt(i, j, k), (i * length) / along, (j * width) / across, (k * height) / up].join(', '),
      ),
    ),
  );
  const elements = range(up).flatMap((k) =>
    range(across).flatMap((j) =>
      range(along).map((i) => {
        const bottom = [nodeAt(i, j, k), nodeAt(i + 1, j, k), nodeAt(i + 1, j + 1, k), nodeAt(i, j + 1, k)];
        const above = bottom.map((node) => node + (along + 1) * (across + 1));
        return [1 + i + along * (j + across * k), ...bottom, ...above].join(', ');
      }),
    ),
  );
  const held = range(up + 1).flatMap((k) => range(across + 1).map((j) => nodeAt(0, j, k)));
  // A node at an edge of the end carries half of what one inside carries, a node at a corner a quarter.
  const half = (place: number, count: number) => (place === 0 || place === count ? 0.5 : 1);
  const forces = range(up + 1).flatMap((k) =>
    range(across + 1).map((j) => {
      const share = (half(j, across) * half(k, up)) / (across * up);
      return `${nodeAt(along, j, k)}, 3, ${-force * share}`;
    }),
  );
  return [
    '*HEADING',
    `Steel cantilever ${length} x ${width} x ${height} mm, ${force} N at its end`,
    '** Made by dev/samples/makeCantilever.ts. Millimetres, newtons, megapascals.',
    '*NODE, NSET=ALL',
    ...nodes,
    `*ELEMENT, TYPE=${type}, ELSET=BEAM`,
    ...elements,
    '*NSET, NSET=HELD',
    ...held.map(String),
    '*MATERIAL, NAME=STEEL',
    '*ELASTIC',
    `${youngsModulus}, ${poissonsRatio}`,
    '*SOLID SECTION, ELSET=BEAM, MATERIAL=STEEL',
    '*BOUNDARY',
    'HELD, 1, 3',
    '*STEP',
    '*STATIC',
    '*CLOAD',
    ...forces,
    '*NODE FILE',
    'U',
    '*EL FILE',
    'S',
    '*END STEP',
    '',
  ].join('\n');
}

if (require.main === module) {
  writeFileSync(join(process.cwd(), 'samples', 'cantilever.inp'), makeCantilever(SAMPLE));
}
