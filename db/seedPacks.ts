/** The packs that a new installation starts with. */
import { parseCredits } from '../domain/credits';
import type { Pack } from './purchases';

export const SEED_PACKS: readonly Pack[] = [{ code: 'credits-100', title: '100 credits', amount: parseCredits('100') }];
