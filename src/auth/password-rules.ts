import { isCommonPassword } from './common-passwords.js';

export const PASSWORD_MIN = 8;
export const PASSWORD_MAX = 128;

/**
 * What is wrong with a new password, as a sentence for its owner; `null` when nothing is (NIST SP 800-63B §3.1.1.2: length and a
 * list of what everybody uses, no composition rules). Characters are Unicode code points; nothing is normalised, folded or cut,
 * the password counts exactly as it was sent.
 */
export function passwordFault(password: string, owner: { email: string; name: string }): string | null {
  const length = [...password].length;
  if (length < PASSWORD_MIN) return `must have at least ${PASSWORD_MIN} characters`;
  if (length > PASSWORD_MAX) return `must have at most ${PASSWORD_MAX} characters`;
  if (password.includes('\0')) return 'must not hold NUL';
  // Half of a surrogate pair has no UTF-8 form: all of them would be hashed as one and the same character.
  if (/\p{Cs}/u.test(password)) return 'must be well-formed text';
  if (isCommonPassword(password) || isRun(password)) return 'is among the passwords that everybody uses';
  if (isOwnName(password, owner)) return 'must not be the e-mail address or the name it is for';
  return null;
}

/** One character over and over, or a walk along the alphabet or the digits, of any length. */
function isRun(password: string): boolean {
  const codes = [...password].map((character) => character.codePointAt(0) ?? 0);
  const steps = new Set(codes.slice(1).map((code, index) => code - (codes[index] ?? 0)));
  const [step] = steps;
  return steps.size === 1 && step !== undefined && Math.abs(step) <= 1;
}

function isOwnName(password: string, { email, name }: { email: string; name: string }): boolean {
  const own = [email, email.split('@', 1)[0] ?? '', name].map((text) => text.toLowerCase());
  return own.includes(password.toLowerCase());
}
