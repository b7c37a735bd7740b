/** What a map holds for a key, made and kept when it holds nothing yet. */
export function entryOf<V>(map: Map<string, V>, key: string, make: () => V): V {
  const existing = map.get(key);
  if (existing !== undefined) return existing;
  const made = make();
  map.set(key, made);
  return made;
}
