// The control panel: shows what there is, and speaks with the page that shows it, if one does.

import { watch } from './instance.js';
import { makePanel } from './panel.js';
import { Conversation } from './streams.js';

const place = document.getElementById('panel');
const show = makePanel(place);
const conversation = window.parent === window ? null : new Conversation(window.parent);
let isOver = false;

watch((seen) => {
  if (isOver) return;
  if (!seen.isSignedIn) {
    // What goes on is told no more; who loads the page again is asked to sign in.
    isOver = true;
    conversation?.end(seen.sessionEnd);
    place.replaceChildren(Object.assign(document.createElement('p'), { textContent: 'You are signed out of Amazon Connect.' }));
    const again = Object.assign(document.createElement('a'), { href: '/login', textContent: 'Sign in', target: '_blank' });
    if (conversation === null) place.append(again);
    return;
  }
  show(seen);
  conversation?.tell(seen);
});
