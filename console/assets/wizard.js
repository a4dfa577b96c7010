// ---- The wizard's form: what was filled in goes with every step through its pages. ----

const wizard = document.getElementById("wizard");

if (wizard?.matches("[data-dirty]")) {
  // A page that comes back because it could not be saved holds what is saved nowhere.
  let isDirty = wizard.dataset.dirty === "now";
  document.querySelector("[data-focus]")?.focus();
  const touch = () => { isDirty = true; };
  wizard.addEventListener("input", touch);
  wizard.addEventListener("touched", touch);
  wizard.addEventListener("submit", () => { isDirty = false; });
  // Enter in a line would save the page and leave it.
  wizard.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("input:not([type=submit])")) event.preventDefault();
  });
  window.addEventListener("beforeunload", (event) => {
    if (isDirty) event.preventDefault();
  });
  // The steps at the side save the form on the way.
  for (const link of document.querySelectorAll("[data-go]")) {
    link.addEventListener("click", (event) => {
      if (!isDirty || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      const go = wizard.querySelector("input[name=go]") ?? document.createElement("input");
      go.type = "hidden";
      go.name = "go";
      go.value = link.dataset.go;
      wizard.append(go);
      isDirty = false;
      wizard.requestSubmit();
    });
  }
}

// ---- Requests and lines of their bodies: added, moved and removed. ----

let newest = 1000;

// Slots follow the places in the page: what is said of a field is said by its slot.
function renumber() {
  if (!wizard) return;
  const requests = wizard.querySelectorAll("[data-requests] > .request");
  requests.forEach((request, index) => {
    for (const part of request.querySelectorAll("[data-slot], [data-says]")) {
      for (const kind of ["slot", "says"]) {
        const slot = part.dataset[kind];
        if (slot) part.dataset[kind] = slot.replace(/^r[^.]*\./, `r${index}.`);
      }
    }
    for (const editor of request.querySelectorAll("[data-body]")) numberRows(editor, `r${index}`);
    request.querySelector('[data-move="up"]').disabled = index === 0;
    request.querySelector('[data-move="down"]').disabled = index === requests.length - 1;
  });
  for (const editor of wizard.querySelectorAll('[data-body="customer.new"]')) numberRows(editor, "customer.new");
}

function numberRows(editor, prefix) {
  editor.querySelectorAll("[data-rows] > [data-row]").forEach((row, index) => {
    row.dataset.slot = `${prefix}.row${index}`;
    const says = row.querySelector("[data-says]");
    const comes = row.querySelector("[data-comes]");
    says.dataset.says = row.dataset.slot;
    says.id = `says-${prefix}-${index}`.replaceAll(".", "-");
    comes.id = `comes-${prefix}-${index}`.replaceAll(".", "-");
    const [column, value] = row.querySelectorAll("input, textarea");
    for (const input of [column, value]) input.setAttribute("aria-describedby", `${comes.id} ${says.id}`);
    const name = column.value.trim();
    value.setAttribute("aria-label", name ? `Value of ${name}` : "Value");
    row.querySelector("select").setAttribute("aria-label", name ? `Form of ${name}` : "Form");
    row.querySelector("[data-remove-row]").setAttribute("aria-label", name ? `Remove ${name}` : "Remove this field");
  });
}

function touched() {
  renumber();
  wizard.dispatchEvent(new Event("touched"));
}

function addRow(editor, name = "", value = "", isJson = false) {
  const row = editor.querySelector("[data-new-row]").content.firstElementChild.cloneNode(true);
  const [column, text] = row.querySelectorAll("input, textarea");
  column.value = name;
  text.value = value;
  row.querySelector("select").value = isJson ? "json" : "text";
  editor.querySelector("[data-rows]").append(row);
  return column;
}

function showMode(editor, mode) {
  for (const part of editor.querySelectorAll("[data-mode]")) part.hidden = part.dataset.mode !== mode;
  editor.querySelector('[data-mode="text"] input[type="hidden"]').disabled = mode !== "text";
}

wizard?.addEventListener("change", (event) => {
  if (event.target.matches("[data-column]")) renumber();
});

