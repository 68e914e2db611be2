/** The credential of a request, as far as its headers tell. */
export type Presented =
  | { readonly kind: 'none' }
  /** Two credentials that are not one and the same. */
  | { readonly kind: 'conflict' }
  /** An Authorization header that is neither Bearer nor Basic, or not well formed. */
  | { readonly kind: 'unreadable' }
  | { readonly kind: 'token'; readonly token: string; readonly by: 'bearer' | 'cookie' }
  /** A personal access token. */
  | { readonly kind: 'pat'; readonly token: string }
  | { readonly kind: 'basic'; readonly user: string; readonly password: string };

const BEARER = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i;
const PERSONAL = /^Bearer +(pat_[A-Za-z0-9_-]+)$/i;
const BASIC = /^Basic +([A-Za-z0-9+/]+={0,2})$/i;

/** Reads the Authorization header (RFC 9110 §11.6.2) and the access cookie; a request may bear one of them. */
export function presentedBy(authorization: string | undefined, cookie: string | undefined): Presented {
  if (authorization === undefined) return cookie === undefined ? { kind: 'none' } : { kind: 'token', token: cookie, by: 'cookie' };
  const token = BEARER.exec(authorization)?.[1];
  // A browser that sends the same token twice has written the header itself, which no other site can make it do.
  if (cookie !== undefined && cookie !== token) return { kind: 'conflict' };
  if (token !== undefined) return { kind: 'token', token, by: 'bearer' };
  const personal = PERSONAL.exec(authorization)?.[1];
  if (personal !== undefined) return { kind: 'pat', token: personal };
  return basic(BASIC.exec(authorization)?.[1]);
}

function basic(encoded: string | undefined): Presented {
  if (encoded === undefined) return { kind: 'unreadable' };
  const text = Buffer.from(encoded, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  if (colon < 0) return { kind: 'unreadable' };
  return { kind: 'basic', user: text.slice(0, colon), password: text.slice(colon + 1) };
}
