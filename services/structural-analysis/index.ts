/** Structural analysis: a CalculiX deck, or a gmsh geometry with a material and a load, charged by the analysis. */
import { z } from 'zod';
import { wholeUnits } from '../../domain/usage';
import { type Counters, InputError, type Service } from '../service';
import type { DeckFacts } from './deck';
import type { GeometryFacts } from './geometry';
import { readInput } from './readInput';

export type { DeckFacts } from './deck';
export type { GeometryFacts } from './geometry';

const INPUT_BYTES_MAX = 64 * 1024 * 1024;

const group = (what: string) =>
  z
    .string(`the ${what} surface is named by a text`)
    .regex(
      /^[\w .-]{1,80}$/,
      `the ${what} surface is named with letters, digits, blanks, dots, hyphens and underscores`,
    )
    .default(what);

const parameters = z.strictObject({
  youngsModulus: z
    .number("Young's modulus is a number")
    .positive("Young's modulus is above 0")
    .max(1e15, "Young's modulus is at most 1e15")
    .optional()
    .describe("Of a geometry: Young's modulus, such as 210000 for steel in MPa with lengths in mm."),
  poissonsRatio: z
    .number("Poisson's ratio is a number")
    .min(0, "Poisson's ratio is at least 0")
    .max(0.49, "Poisson's ratio is at most 0.49")
    .optional()
    .describe("Of a geometry: Poisson's ratio, such as 0.3 for steel."),
  fixed: group('fixed').describe('Of a geometry: the name of the physical surface that is held in all directions.'),
  loaded: group('loaded').describe('Of a geometry: the name of the physical surface that the force acts on.'),
  force: z
    .array(z.number('a force is three numbers').min(-1e15).max(1e15))
    .length(3, 'a force is three numbers, in x, y and z')
    .refine((force) => force.some((value) => value !== 0), 'a force is not zero in all directions')
    .optional()
    .describe('Of a geometry: the whole force in x, y and z, spread evenly over the loaded surface.'),
  meshSize: z
    .number('the mesh size is a number')
    .positive('the mesh size is above 0')
    .max(1e9, 'the mesh size is at most 1e9')
    .optional()
    .describe('Of a geometry: the longest edge of an element. Without one: as the geometry says.'),
});

export type StructuralParameters = z.output<typeof parameters>;
export type StructuralFacts = DeckFacts | GeometryFacts;

/** The service; see `deck.ts` and `geometry.ts` for what it refuses. */
export const service: Service<StructuralParameters, StructuralFacts> = {
  name: 'structural-analysis',
  title: 'Structural analysis (2 credits each)',
  description:
    'Displacements and stresses of solid bodies under load, from a CalculiX deck (.inp) with one static step, or from a gmsh ' +
    'geometry (.geo) with a material, a held surface and a force. Gives tables, a summary and a picture of the deformed shape.',
  parameters,
  accepts: [
    { extension: '.inp', mediaType: 'text/x-calculix', title: 'CalculiX or Abaqus deck with solid elements' },
    { extension: '.geo', mediaType: 'text/x-gmsh-geo', title: 'gmsh geometry with physical surfaces' },
  ],
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'analyses', unit: 'analysis', title: 'Analyses', rated: true },
    { name: 'equations', unit: 'equation', title: 'Equations', rated: false },
    { name: 'iterations', unit: 'iteration', title: 'Solver iterations', rated: false },
    { name: 'nonzeros', unit: 'nonzero', title: 'Nonzeros of the matrix', rated: false },
  ],
  engines: [
    { name: 'calculix', programs: ['ccx', 'gmsh'], onLostAttempt: 'restart' },
    { name: 'elastic', onLostAttempt: 'restart' },
  ],

  inspect: (input) => readInput(input, INPUT_BYTES_MAX),

  enginesFor(facts) {
    return facts.kind === 'deck' && facts.elasticRefusal === null ? ['calculix', 'elastic'] : ['calculix'];
  },

  estimate(facts, chosen) {
    checkFit(facts, chosen);
    const usage = [{ meter: 'analyses', quantity: wholeUnits(1) }];
    return { low: usage, expected: usage, high: usage, reason: reasonFor(facts) };
  },

  dimensions: () => ({}),

  usageOf: (counters: Counters) =>
    service.meters.map(({ name }) => ({ meter: name, quantity: wholeUnits(counters[name] ?? 0) })),
};

/** @throws InputError `parameters_missing`, `parameters_not_for_decks`, `surface_not_in_geometry`. */
function checkFit(facts: StructuralFacts, chosen: StructuralParameters): void {
  const { youngsModulus, poissonsRatio, force, meshSize, fixed, loaded } = chosen;
  if (facts.kind === 'deck') {
    const given = Object.entries({ youngsModulus, poissonsRatio, force, meshSize }).find(
      ([, value]) => value !== undefined,
    );
    if (given) throw new InputError('parameters_not_for_decks', `${given[0]} is for a geometry; a deck says it itself`);
    return;
  }
  const missing = Object.entries({ youngsModulus, poissonsRatio, force }).find(([, value]) => value === undefined);
  if (missing) throw new InputError('parameters_missing', `a geometry needs the parameter ${missing[0]}`);
  for (const name of [fixed, loaded]) {
    if (!facts.surfacesAreKnown || facts.surfaces.includes(name)) continue;
    throw new InputError(
      'surface_not_in_geometry',
      `the geometry has no physical surface "${name}"; it has ${facts.surfaces.map((one) => `"${one}"`).join(', ')}`,
    );
  }
}

function reasonFor(facts: StructuralFacts): string {
  if (facts.kind === 'geometry') {
    return 'The geometry is meshed when the job runs; however many equations that gives, it is one analysis.';
  }
  const elements = Object.entries(facts.elements).map(([type, count]) => `${count} ${type}`);
  return `The deck has ${facts.equations} equations (${facts.nodes} nodes; elements: ${elements.join(', ')}), which is one analysis whatever its size.`;
}
