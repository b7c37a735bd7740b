/** Cameras: where rays start. A camera is plain numbers, so that it crosses to the worker threads as it is. */

export type Vector = readonly [number, number, number];

export interface Camera {
  readonly origin: Vector;
  /** Unit vectors. */
  readonly right: Vector;
  readonly up: Vector;
  readonly forward: Vector;
  /** Half of the picture's height: at distance 1 for a perspective camera, in the scene for an orthographic one. */
  readonly halfHeight: number;
  /** Half of the picture's width, when the camera fixes it; otherwise it follows from the picture's shape. */
  readonly halfWidth?: number;
  readonly orthographic: boolean;
}

/** The ball around a scene. */
export interface Extent {
  readonly centre: Vector;
  readonly radius: number;
}

/** A camera that sees the whole extent, from the front, the right and above. */
export function automaticCamera(extent: Extent, aspect: number): Camera {
  const halfHeight = Math.tan((40 / 2) * (Math.PI / 180));
  const halfAngle = Math.atan(halfHeight * Math.min(1, aspect));
  const distance = (extent.radius / Math.sin(halfAngle)) * 1.02;
  const direction = normalize([0.55, 0.42, 1]);
  const origin = add(extent.centre, scale(direction, distance));
  const forward = scale(direction, -1);
  const right = normalize(cross(forward, [0, 1, 0]));
  return { origin, right, up: cross(right, forward), forward, halfHeight, orthographic: false };
}

/** The camera of one frame: turned about the vertical axis through the scene's centre, once round in all frames. */
export function orbit(camera: Camera, extent: Extent, frame: number, frames: number): Camera {
  if (frame === 0) return camera;
  const angle = (2 * Math.PI * frame) / frames;
  const cos = Math.cos(angle);
  const sin = Math.sin(angle);
  const turn = ([x, y, z]: Vector): Vector => [x * cos + z * sin, y, z * cos - x * sin];
  return {
    ...camera,
    origin: add(extent.centre, turn(add(camera.origin, scale(extent.centre, -1)))),
    right: turn(camera.right),
    up: turn(camera.up),
    forward: turn(camera.forward),
  };
}

/** Which ways a face of a panorama looks, seen from the front face. */
const FACES = ['right', 'left', 'up', 'down', 'front', 'back'] as const;

export const PANORAMA_FACES = FACES.length;

/**
 * The camera of one face of a panorama, 90° wide and high: right, left, up, down, front, back. The front is where the
 * camera looks, levelled; of one that looks straight up or down it is where its upper edge points.
 */
export function faceOf(camera: Camera, face: number): Camera {
  const [x, , z] = camera.forward;
  const level = Math.hypot(x, z) > 1e-6 ? camera.forward : camera.up;
  const front = normalize([level[0], 0, level[2]]);
  const up: Vector = [0, 1, 0];
  const right = cross(front, up);
  const ways = {
    right: { forward: right, right: scale(front, -1), up },
    left: { forward: scale(right, -1), right: front, up },
    up: { forward: up, right, up: scale(front, -1) },
    down: { forward: scale(up, -1), right, up: front },
    front: { forward: front, right, up },
    back: { forward: scale(front, -1), right: scale(right, -1), up },
  };
  return { origin: camera.origin, ...ways[FACES[face] ?? 'front'], halfHeight: 1, orthographic: false };
}

export function add(a: Vector, b: Vector): Vector {
  return [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
}

export function scale(a: Vector, factor: number): Vector {
  return [a[0] * factor, a[1] * factor, a[2] * factor];
}

export function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

export function normalize(a: Vector): Vector {
  return scale(a, 1 / Math.hypot(a[0], a[1], a[2]));
}