wizard?.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  const editor = button.closest("[data-body]");
  const request = button.closest(".request");
  if (button.matches("[data-add-row]")) {
    addRow(editor).focus();
  } else if (button.matches("[data-remove-row]")) {
    const row = button.closest("[data-row]");
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    (next?.querySelector("input") ?? editor.querySelector("[data-add-row]")).focus();
  } else if (button.matches("[data-as-text]")) {
    // JSON stays as it was typed: a long number would lose digits on its way through JavaScript.
    const lines = [];
    const columns = new Set();
    for (const row of editor.querySelectorAll("[data-rows] > [data-row]")) {
      const [column, text] = row.querySelectorAll("input, textarea");
      const name = column.value.trim();
      if (!name && !text.value.trim()) continue;
      let isJson = row.querySelector("select").value === "json";
      try { if (isJson) JSON.parse(text.value); } catch { isJson = false; }
      if (!name || columns.has(name)) {
        column.focus();
        return;
      }
      columns.add(name);
      lines.push(`  ${JSON.stringify(name)}: ${isJson ? text.value.trim() : JSON.stringify(text.value)}`);
    }
    const area = editor.querySelector('[data-mode="text"] textarea');
    area.value = lines.length ? `{\n${lines.join(",\n")}\n}` : "{}";
    showMode(editor, "text");
    area.focus();
  } else if (button.matches("[data-as-rows]")) {
    const area = editor.querySelector('[data-mode="text"] textarea');
    let body;
    try { body = area.value.trim() ? JSON.parse(area.value) : {}; } catch (error) { body = error; }
    if (body instanceof Error || body === null || Array.isArray(body) || typeof body !== "object") {
      const says = editor.querySelector('[data-mode="text"] [data-says]');
      const told = document.createElement("p");
      told.className = "error";
      told.textContent = "Only a JSON object can be edited as fields" + (body instanceof Error ? `: ${body.message}` : ".");
      says.replaceChildren(told);
      area.focus();
      return;
    }
    editor.querySelector("[data-rows]").replaceChildren();
    if (/\d{16}/.test(area.value.replace(/"(?:[^"\\]|\\.)*"/g, ""))) {
      const told = document.createElement("p");
      told.className = "error";
      told.textContent = "A number of this length is edited as text: it would lose digits.";
      editor.querySelector('[data-mode="text"] [data-says]').replaceChildren(told);
      return;
    }
    for (const [name, value] of Object.entries(body)) {
      const isText = typeof value === "string";
      addRow(editor, name, isText ? value : JSON.stringify(value), !isText);
    }
    showMode(editor, "rows");
    editor.querySelector("[data-rows] input, [data-add-row]").focus();
  } else if (button.matches("[data-remove-request]")) {
    request.remove();
    wizard.querySelector("[data-add-request]").focus();
  } else if (button.matches("[data-move]")) {
    const other = button.dataset.move === "up" ? request.previousElementSibling : request.nextElementSibling;
    if (other) button.dataset.move === "up" ? other.before(request) : other.after(request);
    button.focus();
  } else if (button.matches("[data-add-request]")) {
    const template = wizard.querySelector("[data-new-request]");
    const holder = document.createElement("div");
    newest += 1;
    holder.innerHTML = template.innerHTML.replaceAll("NEW", String(newest));
    const added = holder.firstElementChild;
    wizard.querySelector("[data-requests]").append(added);
    added.querySelector("select").focus();
  } else {
    return;
  }
  touched();
});
renumber();

// ---- The preview: rendered on the server for what stands in the form now. ----

const preview = wizard?.dataset.preview;
let names = [];

function readNames() {
  const script = document.querySelector("[data-names]");
  if (script) names = JSON.parse(script.textContent);
}
readNames();

