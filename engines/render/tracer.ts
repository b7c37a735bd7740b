/**
 * The light along one ray: a path tracer with the metallic-roughness surface of glTF, up to four bounces, and at each
 * of them one shadow ray to the sun and one to a glowing triangle.
 *
 * Light that glows from the scene is counted once: rough surfaces get it from the shadow ray, and so does the diffuse
 * part of smooth ones; their shiny part gets it from the ray that it reflects. The sun is so small that only its shadow rays find it.
 */
import type { Chance } from './chance';
import { RayCaster } from './hierarchy';
import type { Scene, SceneMaterial } from './scene';
import { type Sky, skyRadiance } from './sky';

const BOUNCES_MAX = 4;
/** Transparent surfaces one ray may pass. */
const PASSAGES_MAX = 16;
/** The most one bounce after the first may add. Rare bright paths would be single white pixels otherwise. */
const BOUNCE_RADIANCE_MAX = 4;

export class Tracer {
  /** Rays cast so far, shadow rays included. */
  rays = 0;
  /** The radiance found by {@link Tracer.trace}: red, green, blue. */
  readonly radiance = new Float64Array(3);

  private readonly throughput = new Float64Array(3);
  private readonly skyLight = new Float64Array(3);
  private readonly ray: RayCaster;
  private readonly shadowRay: RayCaster;
  private readonly hasTransparency: boolean;
  private readonly lamps: Lamps;
  private readonly epsilon: number;

  // The surface at the last hit: position, geometric and shading normal, and its colours.
  private readonly point = new Float64Array(3);
  private readonly facing = new Float64Array(3);
  private readonly normal = new Float64Array(3);
  private readonly diffuse = new Float64Array(3);
  private readonly mirror = new Float64Array(3);
  // A direction from the surface and the reflected share of light, as the functions below leave them.
  private readonly direction = new Float64Array(3);
  private readonly reflected = new Float64Array(3);

  constructor(
    private readonly scene: Scene,
    private readonly sky: Sky,
  ) {
    this.ray = new RayCaster(scene.hierarchy, scene.triangles);
    this.shadowRay = new RayCaster(scene.hierarchy, scene.triangles);
    this.hasTransparency = scene.materials.some(({ alpha }) => alpha < 1);
    this.lamps = lampsOf(scene);
    const { centre, radius } = scene.extent;
    this.epsilon = 1e-5 * radius + 1e-6 * Math.max(Math.abs(centre[0]), Math.abs(centre[1]), Math.abs(centre[2]));
  }

  /** Follows the ray from `o` in the unit direction `d`; the answer is in {@link Tracer.radiance}. */
  trace(ox: number, oy: number, oz: number, dx: number, dy: number, dz: number, chance: Chance): void {
    const { radiance, throughput, ray } = this;
    radiance.fill(0);
    throughput.fill(1);
    start(ray, ox, oy, oz, dx, dy, dz);
    let seesLamps = true;
    let passages = 0;
    for (let bounce = 0; ; ) {
      this.rays++;
      if (!ray.cast(Infinity)) {
        skyRadiance(this.sky, ray.dx, ray.dy, ray.dz, this.skyLight);
        this.gain(this.skyLight, bounce);
        return;
      }
      const material = this.materialOf(ray.triangle);
      if (material.alpha < 1 && passages++ < PASSAGES_MAX) {
        chance.next();
        if (chance.u >= material.alpha) {
          this.passThrough(ray);
          continue;
        }
      }
      this.arrive(material);
      if (seesLamps) this.gain(material.emissive, bounce);
      if (bounce === BOUNCES_MAX) return;

      this.lightFromSun(material, bounce, seesLamps ? 0.02 : 0.3, chance);
      this.lightFromLamps(material, bounce, chance);
      const lobe = this.scatter(material, chance);
      if (lobe === 'absorbed') return;
      seesLamps = lobe === 'mirror' && isSharp(material);
      let strength = 0;
      for (let channel = 0; channel < 3; channel++) {
        const left = (throughput[channel] ?? 0) * (this.reflected[channel] ?? 0);
        throughput[channel] = left;
        if (left > strength) strength = left;
      }
      if (bounce >= 1 && strength < 0.25) {
        // Ends dim paths by chance and makes the others stronger in return, which keeps the mean.
        chance.next();
        if (chance.u >= strength * 4) return;
        for (let channel = 0; channel < 3; channel++) throughput[channel] = (throughput[channel] ?? 0) / (strength * 4);
      }
      this.leave(ray);
      bounce++;
    }
  }

