/** Whether a model is held: a body that can move as a whole has no answer. */

type Point = readonly [number, number, number];

/**
 * Whether fixed directions (3 × node + direction) stop all six movements of a rigid body: three displacements and three rotations.
 * Parts that do not hang together are held each for itself, which only the engine looks at.
 */
export function isHeld(fixed: readonly number[], place: (node: number) => Point): boolean {
  const origin = place(Math.floor((fixed[0] ?? 0) / 3));
  const from = (degree: number) => place(Math.floor(degree / 3)).map((value, axis) => value - (origin[axis] ?? 0));
  const size = fixed.reduce((most, degree) => Math.max(most, ...from(degree).map(Math.abs)), 0) || 1;
  const found: number[][] = [];
  for (const degree of fixed) {
    let rest = movements(
      degree % 3,
      from(degree).map((value) => value / size),
    );
    // Twice, because once leaves rounding behind.
    for (const one of [...found, ...found]) {
      const along = one.reduce((sum, value, at) => sum + value * (rest[at] ?? 0), 0);
      rest = rest.map((value, at) => value - along * (one[at] ?? 0));
    }
    const length = Math.hypot(...rest);
    if (length > 1e-6) found.push(rest.map((value) => value / length));
    if (found.length === 6) return true;
  }
  return false;
}

/** How a direction of a node moves with each of the six. */
function movements(direction: number, [x = 0, y = 0, z = 0]: readonly number[]): number[] {
  const rotations =
    [
      [0, z, -y],
      [-z, 0, x],
      [y, -x, 0],
    ][direction] ?? [];
  return [...[0, 1, 2].map((axis) => (axis === direction ? 1 : 0)), ...rotations];
}
