/** Meshes a geometry with gmsh, in the sandbox. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { InputFault } from '../protocol';
import type { Programs } from './programs';

/**
 * Meshes `geometry` with quadratic tetrahedra and gives the mesh as the text of a deck. The settings stand behind the
 * submitter's text, so that nothing in it can change them.
 *
 * @param onFraction gets how far gmsh says that it is.
 * @throws InputFault with what gmsh complains about.
 */
export async function meshGeometry(
  geometry: string,
  meshSize: number | undefined,
  programs: Programs,
  onFraction: (fraction: number) => void,
): Promise<string> {
  // gmsh 4.8 crashes on a text that does not end with a line's end.
  writeFileSync('work/geometry.geo', `${geometry}\n`);
  const settings = [
    'Merge "geometry.geo";',
    'Mesh.ElementOrder = 2;',
    'Mesh.SaveGroupsOfNodes = 1;',
    'Mesh.SaveAll = 0;',
    ...(meshSize === undefined ? [] : [`Mesh.MeshSizeMax = ${meshSize};`]),
  ];
  writeFileSync('work/mesh.geo', `${settings.join('\n')}\n`);
  const args = ['-3', '-format', 'inp', '-nt', '1', '-v', '5', '-o', 'mesh.inp', 'mesh.geo'];
  const { code, output } = await programs.run('gmsh', args, (line) => {
    const percent = /\[\s*(\d+)%\]\s+Meshing 3D/.exec(line)?.[1];
    if (percent !== undefined) onFraction(Number(percent) / 100);
  });
  const complaint = /Error\s*:\s*(.*)/.exec(output)?.[1]?.replace(/'(geometry|mesh)\.geo',?\s*/, '');
  if (complaint !== undefined || code !== 0 || !existsSync('work/mesh.inp')) {
    throw new InputFault(`gmsh could not mesh the geometry: ${complaint?.slice(0, 300) ?? 'it gave no reason'}`);
  }
  return readFileSync('work/mesh.inp', 'utf8');
}
