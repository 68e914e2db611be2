import { Param, type PipeTransform } from '@nestjs/common';
import { platformError } from '../problem/platform.errors.js';

const CANONICAL_UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Whether the text is a UUID in canonical lower case (RFC 9562 §4): ids are compared byte for byte. */
export function isCanonicalUuid(text: string): boolean {
  return CANONICAL_UUID.test(text);
}

const uuidPipe: PipeTransform<string, string> = {
  transform(value) {
    // An id that cannot exist is told apart from one that does not by nobody.
    if (!isCanonicalUuid(value)) throw platformError('NOT_FOUND');
    return value;
  },
};

/** A path parameter that is an id; anything that is no canonical UUID answers 404. */
export function IdParam(name = 'id'): ParameterDecorator {
  return Param(name, uuidPipe);
}
