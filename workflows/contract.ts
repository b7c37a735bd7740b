import type { ContractInput } from './messages';
export async function contract(_input: ContractInput): Promise<void> {}
