/** The light around a scene: a clear sky with one sun, or (to check the renderer against an answer) an even one. */
import type { Vector } from './camera';

export interface Sky {
  /** Towards the sun, a unit vector. */
  readonly sunDirection: Vector;
  /** What the sun gives to a surface that faces it. Zeros: no sun. */
  readonly sunIrradiance: Vector;
  /** The cosine of the sun's angular radius; larger than the real one's, for soft shadow edges. */
  readonly sunCosine: number;
  /** The even radiance of all directions, instead of the sky's gradient. */
  readonly even?: number;
}

/** A clear late morning. The sun stands to the left of somebody who looks along -Z. */
export const DAYLIGHT: Sky = {
  sunDirection: [-0.5144957554275265, 0.6859943405700353, 0.5144957554275265],
  sunIrradiance: [5.2, 4.45, 3.4],
  sunCosine: Math.cos((0.9 * Math.PI) / 180),
};

/** Adds nothing; writes the sky's radiance in a direction to `out`. The sun itself is sampled, not seen here. */
export function skyRadiance(sky: Sky, x: number, y: number, z: number, out: Float64Array): void {
  if (sky.even !== undefined) {
    out.fill(sky.even);
    return;
  }
  const sun = sky.sunDirection;
  const towardsSun = Math.max(0, x * sun[0] + y * sun[1] + z * sun[2]);
  const glow = towardsSun ** 8 * 0.22 + towardsSun ** 64 * 0.6;
  const height = Math.max(0, y);
  // Near the horizon there is more air to look through, so the colour falls off fast with the first degrees.
  const haze = (1 - height) ** 5;
  const ground = y < 0 ? Math.min(1, -y * 12) : 0;
  const above0 = 0.2 + 0.58 * haze + glow;
  const above1 = 0.38 + 0.47 * haze + glow * 0.86;
  const above2 = 0.8 + 0.18 * haze + glow * 0.66;
  out[0] = above0 * (1 - ground) + 0.24 * ground;
  out[1] = above1 * (1 - ground) + 0.22 * ground;
  out[2] = above2 * (1 - ground) + 0.2 * ground;
}
