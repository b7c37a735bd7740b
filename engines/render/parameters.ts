/** The parameters of a rendering, as the service validated them, with this engine's defaults. */
export interface RenderParameters {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  /** Six pictures around the camera's place instead. */
  readonly panorama: boolean;
  readonly samplesPerPixel: number;
  /** Which camera of the scene, in scene order; none means the first, or an automatic one. */
  readonly camera: number | undefined;
  readonly threads: number;
}

const SAMPLES_PER_PIXEL: Readonly<Record<string, number>> = { standard: 8, high: 32, final: 96 };

/**
 * Reads `parameters.json`.
 *
 * @throws Error when a value is impossible: whoever started the engine did not validate, which is not the input's fault.
 */
export function readParameters(text: string): RenderParameters {
  const given = JSON.parse(text) as Record<string, unknown>;
  const quality = given.quality ?? 'standard';
  const ofQuality = typeof quality === 'string' ? SAMPLES_PER_PIXEL[quality] : undefined;
  if (ofQuality === undefined) throw new Error(`parameters.json: there is no quality ${JSON.stringify(quality)}`);
  return {
    width: whole(given, 'width', undefined, 1, 16_384),
    height: whole(given, 'height', undefined, 1, 16_384),
    frames: whole(given, 'frames', 1, 1, 100_000),
    panorama: given.panorama === true,
    samplesPerPixel: whole(given, 'samples', ofQuality, 1, 1024),
    camera: given.camera === undefined ? undefined : whole(given, 'camera', undefined, 0, 1_000_000),
    threads: whole(given, 'threads', 2, 1, 8),
  };
}

function whole(
  given: Record<string, unknown>,
  name: string,
  fallback: number | undefined,
  min: number,
  max: number,
): number {
  const value = given[name] ?? fallback;
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw new Error(`parameters.json: ${name} must be a whole number from ${min} to ${max}`);
  }
  return value;
}
