/** Rendering: a glTF scene to one picture or the pictures of a turntable, charged by output megapixels. */
import { z } from 'zod';
import type { Dimensions, Estimate, Usage } from '../../domain/usage';
import { formatQuantity, quantity, wholeUnits } from '../../domain/usage';
import { type Counters, InputError, type Service } from '../service';
import { inspectScene, type SceneFacts } from './inspectScene';

export type { SceneFacts } from './inspectScene';

const SIDE_MIN = 16;
const SIDE_MAX = 8192;
const PIXELS_MAX = 33_000_000;
const FRAMES_MAX = 240;
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
      .describe('Pictures to make. With more than one the camera goes once round the scene.'),
    quality: z
      .enum(['standard', 'high', 'final'], 'the quality is standard, high or final')
      .default('standard')
      .describe('How much noise is left: 8, 32 or 96 samples a pixel.'),
    samples: z
      .int('samples is a whole number')
      .min(1, 'there is at least 1 sample a pixel')
      .max(1024, 'there are at most 1024 samples a pixel')
      .optional()
      .describe('Samples a pixel, instead of those of the quality.'),
    camera: z
      .int('the camera is a whole number')
      .min(0, 'cameras count from 0')
      .optional()
      .describe('Which camera of the scene, in scene order from 0. Without one: the first, or one that sees all.'),
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
  });

export type RenderingParameters = z.output<typeof parameters>;

export const service: Service<RenderingParameters, SceneFacts> = {
  name: 'rendering',
  title: 'Rendering',
  description: 'Path-traced pictures of a glTF scene, one or a turn around it.',
  parameters,
  accepts: [
    { extension: '.glb', mediaType: 'model/gltf-binary', title: 'glTF 2.0 scene, binary' },
    { extension: '.gltf', mediaType: 'model/gltf+json', title: 'glTF 2.0 scene with everything embedded' },
  ],
  inputBytesMax: INPUT_BYTES_MAX,
  meters: [
    { name: 'megapixels', unit: 'Mpx', title: 'Output megapixels', rated: true },
    { name: 'rays', unit: 'rays', title: 'Rays cast', rated: false },
    { name: 'samples', unit: 'samples', title: 'Samples taken', rated: false },
  ],
  engines: [{ name: 'render', onLostAttempt: 'restart' }],
  inspect: (input) => inspectScene(input, INPUT_BYTES_MAX),
  estimate,
  dimensions,
  usageOf,
};

function estimate(facts: SceneFacts, { width, height, frames, camera }: RenderingParameters): Estimate {
  if (camera !== undefined && camera >= facts.cameras) {
    const placed = facts.cameras === 1 ? '1 camera' : `${facts.cameras} cameras`;
    throw new InputError(
      'camera_not_in_scene',
      `There is no camera ${camera}: the scene has ${placed}, counted from 0.`,
    );
  }
  const usage = [megapixels(width * height * frames)];
  const pictures = frames === 1 ? 'one picture' : `${frames} pictures`;
  return {
    low: usage,
    expected: usage,
    high: usage,
    reason: `The output size is known exactly: ${pictures} of ${width} x ${height} pixels.`,
  };
}

function dimensions(_facts: SceneFacts, { width, height, frames, quality }: RenderingParameters): Dimensions {
  return {
    quality,
    imageMegapixels: formatQuantity(quantity(BigInt(width * height))),
    frames: String(frames),
  };
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
