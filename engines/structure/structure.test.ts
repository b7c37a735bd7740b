import { type Cantilever, makeCantilever, SAMPLE } from '../../dev/samples/makeCantilever';
import { checked } from '../calculix/outcome';
import type { Model } from './model';
import { outerFaces } from './outerFaces';
import { drawDeformed } from './picture';
import { readModel } from './readModel';
import { vonMises } from './results';

const BEAM: Cantilever = { ...SAMPLE, mesh: [2, 1, 1] };
const model = readModel(makeCantilever(BEAM));

describe('the outer faces of elements', () => {
  it.each([
    ['C3D8', [0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1], 6],
    ['C3D6', [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 0, 1, 0, 1, 1], 5],
    ['C3D4', [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1], 4],
  ])('of a %s are seen from outside', (type, coordinates, count) => {
    const corners = coordinates.length / 3;
    const nodes = Array.from({ length: corners }, (_, node) => node);
    const at = (node: number) => coordinates.slice(3 * node, 3 * node + 3);
    const middle = [0, 1, 2].map((axis) => nodes.reduce((sum, node) => sum + (at(node)[axis] ?? 0), 0) / corners);
    const faces = outerFaces([{ id: 1, type, nodes, material: 'M' }]);
    expect(faces.length).toBe(count);
    for (const { nodes: face } of faces) {
      const [a = [], b = [], c = []] = face.map(at);
      const [u, v] = [b, c].map((to) => to.map((value, axis) => value - (a[axis] ?? 0))) as [number[], number[]];
      const [ux = 0, uy = 0, uz = 0] = u;
      const [vx = 0, vy = 0, vz = 0] = v;
      const normal = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
      expect(
        normal.reduce((sum, value, axis) => sum + value * ((a[axis] ?? 0) - (middle[axis] ?? 0)), 0),
      ).toBeGreaterThan(0);
    }
  });

  it('are not those between two elements', () => {
    expect(outerFaces(model.elements).length).toBe(10);
  });
});

describe('the picture', () => {
  it('shows the faces that a viewer sees, the scale of displacements, and the range of stresses', () => {
    const displacements = new Float64Array(model.coordinates.length);
    displacements[3 * 2 + 2] = -0.8;
    const picture = drawDeformed({ ...model, title: 'A <beam> & more' }, displacements, [10, 250]);
    // Of ten outer faces: two in front, two above, one at the end.
    expect(picture.match(/Z" fill=/g)?.length).toBe(5);
    expect(picture).toContain('A &lt;beam&gt; &amp; more');
    expect(picture).toContain('Displacements drawn 20 times as large; the largest is 0.8.');
    for (const tick of ['>10<', '>70<', '>130<', '>190<', '>250<']) expect(picture).toContain(tick);
  });

  it('can be drawn of a body that did not move and has one stress', () => {
    expect(drawDeformed(model, new Float64Array(model.coordinates.length), [0, 0])).not.toMatch(/NaN|Infinity/);
  });
});

describe('a model', () => {
  it('has forces on the same node added up, as CalculiX adds them', () => {
    const more = readModel(makeCantilever(BEAM).replace('*CLOAD', '*CLOAD\n3, 3, -1.5\n3, 3, -2.5'));
    expect(more.loads.get(3 * 2 + 2)).toBe((model.loads.get(3 * 2 + 2) ?? 0) - 4);
  });

  it('has the stress of a bar for a bar, and √3 of a shear', () => {
    expect(vonMises([-7, 0, 0, 0, 0, 0])).toBeCloseTo(7, 12);
    expect(vonMises([0, 0, 0, 2, 0, 0])).toBeCloseTo(2 * Math.sqrt(3), 12);
    expect(vonMises([5, 5, 5, 0, 0, 0])).toBe(0);
  });
});

describe('a result of CalculiX is believed only when it is true', () => {
  const ids = model.nodeIds;
  const stress = [1, 2, 3, 4, 5, 6] as const;
  const held = [...model.fixed.keys()]
    .filter((degree) => degree % 3 === 2)
    .map((degree) => ids[Math.floor(degree / 3)]);
  const results = (change: Partial<{ moved: (id: number) => number[]; force: number }> = {}) => ({
    displacements: new Map(ids.map((id) => [id, (change.moved ?? (() => [0, 0, -1]))(id)])),
    stresses: new Map(ids.map((id) => [id, stress])),
    forces: new Map(held.map((id) => [id ?? 0, [0, 0, (change.force ?? 1000) / held.length]])),
  });
  const refusal =
    (of: Parameters<typeof checked>[1], on: Model = model) =>
    () =>
      checked(on, of);

  it('as one that balances is, element by element', () => {
    expect(checked(model, results()).stresses).toEqual([stress, stress]);
    expect(checked(model, results()).displacements[2]).toBe(-1);
  });

  it.each([
    [
      'a node without a displacement',
      { ...results(), displacements: new Map() },
      /no displacement or stress for node 1/,
    ],
    ['a stress that is no number', { ...results(), stresses: new Map() }, /no displacement or stress/],
    ['infinity', results({ moved: () => [0, 0, Number.POSITIVE_INFINITY] }), /no displacement or stress/],
    [
      'a body that flies away',
      results({ moved: (id) => [0, 0, id === 3 ? 1e9 : 0] }),
      /node 3 moved more than 100 times/,
    ],
    ['supports that hold too little', results({ force: 990 }), /do not hold the loads/],
  ])('not %s', (_, wrong, message) => {
    expect(refusal(wrong)).toThrow(message);
  });
});
