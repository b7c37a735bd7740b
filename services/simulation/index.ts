/** Simulation: a SPICE netlist, charged by the analyses that it holds. */
import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import { z } from 'zod';
import { wholeUnits } from '../../domain/usage';
import { type Counters, InputError, type InputFile, type Service } from '../service';
import { type NetlistFacts, readNetlist } from './netlist';

export type { NetlistFacts } from './netlist';

const INPUT_BYTES_MAX = 1024 * 1024;

const parameters = z.strictObject({
  temperature: z
    .number('the temperature is a number of °C')
    .min(-100, 'the temperature is at least -100 °C')
    .max(300, 'the temperature is at most 300 °C')
    .optional()
    .describe('Temperature of the circuit in °C, instead of the one in the netlist (27 where it names none).'),
  plots: z
    .array(
      z.string().regex(/^([vi]\([^()\s,]{1,64}\)|[^()\s,]{1,64})$/i, 'a vector is named like v(out), i(v1) or out'),
    )
    .max(8, 'at most 8 vectors are drawn')
    .default([])
    .describe('Vectors to draw, such as "v(out)". Without any: those of .print, .plot and .save cards, else outputs.'),
});

export type SimulationParameters = z.output<typeof parameters>;

/** The service; see {@link readNetlist} for what it refuses. */
export const service: Service<SimulationParameters, NetlistFacts> = {
  name: 'simulation',
  title: 'Simulation (5 credits each)',
  description:
    'Runs the analyses of a SPICE netlist and gives a table and a plot of each. One analysis card (.op, .dc, .ac, ' +
    '.tran, .noise, .tf, .pz or .sens) is one simulation. The published rate card keeps the rate of 5 credits a ' +
    'simulation; the name in its row was lost in the source, and circuits are what we offer for it.',
  parameters,
  accepts: ['.cir', '.sp', '.net', '.spice', '.ckt'].map((extension) => ({
    extension,
    mediaType: 'text/x-spice',
    title: 'SPICE netlist',
  })),
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'simulations', unit: 'simulation', title: 'Simulations', rated: true },
    { name: 'points', unit: 'point', title: 'Data points', rated: false },
    { name: 'iterations', unit: 'iteration', title: 'Solver iterations', rated: false },
  ],
  // The first one needs nothing installed: it is what a job without a route runs on.
  engines: [
    { name: 'spice', onLostAttempt: 'restart' },
    { name: 'ngspice', programs: ['ngspice'], onLostAttempt: 'restart' },
  ],
  // The same simulator twice; the installed one is sooner done: 1.5 s against 4 s for the sample netlist.
  enginesFor: () => ['ngspice', 'spice'],

  async inspect(input) {
    return readNetlist(await readText(input));
  },

  estimate({ analyses }) {
    const usage = [{ meter: 'simulations', quantity: wholeUnits(analyses.length) }];
    const kinds = [...new Set(analyses.map(({ kind }) => `.${kind}`))].join(', ');
    const reason =
      analyses.length === 1
        ? `The netlist has 1 analysis (${kinds}), which is one simulation however long it runs.`
        : `The netlist has ${analyses.length} analyses (${kinds}); each is one simulation however long it runs.`;
    return { low: usage, expected: usage, high: usage, reason };
  },

  dimensions: () => ({}),

  usageOf: (counters: Counters) =>
    service.meters.map(({ name }) => ({ meter: name, quantity: wholeUnits(counters[name] ?? 0) })),
};

/** Never more than the limit is read, whatever the size was said to be. */
async function readText({ path }: InputFile): Promise<string> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(INPUT_BYTES_MAX + 1);
    let length = 0;
    for (let read = -1; read !== 0 && length < bytes.length; length += read) {
      read = (await file.read(bytes, length, bytes.length - length, null)).bytesRead;
    }
    if (length > INPUT_BYTES_MAX) throw new InputError('input_too_large', 'a netlist is at most 1 MiB');
    const text = bytes.subarray(0, length);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what gives a binary file away
    if (!isUtf8(text) || /[\u0000-\u0008\u000e-\u001f]/.test(text.toString('latin1'))) {
      throw new InputError('input_not_netlist', 'the file is not text, so it is no netlist');
    }
    return text.toString('utf8');
  } finally {
    await file.close();
  }
}
