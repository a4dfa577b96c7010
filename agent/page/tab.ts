/** Tabs of the browser. */

/** Opens an address in a tab of its own, which has no way back to this page; null when the browser blocks it. */
export function openTab(url: string): Window | null {
  // Not `noopener`, with which nobody would know whether a tab was opened.
  const tab = window.open('about:blank', '_blank');
  if (tab !== null) {
    tab.opener = null;
    tab.location.replace(url);
  }
  return tab;
}
