/** A thread that renders tiles until a frame has none left, and turns a finished frame into a file. */
import { writeFile } from 'node:fs/promises';
import { parentPort, workerData } from 'node:worker_threads';
import { Board, TILE_COLUMNS, TILE_ROWS } from './board';
import type { Camera } from './camera';
import { Chance } from './chance';
import { channelOf, encodePng } from './picture';
import type { Scene } from './scene';
import { DAYLIGHT } from './sky';
import { Tracer } from './tracer';

export interface TraceOrder {
  readonly scene: Scene;
  readonly width: number;
  readonly height: number;
  readonly samplesPerPixel: number;
  readonly thread: number;
  /** {@link Board.memory} */
  readonly board: SharedArrayBuffer;
  /** Red, green, blue bytes of the current frame. */
  readonly picture: SharedArrayBuffer;
}

/** What the main thread asks; each is answered with one message when it is done. */
export type TraceRequest =
  | { readonly kind: 'frame'; readonly frame: number; readonly camera: Camera }
  | { readonly kind: 'file'; readonly path: string };

function work(order: TraceOrder): void {
  const tracer = new Tracer(order.scene, DAYLIGHT);
  const board = new Board(order.board);
  const picture = new Uint8Array(order.picture);
  const answer = async (request: TraceRequest): Promise<void> => {
    if (request.kind === 'frame') renderFrame(order, request, tracer, board, picture);
    else await writeFile(request.path, encodePng(picture, order.width, order.height));
    parentPort?.postMessage(request.kind);
  };
  // A rejection is not caught: it ends the thread, which the main thread reports as a failure of the platform.
  parentPort?.on('message', (request: TraceRequest) => void answer(request));
}

function renderFrame(
  order: TraceOrder,
  { frame, camera }: { readonly frame: number; readonly camera: Camera },
  tracer: Tracer,
  board: Board,
  picture: Uint8Array,
): void {
  const { width, height, samplesPerPixel, thread } = order;
  const columns = Math.ceil(width / TILE_COLUMNS);
  const tiles = columns * Math.ceil(height / TILE_ROWS);
  const chance = new Chance();
  const color = new Float64Array(3);
  for (let tile = board.takeTile(); tile < tiles; tile = board.takeTile()) {
    const left = (tile % columns) * TILE_COLUMNS;
    const top = Math.floor(tile / columns) * TILE_ROWS;
    for (let y = top; y < Math.min(height, top + TILE_ROWS); y++) {
      for (let x = left; x < Math.min(width, left + TILE_COLUMNS); x++) {
        if (board.isStopped) return;
        const raysBefore = tracer.rays;
        renderPixel({ x, y, frame, camera, width, height, samplesPerPixel }, tracer, chance, color);
        const at = (y * width + x) * 3;
        for (let channel = 0; channel < 3; channel++) picture[at + channel] = channelOf(color[channel] ?? 0);
        board.count(thread, { pixels: 1, rays: tracer.rays - raysBefore, samples: samplesPerPixel });
      }
    }
  }
}

interface Pixel {
  readonly x: number;
  readonly y: number;
  readonly frame: number;
  readonly camera: Camera;
  readonly width: number;
  readonly height: number;
  readonly samplesPerPixel: number;
}

function renderPixel(pixel: Pixel, tracer: Tracer, chance: Chance, color: Float64Array): void {
  const { camera, width, height, samplesPerPixel } = pixel;
  const { origin, right, up, forward, halfHeight, orthographic } = camera;
  const halfWidth = (halfHeight * width) / height;
  color.fill(0);
  for (let sample = 0; sample < samplesPerPixel; sample++) {
    chance.start(pixel.x, pixel.y, pixel.frame, sample);
    chance.next();
    const sx = ((pixel.x + 0.5 + tent(chance.u)) / width) * 2 - 1;
    const sy = 1 - ((pixel.y + 0.5 + tent(chance.v)) / height) * 2;
    const a = sx * halfWidth;
    const b = sy * halfHeight;
    const x = right[0] * a + up[0] * b;
    const y = right[1] * a + up[1] * b;
    const z = right[2] * a + up[2] * b;
    if (orthographic) {
      tracer.trace(origin[0] + x, origin[1] + y, origin[2] + z, forward[0], forward[1], forward[2], chance);
    } else {
      const length = Math.hypot(x + forward[0], y + forward[1], z + forward[2]);
      tracer.trace(
        origin[0],
        origin[1],
        origin[2],
        (x + forward[0]) / length,
        (y + forward[1]) / length,
        (z + forward[2]) / length,
        chance,
      );
    }
    for (let channel = 0; channel < 3; channel++) {
      // A ray along an edge of a degenerate triangle can end as not-a-number; it must not blacken the pixel.
      const found = tracer.radiance[channel] ?? 0;
      if (found < Infinity) color[channel] = (color[channel] ?? 0) + found / samplesPerPixel;
    }
  }
}

/** A tent filter of one pixel to each side: smooth edges without blur. */
function tent(u: number): number {
  return u < 0.5 ? Math.sqrt(2 * u) - 1 : 1 - Math.sqrt(2 - 2 * u);
}

work(workerData as TraceOrder);