  private materialOf(triangle: number): SceneMaterial {
    const material = this.scene.materials[this.scene.triangles.materials[triangle] ?? -1];
    if (!material) throw new Error(`triangle ${triangle} has no material`);
    return material;
  }

  private gain(light: ArrayLike<number>, bounce: number): void {
    for (let channel = 0; channel < 3; channel++) {
      const found = (this.throughput[channel] ?? 0) * (light[channel] ?? 0);
      const kept = bounce === 0 ? found : Math.min(found, BOUNCE_RADIANCE_MAX);
      this.radiance[channel] = (this.radiance[channel] ?? 0) + kept;
    }
  }

  /** Moves a ray past the surface it hit. */
  private passThrough(ray: RayCaster): number {
    const { dx, dy, dz, distance } = ray;
    const step = this.stepAt(ray.ox + dx * distance, ray.oy + dy * distance, ray.oz + dz * distance);
    const moved = distance + step;
    start(ray, ray.ox + dx * moved, ray.oy + dy * moved, ray.oz + dz * moved, dx, dy, dz);
    return moved;
  }

  /** How far to move off a surface so that a ray does not find it again. */
  private stepAt(x: number, y: number, z: number): number {
    return Math.max(this.epsilon, 1e-6 * Math.max(Math.abs(x), Math.abs(y), Math.abs(z)));
  }

  /** Notes the surface at a hit: normals towards the viewer, colours, the two parts of reflection. */
  private arrive(material: SceneMaterial): void {
    const { point, facing, normal, diffuse, mirror } = this;
    const { positions: p, normals: n, colors } = this.scene.triangles;
    const { dx, dy, dz, distance, triangle, b1, b2 } = this.ray;
    const b0 = 1 - b1 - b2;
    point[0] = this.ray.ox + dx * distance;
    point[1] = this.ray.oy + dy * distance;
    point[2] = this.ray.oz + dz * distance;
    const at = triangle * 9;
    const ax = p[at] as number;
    const ay = p[at + 1] as number;
    const az = p[at + 2] as number;
    const e1x = (p[at + 3] as number) - ax;
    const e1y = (p[at + 4] as number) - ay;
    const e1z = (p[at + 5] as number) - az;
    const e2x = (p[at + 6] as number) - ax;
    const e2y = (p[at + 7] as number) - ay;
    const e2z = (p[at + 8] as number) - az;
    let gx = e1y * e2z - e1z * e2y;
    let gy = e1z * e2x - e1x * e2z;
    let gz = e1x * e2y - e1y * e2x;
    const towards = gx * dx + gy * dy + gz * dz > 0 ? -1 : 1;
    const length = Math.sqrt(gx * gx + gy * gy + gz * gz) * towards;
    gx /= length;
    gy /= length;
    gz /= length;
    facing[0] = gx;
    facing[1] = gy;
    facing[2] = gz;

    let nx = b0 * (n[at] as number) + b1 * (n[at + 3] as number) + b2 * (n[at + 6] as number);
    let ny = b0 * (n[at + 1] as number) + b1 * (n[at + 4] as number) + b2 * (n[at + 7] as number);
    let nz = b0 * (n[at + 2] as number) + b1 * (n[at + 5] as number) + b2 * (n[at + 8] as number);
    const size = Math.sqrt(nx * nx + ny * ny + nz * nz);
    const side = nx * gx + ny * gy + nz * gz < 0 ? -1 : 1;
    nx *= side / size;
    ny *= side / size;
    nz *= side / size;
    // Near silhouettes an interpolated normal may look away from the viewer, where no reflection is defined.
    const usable = size > 1e-6 && -(nx * dx + ny * dy + nz * dz) > 1e-3;
    normal[0] = usable ? nx : gx;
    normal[1] = usable ? ny : gy;
    normal[2] = usable ? nz : gz;

    for (let channel = 0; channel < 3; channel++) {
      let base = material.baseColor[channel] as number;
      if (colors) {
        const c0 = colors[at + channel] as number;
        const c1 = colors[at + 3 + channel] as number;
        const c2 = colors[at + 6 + channel] as number;
        base *= Math.min(1, Math.max(0, (b0 * c0 + b1 * c1 + b2 * c2) / 255));
      }
      diffuse[channel] = base * (1 - material.metallic);
      mirror[channel] = 0.04 + (base - 0.04) * material.metallic;
    }
  }

