/** Injection moulding: the filling of a plate, once or for each point of a design of experiments. */
import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { wholeUnits } from '../../domain/usage';
import { type Counters, InputError, type Service } from '../service';
import { type MouldFacts, readMould } from './mouldFile';

export type { MouldFacts } from './mouldFile';

const INPUT_BYTES_MAX = 256 * 1024;

const parameters = z.strictObject({});

/** The service; see {@link readMould} for what it refuses. */
export const service: Service<z.output<typeof parameters>, MouldFacts> = {
  name: 'injection-moulding',
  title: 'Injection moulding',
  description:
    'Computes how a melt fills the cavity of a plate with ribs and holes: when each place is filled, what pressure the gate ' +
    'needs, and whether the shot is short. A design of experiments runs one simulation for each combination of its ' +
    'factors, and compares them in one table; a run that completes is charged, one that cannot be moulded is not.',
  parameters,
  accepts: [{ extension: '.mould.json', mediaType: 'application/json', title: 'Plate to fill' }],
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'simulations', unit: 'simulation', title: 'Single simulations', rated: true },
    { name: 'doeRuns', unit: 'run', title: 'Runs of a design of experiments', rated: true },
    { name: 'pressureIterations', unit: 'iteration', title: 'Iterations of the pressure', rated: false },
    { name: 'frontSteps', unit: 'step', title: 'Steps of the melt front', rated: false },
    { name: 'cells', unit: 'cell', title: 'Filled cells', rated: false },
  ],
  engines: [{ name: 'moulding', onLostAttempt: 'restart' }],

  async inspect({ path, size }) {
    if (size > INPUT_BYTES_MAX) throw new InputError('input_too_large', 'a plate to fill is at most 256 KiB');
    return readMould(await readFile(path, 'utf8'));
  },

  runs: ({ runs }) => runs,

  estimate({ isDesign, runs }) {
    if (!isDesign) {
      const usage = [{ meter: 'simulations', quantity: wholeUnits(1) }];
      const reason = 'The file is one simulation, however long it runs and whether the shot is full or short.';
      return { low: usage, expected: usage, high: usage, reason };
    }
    const usage = (count: number) => [{ meter: 'doeRuns', quantity: wholeUnits(count) }];
    const reason =
      `The design of experiments has ${runs} runs. A run whose values cannot be moulded is not charged; ` +
      'at the least one run completes.';
    return { low: usage(1), expected: usage(runs), high: usage(runs), reason };
  },

  dimensions: ({ isDesign, runs, cells }) => ({
    kind: isDesign ? 'design-of-experiments' : 'single',
    runs: String(runs),
    cells: String(cells),
  }),

  usageOf: (counters: Counters) =>
    service.meters.map(({ name }) => ({ meter: name, quantity: wholeUnits(counters[name] ?? 0) })),
};
