/**
 * The message alone, without what the server quotes of a command it does not know: the client hangs
 * the command with its arguments, keys and values among them, on its errors.
 */
export function describe(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown error';
  return error.message.replace(/, with args.*$/s, '').slice(0, 200);
}
