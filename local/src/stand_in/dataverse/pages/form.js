// A record's form: what is changed is saved by the button, and lost when the page goes.

const form = document.getElementById('record');
const fields = [...form.elements].filter((it) => it.name);
const kept = new Map(fields.map((it) => [it.name, it.value]));
const said = document.getElementById('said');
const unsaved = document.getElementById('unsaved');
const page = document.documentElement;

const changed = () => fields.filter((it) => it.value !== kept.get(it.name));

function guard(event) {
  event.preventDefault();
}

function look() {
  const isChanged = changed().length > 0;
  if (isChanged === (page.dataset.changed === 'true')) return;
  page.dataset.changed = String(isChanged);
  unsaved.textContent = isChanged ? 'Unsaved' : '';
  if (isChanged) window.addEventListener('beforeunload', guard);
  else window.removeEventListener('beforeunload', guard);
}

form.addEventListener('input', look);

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  said.textContent = '';
  const values = {};
  for (const { name, value, dataset } of changed()) {
    if (value === '') values[name] = null;
    else if (dataset.kind === 'number') values[name] = Number(value);
    else if (dataset.kind === 'boolean') values[name] = value === 'true';
    else values[name] = value;
  }
  const response = await fetch(document.body.dataset.saved, {
    method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(values),
  });
  if (response.ok) {
    for (const it of fields) kept.set(it.name, it.value);
    look();
    unsaved.textContent = 'Saved';
  } else {
    const text = await response.text();
    try {
      said.textContent = JSON.parse(text).error.message;
    } catch {
      said.textContent = text;
    }
  }
});

// The app has asked, and the user wants to lose the changes.
window.addEventListener('discard', () => window.removeEventListener('beforeunload', guard));

/** The app that the form is shown in, if it is. */
function app() {
  try {
    return window.parent !== window && window.parent.location.pathname.startsWith('/apps/') ? window.parent : null;
  } catch {
    return null;
  }
}

for (const link of document.querySelectorAll('.dial-link')) {
  link.addEventListener('click', (event) => {
    const above = app();
    if (!above) return;
    event.preventDefault();
    const { name, value } = link.dataset;
    const { etn, id } = document.body.dataset;
    above.postMessage({ form: 'act', data: { value, name, format: 'phone', entityLogicalName: etn, entityId: id } }, location.origin);
  });
}
