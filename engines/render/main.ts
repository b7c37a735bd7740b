/**
 * The rendering engine: a glTF scene to PNG pictures by path tracing (see ../README.md for the protocol).
 *
 * The main thread only talks: it hears stdin and SIGTERM at any time, while other threads read the scene and render.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { Board, type Work } from './board';
import { automaticCamera, type Camera, faceOf, orbit, PANORAMA_FACES } from './camera';
import { InputFault } from './inputFault';
import type { LoadReport } from './loadWorker';
import { type RenderParameters, readParameters } from './parameters';
import { UNFINISHED } from './picture';
import type { Scene } from './scene';
import type { TraceOrder, TraceRequest } from './traceWorker';

const PROGRESS_INTERVAL_MS = 100;
/** Script memory of one thread; pictures and triangles are in shared memory besides. */
const HEAP_MEGABYTES_MAX = 2048;

class Stopped extends Error {}

async function main(): Promise<void> {
  const parameters = readParameters(readFileSync('parameters.json', 'utf8'));
  const board = Board.forThreads(parameters.threads);
  const stop = new AbortController();
  process.on('SIGTERM', () => {
    board.stop();
    stop.abort();
  });
  mkdirSync('out', { recursive: true });
  const pixelsTotal = parameters.width * parameters.height * picturesOf(parameters);
  const progress = (): void => {
    const counters = board.done();
    report({ type: 'progress', fraction: counters.pixels / pixelsTotal, counters });
  };
  progress();
  const timer = setInterval(progress, PROGRESS_INTERVAL_MS);

  const end = (line: object, code: number): Promise<never> => {
    clearInterval(timer);
    return endWith({ ...line, counters: board.done() }, code);
  };
  try {
    const scene = await loadScene(stop.signal);
    const camera = chooseCamera(scene, parameters);
    await renderFrames(scene, camera, parameters, board);
    progress();
    await end({ type: 'done' }, 0);
  } catch (error) {
    if (error instanceof Stopped) await end({ type: 'stopped' }, 0);
    if (error instanceof InputFault) await end({ type: 'failed', message: error.message }, 2);
    throw error;
  }
}

/** Reads the scene in a thread of its own; a stop does not wait for it. */
function loadScene(stop: AbortSignal): Promise<Scene> {
  return new Promise((resolve, reject) => {
    const onStop = (): void => reject(new Stopped());
    if (stop.aborted) onStop();
    stop.addEventListener('abort', onStop);
    const worker = new Worker(join(__dirname, 'loadWorker.js'), {
      workerData: 'input',
      resourceLimits: { maxOldGenerationSizeMb: HEAP_MEGABYTES_MAX },
    });
    worker.on('message', (loaded: LoadReport) => {
      if ('fault' in loaded) reject(new InputFault(loaded.fault));
      else resolve(loaded.scene);
    });
    worker.on('error', (error: NodeJS.ErrnoException) => {
      const isTooLarge = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      reject(isTooLarge ? new InputFault('The scene needs more memory than a rendering may use.') : error);
    });
  });
}

function chooseCamera(scene: Scene, { camera, width, height }: RenderParameters): Camera {
  const chosen = scene.cameras[camera ?? 0];
  if (chosen) return chosen;
  if (camera === undefined) return automaticCamera(scene.extent, width / height);
  const placed = scene.cameras.length === 1 ? '1 camera' : `${scene.cameras.length} cameras`;
  throw new InputFault(`There is no camera ${camera}: the scene has ${placed}, counted from 0.`);
}

async function renderFrames(scene: Scene, camera: Camera, parameters: RenderParameters, board: Board): Promise<void> {
  const { width, height, panorama, threads, samplesPerPixel } = parameters;
  const frames = picturesOf(parameters);
  const picture = new SharedArrayBuffer(width * height * 3);
  const workers = Array.from({ length: threads }, (_, thread) => {
    const order: TraceOrder = { scene, width, height, samplesPerPixel, thread, board: board.memory, picture };
    return new Worker(join(__dirname, 'traceWorker.js'), { workerData: order });
  });
  const secondsPerFrame: number[] = [];
  const statistics = (): void => {
    const done: Work = board.done();
    const facts = { width, height, frames, samplesPerPixel, triangles: scene.triangles.count, threads };
    writeFileSync('out/render.json', `${JSON.stringify({ ...facts, ...done, secondsPerFrame }, undefined, 2)}\n`);
    result('render.json', 'application/json');
  };

  for (let frame = 0; frame < frames; frame++) {
    const startedAt = performance.now();
    const pixelsBefore = board.done().pixels;
    new Uint8Array(picture).fill(UNFINISHED);
    board.reset();
    const turned = panorama ? faceOf(camera, frame) : orbit(camera, scene.extent, frame, frames);
    await Promise.all(workers.map((worker) => ask(worker, { kind: 'frame', frame, camera: turned })));
    const pixels = board.done().pixels - pixelsBefore;
    const isWhole = pixels === width * height;
    // A stop that came after the last pixel still keeps the frame whole.
    const name = isWhole ? nameOf(parameters, frame) : 'partial.png';
    const [first] = workers;
    if (pixels > 0 && first) {
      await ask(first, { kind: 'file', path: join('out', name) });
      result(name, 'image/png');
    }
    if (isWhole) secondsPerFrame.push(Math.round(performance.now() - startedAt) / 1000);
    if (board.isStopped && (!isWhole || frame + 1 < frames)) {
      statistics();
      throw new Stopped();
    }
  }
  statistics();
}

function picturesOf({ frames, panorama }: RenderParameters): number {
  return panorama ? PANORAMA_FACES : frames;
}

function nameOf({ frames, panorama }: RenderParameters, frame: number): string {
  if (panorama) return `face-${frame + 1}.png`;
  return frames === 1 ? 'image.png' : `frame-${String(frame + 1).padStart(4, '0')}.png`;
}

function ask(worker: Worker, request: TraceRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    const onEnd = (code: number): void => reject(new Error(`a rendering thread ended with code ${code}`));
    worker.once('error', reject);
    worker.once('exit', onEnd);
    worker.once('message', () => {
      worker.off('error', reject);
      worker.off('exit', onEnd);
      resolve();
    });
    worker.postMessage(request);
  });
}

function result(name: string, mediaType: string): void {
  report({ type: 'result', name, file: `out/${name}`, mediaType });
}

function report(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** The last report, then the end of the process and all its threads, once the report is out. */
function endWith(line: object, code: number): Promise<never> {
  return new Promise(() => {
    process.stdout.write(`${JSON.stringify(line)}\n`, () => process.exit(code));
  });
}

// Nobody watches any more: nothing that is still to be done has a reader.
process.stdin.on('end', () => process.exit(1));
process.stdin.on('error', () => process.exit(1));
process.stdin.resume();

main().catch((error: unknown) => {
  console.error(error);
  process.exit(1);
});
