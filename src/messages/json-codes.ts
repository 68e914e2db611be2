/** Code units by which JSON (RFC 8259) is told apart. */
export const SPACE = 0x20;
export const QUOTE = 0x22;
export const PLUS = 0x2b;
export const COMMA = 0x2c;
export const MINUS = 0x2d;
export const POINT = 0x2e;
export const ZERO = 0x30;
export const NINE = 0x39;
export const COLON = 0x3a;
export const UPPER_E = 0x45;
export const LIST = 0x5b;
export const BACKSLASH = 0x5c;
export const LIST_END = 0x5d;
export const LOWER_E = 0x65;
export const OBJECT = 0x7b;
export const OBJECT_END = 0x7d;
export const FIRST_SURROGATE = 0xd800;
export const LAST_SURROGATE = 0xdfff;

export function isDigit(code: number): boolean {
  return code >= ZERO && code <= NINE;
}

/** Whether it may stand in a number. */
export function isNumberPart(code: number): boolean {
  return isDigit(code) || code === POINT || code === MINUS || code === LOWER_E || code === UPPER_E || code === PLUS;
}
