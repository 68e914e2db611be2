import { ValidationPipe, type ValidationError } from '@nestjs/common';
import type { FieldError } from '../problem/app-error.js';
import { platformError } from '../problem/platform.errors.js';

/** The global pipe: unknown fields are refused, nothing is coerced, and each complaint names its path. */
export function validationPipe(): ValidationPipe {
  return new ValidationPipe({
    transform: true,
    whitelist: true,
    forbidNonWhitelisted: true,
    stopAtFirstError: false,
    exceptionFactory: (errors) => platformError('VALIDATION_FAILED', { errors: flatten(errors) }),
  });
}

/** Nested complaints as one list with paths such as `rules.0.topic`. */
export function flatten(errors: readonly ValidationError[], prefix = ''): FieldError[] {
  return errors.flatMap((error) => {
    const path = prefix === '' ? error.property : `${prefix}.${error.property}`;
    const own = Object.values(error.constraints ?? {}).map((message) => ({ path, message }));
    return [...own, ...flatten(error.children ?? [], path)];
  });
}