  private cosineOfView(): number {
    const { dx, dy, dz } = this.ray;
    const { normal } = this;
    return Math.max(1e-3, -((normal[0] as number) * dx + (normal[1] as number) * dy + (normal[2] as number) * dz));
  }

  /** The share of light that the shiny part takes before the diffuse part sees it. Rough edges shine less. */
  private shineOf(channel: number, roughness: number, cosine: number): number {
    const straight = this.mirror[channel] as number;
    return straight + (Math.max(1 - roughness, straight) - straight) * (1 - cosine) ** 5;
  }

  private lightFromSun(material: SceneMaterial, bounce: number, alphaMin: number, chance: Chance): void {
    const { sunDirection, sunIrradiance, sunCosine } = this.sky;
    chance.next();
    if (sunIrradiance[0] + sunIrradiance[1] + sunIrradiance[2] === 0) return;
    const { direction, normal } = this;
    const cosine = 1 - chance.u * (1 - sunCosine);
    const sine = Math.sqrt(Math.max(0, 1 - cosine * cosine));
    const angle = 2 * Math.PI * chance.v;
    fromLocal(sunDirection, sine * Math.cos(angle), sine * Math.sin(angle), cosine, direction);
    if (dot(normal, direction) <= 0 || dot(this.facing, direction) <= 0) return;
    // The sun's image in a very smooth surface would be a few hot pixels, and one that lights a matte surface from
    // there would be found so rarely that it shows as noise; both are softened.
    this.reflectTowards(material, Math.max(material.roughness * material.roughness, alphaMin));
    this.receive(sunIrradiance, 1, Infinity, bounce);
  }

  private lightFromLamps(material: SceneMaterial, bounce: number, chance: Chance): void {
    const { lamps, direction, point } = this;
    if (lamps.power === 0) return;
    chance.next();
    const lamp = lamps.triangles[lowerBound(lamps.powers, chance.u * lamps.power)] as number;
    chance.next();
    const root = Math.sqrt(chance.u);
    const b1 = root * (1 - chance.v);
    const b2 = root * chance.v;
    const p = this.scene.triangles.positions;
    const at = lamp * 9;
    let square = 0;
    for (let axis = 0; axis < 3; axis++) {
      const a = p[at + axis] as number;
      const b = p[at + 3 + axis] as number;
      const c = p[at + 6 + axis] as number;
      const offset = a + (b - a) * b1 + (c - a) * b2 - (point[axis] as number);
      direction[axis] = offset;
      square += offset * offset;
    }
    const distance = Math.sqrt(square);
    for (let axis = 0; axis < 3; axis++) direction[axis] = (direction[axis] as number) / distance;
    if (!(dot(this.normal, direction) > 0 && dot(this.facing, direction) > 0)) return;
    const lampCosine = Math.abs(dot(triangleNormal(p, at), direction));
    const { emissive } = this.materialOf(lamp);
    // Triangles are chosen by power = area x brightness, so the area cancels and the brightness stays.
    const share = (lampCosine * lamps.power) / (brightness(emissive) * square);
    this.reflectTowards(material, isSharp(material) ? 0 : material.roughness * material.roughness);
    const gap = 2 * this.stepAt(point[0] as number, point[1] as number, point[2] as number);
    this.receive(emissive, share, distance - gap, bounce);
  }

