import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InputError } from '../service';
import { service } from '.';
import { readMould } from './mouldFile';

const sample = (name: string) => readFileSync(join(__dirname, '..', '..', 'samples', name), 'utf8');
const plate = JSON.parse(sample('plate.mould.json'));
const design = JSON.parse(sample('plate-doe.mould.json'));

function codeOf(file: object): string {
  try {
    readMould(JSON.stringify(file));
    return 'accepted';
  } catch (error) {
    return error instanceof InputError ? `${error.code}: ${error.message}` : String(error);
  }
}

it('estimates one simulation for a plate, and one run for each point of a design', () => {
  const one = readMould(sample('plate.mould.json'));
  expect(service.estimate(one, {})).toMatchObject({ expected: [{ meter: 'simulations', quantity: 1_000_000n }] });
  expect(service.runs?.(one, {})).toBe(1);
  const many = readMould(sample('plate-doe.mould.json'));
  expect(service.estimate(many, {})).toMatchObject({
    low: [{ meter: 'doeRuns', quantity: 1_000_000n }],
    expected: [{ meter: 'doeRuns', quantity: 8_000_000n }],
    high: [{ meter: 'doeRuns', quantity: 8_000_000n }],
  });
  expect(service.runs?.(many, {})).toBe(8);
  expect(service.dimensions(many, {})).toEqual({ kind: 'design-of-experiments', runs: '8', cells: '864' });
});

it.each([
  ['a field that it does not know', { ...plate, colour: 'red' }, /input_not_mould: .*colour/],
  ['no gate', { ...plate, gates: [] }, /input_not_mould: gates/],
  ['a thickness below what is moulded', { ...plate, plate: { ...plate.plate, thickness: 0 } }, /plate.thickness/],
  [
    'a factor that is no number of the file',
    { ...design, designOfExperiments: { factors: [{ field: 'plate.depth', levels: [1] }] } },
    /mould_design_invalid: .*plate.depth/,
  ],
  [
    'a factor that reaches for what every object has',
    { ...design, designOfExperiments: { factors: [{ field: 'constructor.length', levels: [1] }] } },
    /mould_design_invalid/,
  ],
  [
    'a row without a value for each factor',
    { ...design, designOfExperiments: { factors: [{ field: 'plate.width' }], runs: [[100], [1, 2]] } },
    /runs.1/,
  ],
  [
    'more runs than are run in one job',
    {
      ...design,
      designOfExperiments: {
        factors: ['plate.width', 'plate.height', 'plate.thickness'].map((field) => ({
          field,
          levels: [1, 2, 3, 4, 5, 6],
        })),
      },
    },
    /216 runs/,
  ],
])('refuses %s, and says what to mend', (_, file, message) => expect(codeOf(file)).toMatch(message));

it('leaves a point that cannot be moulded to its run', () => {
  const file = { ...design, designOfExperiments: { factors: [{ field: 'plate.thickness', levels: [1, 0] }] } };
  expect(readMould(JSON.stringify(file)).runs).toBe(2);
});
