/** Optimization: the lightest areas of the members of a truss, charged by the optimization. */
import { z } from 'zod';
import { wholeUnits } from '../../domain/usage';
import { readText } from '../readText';
import type { Counters, Service } from '../service';
import { readTruss, type TrussFacts } from './truss';

export type { TrussFacts } from './truss';

const INPUT_BYTES_MAX = 2 * 1024 * 1024;

const parameters = z.strictObject({});

/** The service; see {@link readTruss} for what it reads and refuses. */
export const service: Service<z.output<typeof parameters>, TrussFacts> = {
  name: 'optimization',
  title: 'Optimization (5 credits each)',
  description:
    'Sizes the members of a pin-jointed truss in the plane or in space for the least weight under several load cases and ' +
    'stress limits, by linear programming (plastic design, without buckling), and proves the result optimal. Gives a ' +
    'drawing, the areas and forces as a table, and a summary.',
  parameters,
  accepts: ['.truss.json', '.json'].map((extension) => ({
    extension,
    mediaType: 'application/json',
    title: 'Truss: nodes, members, supports, load cases and stress limits',
  })),
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'optimizations', unit: 'optimization', title: 'Optimizations', rated: true },
    { name: 'simplexIterations', unit: 'iteration', title: 'Simplex iterations', rated: false },
    { name: 'members', unit: 'member', title: 'Members sized', rated: false },
  ],
  engines: [{ name: 'truss', onLostAttempt: 'restart' }],

  async inspect(input) {
    return readTruss(await readText(input, { bytesMax: INPUT_BYTES_MAX, code: 'input_not_truss' }));
  },

  estimate({ members, loadCases }) {
    const usage = [{ meter: 'optimizations', quantity: wholeUnits(1) }];
    const cases = loadCases === 1 ? '1 load case' : `${loadCases} load cases`;
    const reason = `Sizing ${members} members for ${cases} is one optimization however long it runs.`;
    return { low: usage, expected: usage, high: usage, reason };
  },

  dimensions: () => ({}),

  usageOf: (counters: Counters) =>
    service.meters.map(({ name }) => ({ meter: name, quantity: wholeUnits(counters[name] ?? 0) })),
};
