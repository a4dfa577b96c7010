/**
 * Which addresses may be opened. An address comes out of a contact attribute, which a flow, or whoever can set
 * attributes, may have written: only a page of a configured environment is ever opened.
 */

import type { Settings } from './settings.ts';

/** A page that may be opened. */
export interface Page {
  readonly url: string;
  readonly target: Target;
}

/** Beside the call controls, or in a tab of the browser. */
export type Target = 'embedded' | 'tab';

/** What a page of Dynamics shows. */
export type Shows = { readonly record: { readonly table: string; readonly id: string } } | { readonly search: string } | null;

/**
 * The page at an address, or why it may not be opened.
 *
 * The address must be whole and its origin one of the environments'; it may carry no user name.
 */
export function pageAt(text: string, target: string, settings: Settings): Page | { readonly refused: string } {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return { refused: 'it is no address' };
  }
  if (url.username !== '' || url.password !== '') {
    return { refused: 'it carries a user name' };
  }
  // Not the origin, which `blob:` has too.
  if (!settings.environments.includes(`${url.protocol}//${url.host}`)) {
    return { refused: `it is no page of ${settings.environments.join(' or ')}` };
  }
  return { url: url.href, target: target === 'tab' ? 'tab' : 'embedded' };
}

/** Dynamics' search for a number, an address or a name. */
export function searchFor(sought: string, settings: Settings): string {
  const url = new URL('main.aspx', `${settings.environments[0]}/`);
  if (settings.appId !== '') {
    url.searchParams.set('appid', settings.appId);
  }
  url.searchParams.set('pagetype', 'search');
  url.searchParams.set('searchText', sought);
  return url.href;
}

const GUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

/** What a page shows, as far as its address tells; null for any other page. */
export function shownBy(page: Page): Shows {
  const parameters = new URL(page.url).searchParams;
  const type = parameters.get('pagetype');
  const table = parameters.get('etn') ?? '';
  const id = (parameters.get('id') ?? '').replace(/^\{|\}$/g, '');
  if (type === 'entityrecord' && /^[a-z0-9_]+$/i.test(table) && GUID.test(id)) {
    return { record: { table, id } };
  }
  const sought = parameters.get('searchText');
  return type === 'search' && sought !== null ? { search: sought } : null;
}