if (preview) {
  const content = document.querySelector("[data-preview-content]");
  const status = document.querySelector("[data-preview-status]");
  const note = document.querySelector("[data-note]");
  let waiting;
  let asked = 0;
  // What the form comes to, and what the environment says of it, which comes later.
  let said = {};
  let marked = {};

  const tell = () => {
    for (const says of wizard.querySelectorAll("[data-says]")) {
      const html = (said[says.dataset.says] ?? "") + (marked[says.dataset.says] ?? "");
      if (says.dataset.html !== html) {
        says.innerHTML = html;
        says.dataset.html = html;
      }
    }
  };

  // The columns of each request's table, for its lines.
  const suggest = (columns) => {
    const lists = document.querySelector("[data-columns]");
    lists.replaceChildren(...Object.entries(columns).map(([table, names]) => {
      const list = document.createElement("datalist");
      list.id = `columns-${table}`;
      list.append(...names.map((name) => {
        const option = document.createElement("option");
        option.value = name;
        return option;
      }));
      return list;
    }));
    for (const request of wizard.querySelectorAll("[data-requests] > .request")) {
      const table = request.querySelector('[name$=".entitySet"]').value.trim();
      for (const column of request.querySelectorAll("[data-column]")) column.setAttribute("list", `columns-${table}`);
    }
  };

  let marking;
  const mark = async () => {
    const mine = asked;
    try {
      const response = await fetch(preview.replace(/preview$/, "marks"), { method: "POST", body: new URLSearchParams(new FormData(wizard)) });
      if (mine !== asked || !response.ok) return;
      const answer = await response.json();
      if (mine !== asked) return;
      marked = answer.says;
      note.textContent = answer.note;
      suggest(answer.columns);
      tell();
    } catch { /* What the environment says is missing then; the preview tells that the console is gone. */ }
  };

  const show = (answer) => {
    if (answer.content !== null) {
      content.innerHTML = answer.content;
      content.classList.remove("stale");
    } else {
      content.classList.add("stale");
    }
    names = answer.names.length ? answer.names : names;
    said = answer.says;
    tell();
    for (const field of wizard.querySelectorAll("[data-slot]")) {
      const comes = field.querySelector("[data-comes]");
      // While something is wrong, what the other fields come to stays.
      const value = answer.values[field.dataset.slot];
      if (comes && (answer.content !== null || answer.wrong.includes(field.dataset.slot))) comes.textContent = value ?? "";
      const isWrong = answer.wrong.includes(field.dataset.slot);
      for (const input of field.querySelectorAll("input:not([type=hidden]), textarea, select")) {
        if (isWrong) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
      }
    }
    if (status.textContent !== answer.status) status.textContent = answer.status;
  };

  let going;
  const refresh = async () => {
    const mine = ++asked;
    going?.abort();
    going = new AbortController();
    try {
      const body = new URLSearchParams(new FormData(wizard));
      const response = await fetch(preview, { method: "POST", body, signal: going.signal });
      if (mine !== asked) return;
      if (!response.ok) throw new Error(`the console answers ${response.status}`);
      show(await response.json());
      clearTimeout(marking);
      marking = setTimeout(mark, 400);
    } catch (error) {
      if (mine !== asked) return;
      content.classList.add("stale");
      status.textContent = `The preview cannot be made: ${error.message}`;
    }
  };
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(refresh, 250);
  };
  wizard.addEventListener("input", soon);
  wizard.addEventListener("change", soon);
  wizard.addEventListener("touched", soon);

  refresh();

  // One request is sent, once that is confirmed.
  content.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-send]");
    if (!button || !window.confirm(button.dataset.ask)) return;
    const into = button.closest(".sent").querySelector("[data-told]");
    button.disabled = true;
    into.innerHTML = '<p class="busy">Sending it to Dynamics ...</p>';
    const body = new URLSearchParams(new FormData(wizard));
    body.append("send", button.dataset.send);
    body.append("sample", button.dataset.sampleId);
    let told;
    try {
      const response = await fetch(preview.replace(/preview$/, "send"), { method: "POST", body });
      if (!response.ok) throw new Error(`the console answers ${response.status}`);
      told = (await response.json()).told;
    } catch (error) {
      told = '<p class="error"></p>';
      into.innerHTML = told;
      into.firstElementChild.textContent = `It is not known whether it was sent: ${error.message}`;
      return;
    } finally {
      button.disabled = false;
    }
    await refresh();
    const again = content.querySelector(`[data-send="${CSS.escape(button.dataset.send)}"]`);
    const place = again?.closest(".sent").querySelector("[data-told]") ?? into;
    place.innerHTML = told;
  });

  // Another sample contact leaves what is filled in as it is.
  const sample = document.querySelector("[data-sample]");
  const says = document.createElement("p");
  says.className = "error";
  says.setAttribute("role", "alert");
  sample?.append(says);
  const choose = async () => {
    says.textContent = "";
    try {
      await post(sample.action, new FormData(sample));
    } catch (error) {
      says.textContent = error.message;
      return;
    }
    refresh();
  };
  sample?.addEventListener("submit", (event) => {
    event.preventDefault();
    choose();
  });
  for (const select of sample?.querySelectorAll("[data-submits]") ?? []) {
    select.addEventListener("change", () => {
      if (select.name === "life") sample.elements.contact.value = "";
      choose();
    });
  }
}

// ---- Completion of names in templates. ----

