/** The parameters of a rendering, as the service validated them, in POV-Ray's terms. */
export interface PovrayParameters {
  readonly width: number;
  readonly height: number;
  /** Pictures of an animation, whose `clock` goes from 0 to 1. */
  readonly frames: number;
  /** Six square pictures around the camera instead. */
  readonly panorama: boolean;
  /** Samples of a pixel are a square of this side. */
  readonly samplesPerSide: number;
  readonly threads: number;
}

/** Samples a pixel by quality: 4, 9 and 25. Rays find a surface without noise, so its edges are what needs them. */
const SAMPLES_PER_SIDE: Readonly<Record<string, number>> = { standard: 2, high: 3, final: 5 };
const SAMPLES_PER_SIDE_MAX = 9;

/**
 * Reads `parameters.json`. Samples that are no square are rounded up to one.
 *
 * @throws Error when a value is impossible: whoever started the engine did not validate, which is not the input's fault.
 */
export function readParameters(text: string): PovrayParameters {
  const given = JSON.parse(text) as Record<string, unknown>;
  const quality = given.quality ?? 'standard';
  const ofQuality = typeof quality === 'string' ? SAMPLES_PER_SIDE[quality] : undefined;
  if (ofQuality === undefined) throw new Error(`parameters.json: there is no quality ${JSON.stringify(quality)}`);
  const samples = whole(given, 'samples', { fallback: ofQuality ** 2, max: SAMPLES_PER_SIDE_MAX ** 2 });
  return {
    width: whole(given, 'width', { max: 16_384 }),
    height: whole(given, 'height', { max: 16_384 }),
    frames: whole(given, 'frames', { fallback: 1, max: 100_000 }),
    panorama: given.panorama === true,
    samplesPerSide: Math.ceil(Math.sqrt(samples)),
    threads: whole(given, 'threads', { fallback: 2, max: 8 }),
  };
}

function whole(
  given: Record<string, unknown>,
  name: string,
  { fallback, max }: { readonly fallback?: number; readonly max: number },
): number {
  const value = given[name] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 1 || value > max) {
    throw new Error(`parameters.json: ${name} must be a whole number from 1 to ${max}`);
  }
  return value;
}