  /**
   * How much of the light from {@link Tracer.direction} goes to the viewer, its slant included, by the diffuse part and
   * by a shiny part of the given GGX width; without a width by the diffuse part alone.
   */
  private reflectTowards(material: SceneMaterial, alpha: number): void {
    const { direction, normal } = this;
    const { dx, dy, dz } = this.ray;
    const cosineOfLight = dot(normal, direction);
    const cosineOfView = this.cosineOfView();
    const hx = (direction[0] as number) - dx;
    const hy = (direction[1] as number) - dy;
    const hz = (direction[2] as number) - dz;
    const size = Math.sqrt(hx * hx + hy * hy + hz * hz);
    const nh = ((normal[0] as number) * hx + (normal[1] as number) * hy + (normal[2] as number) * hz) / size;
    const vh = -(dx * hx + dy * hy + dz * hz) / size;
    let shine = 0;
    if (alpha > 0) {
      const base = nh * nh * (alpha * alpha - 1) + 1;
      const density = (alpha * alpha) / (Math.PI * base * base);
      const masking = 1 / (1 + lambda(alpha, cosineOfView) + lambda(alpha, cosineOfLight));
      shine = (density * masking) / (4 * cosineOfView * cosineOfLight);
    }
    for (let channel = 0; channel < 3; channel++) {
      const straight = this.mirror[channel] as number;
      const fresnel = straight + (1 - straight) * (1 - vh) ** 5;
      const left = 1 - this.shineOf(channel, material.roughness, cosineOfView);
      this.reflected[channel] =
        (((this.diffuse[channel] as number) * left) / Math.PI + fresnel * shine) * cosineOfLight;
    }
  }

  /** Gains light that comes along {@link Tracer.direction} from as far as `distance`, where nothing is in its way. */
  private receive(light: ArrayLike<number>, share: number, distance: number, bounce: number): void {
    const open = this.openness(distance) * share;
    if (open === 0) return;
    for (let channel = 0; channel < 3; channel++) {
      this.reflected[channel] = (this.reflected[channel] as number) * (light[channel] as number) * open;
    }
    this.gain(this.reflected, bounce);
  }

  /** How much light comes to the surface along {@link Tracer.direction} from as far as `distance`. */
  private openness(distance: number): number {
    const { shadowRay } = this;
    this.leave(shadowRay);
    if (!this.hasTransparency) {
      this.rays++;
      return shadowRay.isBlocked(distance) ? 0 : 1;
    }
    let share = 1;
    let left = distance;
    for (let passages = 0; passages <= PASSAGES_MAX; passages++) {
      this.rays++;
      if (!shadowRay.cast(left)) return share;
      const { alpha } = this.materialOf(shadowRay.triangle);
      if (alpha === 1) return 0;
      share *= 1 - alpha;
      left -= this.passThrough(shadowRay);
    }
    return 0;
  }

