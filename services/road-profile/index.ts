/** Road profile optimization: the vertical alignment with the least earthworks, charged by the length of the road. */
import { z } from 'zod';
import { quantity, wholeUnits } from '../../domain/usage';
import { readText } from '../readText';
import { type Counters, InputError, type Service } from '../service';
import { type ProfileFacts, readProfile } from './profile';

export type { ProfileFacts } from './profile';

const INPUT_BYTES_MAX = 8 * 1024 * 1024;
const STATIONS_MAX = 10_000;

const level = z.number().min(-99_999_999).max(99_999_999);

const parameters = z.strictObject({
  formationWidth: z.number().min(0.5).max(200).default(11).describe('Width of the formation in metres.'),
  maximumGradePercent: z.number().min(0.1).max(50).default(6).describe('Steepest grade in per cent, up or down.'),
  minimumCurveRadius: z
    .number()
    .min(1)
    .max(1_000_000)
    .default(3000)
    .describe('Smallest radius of a vertical curve in metres, crest or sag.'),
  cutCost: z.number().min(0.01).max(100_000).default(8).describe('Cost of a cubic metre of cut, hauling included.'),
  fillCost: z.number().min(0.01).max(100_000).default(12).describe('Cost of a cubic metre of fill, hauling included.'),
  stationSpacing: z
    .number()
    .min(0.5)
    .max(1000)
    .default(10)
    .describe(
      'Largest distance of two stations in metres; stations are equally spaced, the ground is linear between points.',
    ),
  startLevel: level.optional().describe('Level of the road at its start in metres; without it, that of the ground.'),
  endLevel: level.optional().describe('Level of the road at its end in metres; without it, that of the ground.'),
  controlPoints: z
    .array(
      z.strictObject({
        chainage: level.describe('Where, in metres.'),
        level: level.describe('The level in metres.'),
        kind: z.enum(['through', 'not-above', 'not-below']).describe('How the road keeps to the level.'),
      }),
    )
    .max(50, 'at most 50 control points')
    .default([])
    .describe('Levels that the road goes through, or stays at or below, or at or above.'),
});

export type RoadProfileParameters = z.output<typeof parameters>;

/** The service; see {@link readProfile} for what it refuses. */
export const service: Service<RoadProfileParameters, ProfileFacts> = {
  name: 'road-profile',
  title: 'Road profile optimization (100 credits per 5 km)',
  description:
    'Finds the vertical alignment of a road with the least cost of earthworks under a maximum grade, a minimum radius ' +
    'of vertical curves and control points, from a table of chainage and ground level, and proves it optimal. Gives the ' +
    'profile as a table and a drawing with the mass haul.',
  parameters,
  accepts: [{ extension: '.csv', mediaType: 'text/csv', title: 'Ground profile: chainage and level in metres' }],
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'kilometres', unit: 'km', title: 'Length of road', rated: true },
    { name: 'simplexIterations', unit: 'iteration', title: 'Simplex iterations', rated: false },
    { name: 'stations', unit: 'station', title: 'Stations', rated: false },
  ],
  engines: [{ name: 'road-profile', onLostAttempt: 'restart' }],

  async inspect(input) {
    return readProfile(await readText(input, { bytesMax: INPUT_BYTES_MAX, code: 'input_not_profile' }));
  },

  estimate(facts, { stationSpacing, controlPoints }) {
    const length = facts.lengthMillimetres / 1000;
    if (length / stationSpacing > STATIONS_MAX) {
      throw new InputError(
        'profile_too_large',
        `a road of ${length} m has more than ${STATIONS_MAX} stations at ${stationSpacing} m; space them wider`,
      );
    }
    const off = controlPoints.find(({ chainage }) => chainage < facts.startChainage || chainage > facts.endChainage);
    if (off) {
      throw new InputError(
        'control_point_off_road',
        `the control point at ${off.chainage} m is not on the road, which runs from ${facts.startChainage} m to ${facts.endChainage} m`,
      );
    }
    // A millimetre is a millionth of a kilometre.
    const usage = [{ meter: 'kilometres', quantity: quantity(BigInt(facts.lengthMillimetres)) }];
    const reason = `The profile is ${length} m long, which is known before it runs.`;
    return { low: usage, expected: usage, high: usage, reason };
  },

  dimensions: () => ({}),

  usageOf: (counters: Counters) => [
    { meter: 'kilometres', quantity: quantity(BigInt(counters.millimetres ?? 0)) },
    ...['simplexIterations', 'stations'].map((name) => ({ meter: name, quantity: wholeUnits(counters[name] ?? 0) })),
  ],
};
