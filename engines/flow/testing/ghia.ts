/**
 * Velocities in a square cavity under a moving lid, of the lid's speed: U. Ghia, K. N. Ghia and C. T. Shin, "High-Re
 * solutions for incompressible flow using the Navier-Stokes equations and a multigrid method", Journal of Computational
 * Physics 48 (1982) 387-411, tables I and II. Two entries are left out, because they do not lie on the curve of their
 * neighbours and are probably misprints: u at y = 0.0703 for Re 100 (-0.04775) and v at x = 0.9063 for Re 400 (-0.23827).
 */

/** Places along the line, from the lower or left wall, and the velocity there. */
export type Profile = readonly (readonly [place: number, velocity: number])[];

/** The u of the vertical centreline and the v of the horizontal one, by Reynolds number. */
export const GHIA: Readonly<Record<100 | 400, { readonly u: Profile; readonly v: Profile }>> = {
  100: {
    u: [
      [0.0547, -0.03717],
      [0.0625, -0.04192],
      [0.1016, -0.06434],
      [0.1719, -0.1015],
      [0.2813, -0.15662],
      [0.4531, -0.2109],
      [0.5, -0.20581],
      [0.6172, -0.13641],
      [0.7344, 0.00332],
      [0.8516, 0.23151],
      [0.9531, 0.68717],
      [0.9609, 0.73722],
      [0.9688, 0.78871],
      [0.9766, 0.84123],
    ],
    v: [
      [0.0625, 0.09233],
      [0.0703, 0.10091],
      [0.0781, 0.1089],
      [0.0938, 0.12317],
      [0.1563, 0.16077],
      [0.2266, 0.17507],
      [0.2344, 0.17527],
      [0.5, 0.05454],
      [0.8047, -0.24533],
      [0.8594, -0.22445],
      [0.9063, -0.16914],
      [0.9453, -0.10313],
      [0.9531, -0.08864],
      [0.9609, -0.07391],
      [0.9688, -0.05906],
    ],
  },
  400: {
    u: [
      [0.0547, -0.08186],
      [0.0625, -0.09266],
      [0.0703, -0.10338],
      [0.1016, -0.14612],
      [0.1719, -0.24299],
      [0.2813, -0.32726],
      [0.4531, -0.17119],
      [0.5, -0.11477],
      [0.6172, 0.02135],
      [0.7344, 0.16256],
      [0.8516, 0.29093],
      [0.9531, 0.55892],
      [0.9609, 0.61756],
      [0.9688, 0.68439],
      [0.9766, 0.75837],
    ],
    v: [
      [0.0625, 0.1836],
      [0.0703, 0.19713],
      [0.0781, 0.2092],
      [0.0938, 0.22965],
      [0.1563, 0.28124],
      [0.2266, 0.30203],
      [0.2344, 0.30174],
      [0.5, 0.05186],
      [0.8047, -0.38598],
      [0.8594, -0.44993],
      [0.9453, -0.22847],
      [0.9531, -0.19254],
      [0.9609, -0.15663],
      [0.9688, -0.12146],
    ],
  },
};

/** The largest distance of computed values, in order of their places, from a published profile. */
export function farthest(published: Profile, computed: Profile): number {
  return published.reduce(
    (most, [place, velocity]) => Math.max(most, Math.abs(between(computed, place) - velocity)),
    0,
  );
}

/** The cubic through the four values around a place. */
function between(values: Profile, place: number): number {
  const above = values.findIndex(([at]) => at > place);
  const first = Math.min(Math.max(above - 2, 0), values.length - 4);
  const four = values.slice(first, first + 4);
  return four.reduce((sum, [at, value]) => {
    const others = four.filter(([other]) => other !== at);
    return sum + others.reduce((product, [other]) => (product * (place - other)) / (at - other), value);
  }, 0);
}