  /** Chooses where the path goes on: by the shiny or the diffuse part, in proportion to what they reflect. */
  private scatter(material: SceneMaterial, chance: Chance): 'mirror' | 'diffuse' | 'absorbed' {
    const { direction, normal, reflected } = this;
    const cosineOfView = this.cosineOfView();
    let shine = 0;
    let matte = 0;
    for (let channel = 0; channel < 3; channel++) {
      const share = this.shineOf(channel, material.roughness, cosineOfView);
      shine += share;
      matte += (this.diffuse[channel] as number) * (1 - share);
    }
    if (shine + matte === 0) return 'absorbed';
    const shinyShare = matte === 0 ? 1 : Math.min(0.9, Math.max(0.1, shine / (shine + matte)));
    chance.next();
    const goesShiny = chance.u < shinyShare;
    chance.next();
    const angle = 2 * Math.PI * chance.u;
    if (!goesShiny) {
      const sine = Math.sqrt(chance.v);
      fromLocal(normal, sine * Math.cos(angle), sine * Math.sin(angle), Math.sqrt(1 - chance.v), direction);
      for (let channel = 0; channel < 3; channel++) {
        const share = this.shineOf(channel, material.roughness, cosineOfView);
        reflected[channel] = ((this.diffuse[channel] as number) * (1 - share)) / (1 - shinyShare);
      }
    } else {
      const alpha = Math.max(material.roughness * material.roughness, 1e-3);
      const cosineOfLight = this.reflectAtFacet(alpha, angle, chance.v);
      if (cosineOfLight <= 0) return 'absorbed';
      const lambdaOfView = lambda(alpha, cosineOfView);
      const masking = (1 + lambdaOfView) / (1 + lambdaOfView + lambda(alpha, cosineOfLight));
      for (let channel = 0; channel < 3; channel++) {
        reflected[channel] = ((reflected[channel] as number) * masking) / shinyShare;
      }
    }
    if (dot(this.facing, direction) <= 0) return 'absorbed';
    return goesShiny ? 'mirror' : 'diffuse';
  }

  /**
   * Reflects the view at a facet chosen among those the viewer sees (GGX; Dupuy and Benyoub 2023). Leaves the
   * direction and the facet's Fresnel reflectance; returns the cosine of the new direction.
   */
  private reflectAtFacet(alpha: number, angle: number, v: number): number {
    const { normal, direction, reflected } = this;
    const { dx, dy, dz } = this.ray;
    const frame = frameOf(normal);
    const vx = -(frame[0] * dx + frame[1] * dy + frame[2] * dz);
    const vy = -(frame[3] * dx + frame[4] * dy + frame[5] * dz);
    const vz = this.cosineOfView();
    let sx = vx * alpha;
    let sy = vy * alpha;
    let sz = vz;
    let size = Math.sqrt(sx * sx + sy * sy + sz * sz);
    sx /= size;
    sy /= size;
    sz /= size;
    const capZ = (1 - v) * (1 + sz) - sz;
    const sine = Math.sqrt(Math.max(0, 1 - capZ * capZ));
    let hx = (sine * Math.cos(angle) + sx) * alpha;
    let hy = (sine * Math.sin(angle) + sy) * alpha;
    let hz = Math.max(1e-9, capZ + sz);
    size = Math.sqrt(hx * hx + hy * hy + hz * hz);
    hx /= size;
    hy /= size;
    hz /= size;
    const vh = Math.max(0, vx * hx + vy * hy + vz * hz);
    const lx = 2 * vh * hx - vx;
    const ly = 2 * vh * hy - vy;
    const lz = 2 * vh * hz - vz;
    fromLocal(normal, lx, ly, lz, direction);
    for (let channel = 0; channel < 3; channel++) {
      const straight = this.mirror[channel] as number;
      reflected[channel] = straight + (1 - straight) * (1 - vh) ** 5;
    }
    return lz;
  }

  /** Starts a ray at the surface, just off it, along {@link Tracer.direction}. */
  private leave(ray: RayCaster): void {
    const { point, facing, direction } = this;
    const x = point[0] as number;
    const y = point[1] as number;
    const z = point[2] as number;
    const step = this.stepAt(x, y, z);
    start(
      ray,
      x + (facing[0] as number) * step,
      y + (facing[1] as number) * step,
      z + (facing[2] as number) * step,
      direction[0] as number,
      direction[1] as number,
      direction[2] as number,
    );
  }
}

function start(ray: RayCaster, ox: number, oy: number, oz: number, dx: number, dy: number, dz: number): void {
  ray.ox = ox;
  ray.oy = oy;
  ray.oz = oz;
  ray.dx = dx;
  ray.dy = dy;
  ray.dz = dz;
}

