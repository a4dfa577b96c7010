"use strict";

// Every page works without this script, but for what is shown while one types and what is added to a form.

// Times in the reader's own time zone.
function showTimes(part) {
  for (const time of part.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) {
      time.title = time.textContent;
      time.textContent = at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
    }
  }
}
showTimes(document);
document.addEventListener("content-changed", (event) => showTimes(event.detail));

// What cannot be undone is asked for.
document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) event.preventDefault();
});

// A part of a form that belongs to one choice.
function showChosen() {
  for (const radio of document.querySelectorAll("[data-shows]")) {
    const part = document.getElementById(radio.dataset.shows);
    if (part) part.hidden = !radio.checked;
  }
  for (const part of document.querySelectorAll("[data-when]")) {
    const input = document.querySelector(`[name="${part.dataset.when}"]`);
    if (input) part.hidden = input.value !== part.dataset.is;
  }
}
document.addEventListener("change", showChosen);
showChosen();

// Posts fields to the console. What it refuses is an error with the words of its page.
async function post(address, fields) {
  const response = await fetch(address, { method: "POST", body: new URLSearchParams(fields) });
  const text = await response.text();
  if (response.ok) return text;
  const page = new DOMParser().parseFromString(text, "text/html");
  throw new Error(page.querySelector("main p")?.textContent ?? `The console answers ${response.status}.`);
}

// A button that asks the console for something that takes a while, with the wizard's form.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-post]");
  if (!button) return;
  const into = document.getElementById(button.dataset.into);
  const form = document.getElementById("wizard");
  button.disabled = true;
  into.innerHTML = '<p class="busy"></p>';
  into.firstElementChild.textContent = button.dataset.busy;
  try {
    into.innerHTML = await post(button.dataset.post, new FormData(form));
  } catch (error) {
    into.innerHTML = '<p class="error" role="alert"></p>';
    into.firstElementChild.textContent = `The console could not do it: ${error.message}`;
  } finally {
    button.disabled = false;
  }
});

// A part of a page that changes until it says that it does not any more.
for (const part of document.querySelectorAll("[data-poll]")) {
  const poll = async () => {
    try {
      const response = await fetch(part.dataset.poll);
      if (response.ok) {
        const html = await response.text();
        if (part.innerHTML !== html) part.innerHTML = html;
      }
    } catch { /* The console is asked again. */ }
    if (part.querySelector(".busy")) setTimeout(poll, 400);
  };
  poll();
}