{
  const list = document.createElement("ul");
  list.id = "completions";
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Names");
  list.hidden = true;
  (document.querySelector("main") ?? document.body).append(list);
  let input = null;
  let from = 0;
  let chosen = -1;

  // What the template that is open before the cursor ends with; nothing where none is.
  const opened = (before) => {
    const value = before.lastIndexOf("{{") > before.lastIndexOf("}}") ? before.lastIndexOf("{{") : -1;
    const tag = before.lastIndexOf("{%") > before.lastIndexOf("%}") ? before.lastIndexOf("{%") : -1;
    if (value < 0 && tag < 0) return null;
    return value > tag ? "}}" : "%}";
  };

  // The beginning of a name before the cursor, where one can stand.
  const begun = (field) => {
    const before = field.value.slice(0, field.selectionStart);
    if (field.dataset.completes === "template" && !opened(before)) return null;
    const word = before.match(/[A-Za-z_][A-Za-z0-9_.-]*$/);
    if (word) return word[0];
    return /(\{\{|\{%)\s*$/.test(before) ? "" : null;
  };

  const close = () => {
    list.hidden = true;
    chosen = -1;
    input?.removeAttribute("aria-activedescendant");
    if (input?.matches("input")) input.setAttribute("aria-expanded", "false");
  };

  const choose = (index) => {
    const options = list.children;
    options[chosen]?.setAttribute("aria-selected", "false");
    chosen = (index + options.length) % options.length;
    options[chosen].setAttribute("aria-selected", "true");
    options[chosen].scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", options[chosen].id);
  };

  const take = (name) => {
    const field = input;
    const end = field.selectionStart;
    field.setRangeText(name, from, end, "end");
    const closing = opened(field.value.slice(0, field.selectionStart));
    const rest = field.value.slice(field.selectionStart).split(/\{\{|\{%/)[0];
    if (field.dataset.completes === "template" && closing && !rest.includes(closing)) {
      field.setRangeText(` ${closing}`, field.selectionStart, field.selectionStart, "preserve");
    }
    field.dispatchEvent(new Event("input", { bubbles: true }));
    // That it was taken is no reason to offer longer names.
    close();
  };

  const offer = (field) => {
    const word = begun(field);
    if (word === null) return close();
    const lower = word.toLowerCase();
    const fits = names.filter(([name]) => name.toLowerCase().includes(lower) && name !== word);
    fits.sort(([one], [other]) => other.toLowerCase().startsWith(lower) - one.toLowerCase().startsWith(lower));
    if (!fits.length) return close();
    input = field;
    from = field.selectionStart - word.length;
    list.replaceChildren(...fits.slice(0, 8).map(([name, value], index) => {
      const option = document.createElement("li");
      option.id = `completion-${index}`;
      option.setAttribute("role", "option");
      option.setAttribute("aria-selected", "false");
      const title = document.createElement("span");
      title.className = "code";
      title.textContent = name;
      const means = document.createElement("span");
      means.className = "muted small";
      means.textContent = value;
      option.append(title, " ", means);
      option.addEventListener("mousedown", (event) => {
        event.preventDefault();
        take(name);
      });
      return option;
    }));
    chosen = -1;
    const box = field.getBoundingClientRect();
    list.hidden = false;
    const width = Math.min(Math.max(box.width, 280), document.documentElement.clientWidth - 16);
    list.style.width = `${width}px`;
    list.style.left = `${Math.max(8, Math.min(box.left, document.documentElement.clientWidth - width - 8)) + window.scrollX}px`;
    list.style.top = `${box.bottom + window.scrollY + 2}px`;
    field.setAttribute("aria-controls", list.id);
    field.setAttribute("aria-autocomplete", "list");
    // A text of several lines can be no combobox.
    if (field.matches("input")) {
      field.setAttribute("role", "combobox");
      field.setAttribute("aria-expanded", "true");
    }
  };

  document.addEventListener("input", (event) => {
    if (event.target.matches?.("[data-completes]")) offer(event.target);
  });
  document.addEventListener("focusout", close);
  window.addEventListener("resize", close);
  document.addEventListener("keydown", (event) => {
    if (list.hidden || event.target !== input) return;
    const isTaken = chosen >= 0 && (event.key === "Enter" || event.key === "Tab");
    if (event.key === "ArrowDown") choose(chosen + 1);
    else if (event.key === "ArrowUp") choose(chosen - 1);
    else if (event.key === "Escape") close();
    else if (isTaken) take(list.children[chosen].querySelector(".code").textContent);
    else return;
    event.preventDefault();
  });
}

// ---- The client secret: set without leaving what is filled in. ----

document.querySelector("[data-secret]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  const into = form.querySelector("[data-told]");
  const body = new URLSearchParams(new FormData(form));
  const named = wizard?.querySelector("[name=clientSecretId]");
  if (named) body.set("clientSecretId", named.value);
  into.innerHTML = '<p class="busy">Writing it ...</p>';
  try {
    const page = new DOMParser().parseFromString(await post(form.action, body), "text/html");
    form.reset();
    // What the secret is by now.
    const state = page.querySelector("[data-secret]")?.closest("section").querySelector(".notice");
    if (state) form.closest("section").querySelector(".notice").replaceWith(state);
    into.innerHTML = '<p class="notice good">The client secret is in Secrets Manager. Test the connection now.</p>';
  } catch (error) {
    into.innerHTML = '<p class="error" role="alert"></p>';
    into.firstElementChild.textContent = error.message;
  }
});
