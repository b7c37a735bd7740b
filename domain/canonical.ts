/** JSON with sorted keys: a database's `jsonb` keeps them in an order of its own. Nothing for what is not there. */
export function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, inner) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