/** Whether a surface is smooth enough to show lamps as images, which only the reflected ray finds well. */
function isSharp({ roughness }: SceneMaterial): boolean {
  return roughness < 0.3;
}

/** Smith's masking term of the GGX distribution. */
function lambda(alpha: number, cosine: number): number {
  const tangentSquare = 1 / (cosine * cosine) - 1;
  return (Math.sqrt(1 + alpha * alpha * tangentSquare) - 1) / 2;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return (
    (a[0] as number) * (b[0] as number) + (a[1] as number) * (b[1] as number) + (a[2] as number) * (b[2] as number)
  );
}

const frame: [number, number, number, number, number, number] = [0, 0, 0, 0, 0, 0];

/** Two directions at right angles to a unit vector and to each other (Duff et al. 2017), in one reused tuple. */
function frameOf(normal: ArrayLike<number>): readonly [number, number, number, number, number, number] {
  const [x, y, z] = [normal[0] as number, normal[1] as number, normal[2] as number];
  const sign = z >= 0 ? 1 : -1;
  const a = -1 / (sign + z);
  const b = x * y * a;
  frame[0] = 1 + sign * x * x * a;
  frame[1] = sign * b;
  frame[2] = -sign * x;
  frame[3] = b;
  frame[4] = sign + y * y * a;
  frame[5] = -y;
  return frame;
}

function fromLocal(normal: ArrayLike<number>, x: number, y: number, z: number, out: Float64Array): void {
  const f = frameOf(normal);
  out[0] = f[0] * x + f[3] * y + (normal[0] as number) * z;
  out[1] = f[1] * x + f[4] * y + (normal[1] as number) * z;
  out[2] = f[2] * x + f[5] * y + (normal[2] as number) * z;
}

/** The triangles that glow, each with the power of itself and all before it. */
interface Lamps {
  readonly triangles: Uint32Array;
  readonly powers: Float64Array;
  readonly power: number;
}

function lampsOf({ triangles, materials }: Scene): Lamps {
  const glowing: number[] = [];
  const powers: number[] = [];
  let power = 0;
  for (let triangle = 0; triangle < triangles.count; triangle++) {
    const material = materials[triangles.materials[triangle] as number];
    if (!material || material.alpha === 0 || brightness(material.emissive) === 0) continue;
    const area = triangleArea(triangles.positions, triangle * 9);
    if (!(area > 0)) continue;
    power += area * brightness(material.emissive);
    glowing.push(triangle);
    powers.push(power);
  }
  return { triangles: Uint32Array.from(glowing), powers: Float64Array.from(powers), power };
}

function brightness(color: ArrayLike<number>): number {
  return (color[0] as number) + (color[1] as number) + (color[2] as number);
}

const triangleNormalOut = new Float64Array(3);

function triangleNormal(p: Float32Array, at: number): Float64Array {
  const [ux, uy, uz] = edge(p, at, 3);
  const [vx, vy, vz] = edge(p, at, 6);
  const [x, y, z] = [uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx];
  const size = Math.sqrt(x * x + y * y + z * z);
  triangleNormalOut[0] = x / size;
  triangleNormalOut[1] = y / size;
  triangleNormalOut[2] = z / size;
  return triangleNormalOut;
}

function triangleArea(p: Float32Array, at: number): number {
  const [ux, uy, uz] = edge(p, at, 3);
  const [vx, vy, vz] = edge(p, at, 6);
  return Math.sqrt((uy * vz - uz * vy) ** 2 + (uz * vx - ux * vz) ** 2 + (ux * vy - uy * vx) ** 2) / 2;
}

function edge(p: Float32Array, at: number, corner: number): readonly [number, number, number] {
  return [
    (p[at + corner] as number) - (p[at] as number),
    (p[at + corner + 1] as number) - (p[at + 1] as number),
    (p[at + corner + 2] as number) - (p[at + 2] as number),
  ];
}

/** The first place whose number is above the value. */
function lowerBound(sorted: Float64Array, value: number): number {
  let low = 0;
  let high = sorted.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as number) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}
