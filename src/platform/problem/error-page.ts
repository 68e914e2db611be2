import type { ErrorCatalogue } from './app-error.js';

/** The anchor of a code, as `type` of a problem uses it. */
export function errorAnchor(code: string): string {
  return code.toLowerCase().replaceAll('_', '-');
}

/** A plain page with every code; the texts are ours, so nothing needs escaping but the markup in `meaning`. */
export function renderErrorPage(catalogue: ErrorCatalogue): string {
  const entries = Object.entries(catalogue).sort(([a], [b]) => (a < b ? -1 : 1)).map(([code, { status, title, meaning }]) =>
    `<h2 id="${errorAnchor(code)}">${code}</h2><p><strong>${status}</strong> ${escapeHtml(title)}</p><p>${escapeHtml(meaning)}</p>`);
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Portcullis: error codes</title>`
    + `<style>body{font:16px/1.5 system-ui;max-width:46rem;margin:2rem auto;padding:0 1rem}h2{font-size:1rem}</style></head>`
    + `<body><h1>Error codes</h1>${entries.join('')}</body></html>`;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
