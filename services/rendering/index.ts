/** Rendering: a scene to one picture, to those of an animation or of a panorama, charged by output megapixels. */
import { z } from 'zod';
import type { Dimensions, Estimate, Usage } from '../../domain/usage';
import { formatQuantity, quantity, wholeUnits } from '../../domain/usage';
import { type Counters, InputError, type Service } from '../service';
import { type GltfFacts, inspectGltf } from './inspectGltf';
import { inspectPovray, type PovrayFacts } from './inspectPovray';

export type SceneFacts = GltfFacts | PovrayFacts;

const SIDE_MIN = 16;
const SIDE_MAX = 8192;
const PIXELS_MAX = 33_000_000;
const FRAMES_MAX = 240;
const PANORAMA_FACES = 6;
const POVRAY_SAMPLES_MAX = 81;
const INPUT_BYTES_MAX = 256 * 1024 * 1024;

const side = (name: string) =>
  z
    .int(`${name} is a whole number of pixels`)
    .min(SIDE_MIN, `${name} is at least ${SIDE_MIN} pixels`)
    .max(SIDE_MAX, `${name} is at most ${SIDE_MAX} pixels`);

const parameters = z
  .strictObject({
    width: side('the width').describe('Width of a picture in pixels.'),
    height: side('the height').describe('Height of a picture in pixels.'),
    frames: z
      .int('frames is a whole number')
      .min(1, 'there is at least 1 frame')
      .max(FRAMES_MAX, `there are at most ${FRAMES_MAX} frames`)
      .default(1)
      .describe(
        'Pictures to make. With more than one the camera goes once round a glTF scene; the clock of a POV-Ray scene ' +
          'goes from 0 to 1.',
      ),
    panorama: z
      .boolean('panorama is true or false')
      .optional()
      .describe(
        'Six square pictures around the place of the camera instead, 90° wide each: right, left, up, down, front, back. ' +
          'A panorama is charged as 6 frames.',
      ),
    quality: z
      .enum(['standard', 'high', 'final'], 'the quality is standard, high or final')
      .default('standard')
      .describe('How much noise is left: 8, 32 or 96 samples a pixel of a glTF scene, 4, 9 or 25 of a POV-Ray scene.'),
    samples: z
      .int('samples is a whole number')
      .min(1, 'there is at least 1 sample a pixel')
      .max(1024, 'there are at most 1024 samples a pixel')
      .optional()
      .describe(
        'Samples a pixel, instead of those of the quality. POV-Ray takes squares up to 81 and rounds up to one.',
      ),
    camera: z
      .int('the camera is a whole number')
      .min(0, 'cameras count from 0')
      .optional()
      .describe('Which camera of a glTF scene, in scene order from 0. Without one: the first, or one that sees all.'),
    threads: z
      .int('threads is a whole number')
      .min(1, 'there is at least 1 thread')
      .max(8, 'there are at most 8 threads')
      .optional()
      .describe('Threads to render with; the picture is the same with any number.'),
  })
  // A side that is too long has its own message.
  .refine(({ width, height }) => Math.max(width, height) > SIDE_MAX || width * height <= PIXELS_MAX, {
    message: `a picture has at most ${PIXELS_MAX / 1e6} megapixels`,
    path: ['width'],
  })
  .refine(({ panorama, width, height }) => !panorama || width === height, {
    message: 'the pictures of a panorama are square: give the height the value of the width',
    path: ['height'],
  })
  .refine(({ panorama, frames }) => !panorama || frames === 1, {
    message: 'a panorama is one set of six pictures: leave frames out',
    path: ['frames'],
  });

export type RenderingParameters = z.output<typeof parameters>;

export const service: Service<RenderingParameters, SceneFacts> = {
  name: 'rendering',
  title: 'Rendering',
  description:
    'Pictures of a scene: one, an animation, or a panorama of six. A glTF scene is path-traced; a POV-Ray scene is ' +
    'rendered by POV-Ray where it is installed.',
  parameters,
  accepts: [
    { extension: '.glb', mediaType: 'model/gltf-binary', title: 'glTF 2.0 scene, binary' },
    { extension: '.gltf', mediaType: 'model/gltf+json', title: 'glTF 2.0 scene with everything embedded' },
    { extension: '.pov', mediaType: 'text/x-povray', title: 'POV-Ray 3.7 scene in one file' },
    { extension: '.zip', mediaType: 'application/zip', title: 'POV-Ray 3.7 scene with what it includes' },
  ],
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'megapixels', unit: 'Mpx', title: 'Output megapixels', rated: true },
    { name: 'rays', unit: 'rays', title: 'Rays cast', rated: false },
    { name: 'samples', unit: 'samples', title: 'Samples taken', rated: false },
  ],
  engines: [
    { name: 'render', onLostAttempt: 'restart' },
    { name: 'povray', programs: ['povray'], onLostAttempt: 'resume' },
  ],
  inspect: async (input) => (await inspectPovray(input)) ?? inspectGltf(input, INPUT_BYTES_MAX),
  enginesFor: ({ kind }) => (kind === 'povray' ? ['povray'] : ['render']),
  estimate,
  dimensions,
  usageOf,
};

function estimate(facts: SceneFacts, parameters: RenderingParameters): Estimate {
  refuseUnfit(facts, parameters);
  const { width, height, panorama } = parameters;
  const count = picturesOf(parameters);
  const usage = [megapixels(width * height * count)];
  const pictures = panorama ? 'a panorama of 6 pictures' : count === 1 ? 'one picture' : `${count} pictures`;
  return {
    low: usage,
    expected: usage,
    high: usage,
    reason: `The output size is known exactly: ${pictures} of ${width} x ${height} pixels.`,
  };
}

/** @throws InputError `camera_not_in_scene` or `too_many_samples`. */
function refuseUnfit(facts: SceneFacts, { camera, samples = 1 }: RenderingParameters): void {
  if (facts.kind === 'povray') {
    if (camera !== undefined) {
      throw new InputError('camera_not_in_scene', 'A POV-Ray scene has one camera, its own: leave the camera out.');
    }
    if (samples > POVRAY_SAMPLES_MAX) {
      throw new InputError('too_many_samples', `POV-Ray takes at most ${POVRAY_SAMPLES_MAX} samples a pixel.`);
    }
  } else if (camera !== undefined && camera >= facts.cameras) {
    const placed = facts.cameras === 1 ? '1 camera' : `${facts.cameras} cameras`;
    throw new InputError(
      'camera_not_in_scene',
      `There is no camera ${camera}: the scene has ${placed}, counted from 0.`,
    );
  }
}

function dimensions(_facts: SceneFacts, parameters: RenderingParameters): Dimensions {
  const { width, height, quality } = parameters;
  return {
    quality,
    imageMegapixels: formatQuantity(quantity(BigInt(width * height))),
    frames: String(picturesOf(parameters)),
  };
}

function picturesOf({ frames, panorama }: RenderingParameters): number {
  return panorama ? PANORAMA_FACES : frames;
}

function usageOf(counters: Counters): Usage[] {
  return [
    megapixels(counters.pixels ?? 0),
    { meter: 'rays', quantity: wholeUnits(counters.rays ?? 0) },
    { meter: 'samples', quantity: wholeUnits(counters.samples ?? 0) },
  ];
}

/** A pixel is a millionth of a megapixel, which is what quantities count in: nothing is rounded. */
function megapixels(pixels: number): Usage {
  return { meter: 'megapixels', quantity: quantity(BigInt(pixels)) };
}
