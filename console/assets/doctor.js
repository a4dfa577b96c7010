// The doctor's page: fetches the findings, which take some seconds, into the page.
(() => {
  const place = document.querySelector("[data-doctor]");
  const again = document.querySelector("[data-doctor-again]");
  const status = document.querySelector("[data-doctor-status]");
  if (!again || !status) return;
  const results = place || document.querySelector("[data-doctor-status] + div");
  const address = "/doctor/checks";
  let busy = false;
  const look = async () => {
    if (busy) return;
    busy = true;
    const waiting = document.createElement("p");
    waiting.className = "busy";
    waiting.textContent = "Looking at everything that contacts go through. This takes some seconds, and a minute where something does not answer.";
    results.replaceChildren(waiting);
    results.setAttribute("aria-busy", "true");
    status.textContent = waiting.textContent;
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" } });
      if (!answer.ok) throw new Error(`The console has answered with the status ${answer.status}.`);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      results.replaceChildren(...page.body.childNodes);
      const summary = results.querySelector("[data-doctor-summary]");
      status.textContent = summary ? summary.textContent : "";
      document.dispatchEvent(new CustomEvent("content-changed", { detail: results }));
    } catch (error) {
      const failed = document.createElement("div");
      failed.className = "notice bad";
      failed.textContent = `The findings did not come. ${error.message} Is connect-dynamics still running?`;
      results.replaceChildren(failed);
      status.textContent = failed.textContent;
    } finally {
      results.removeAttribute("aria-busy");
      busy = false;
    }
  };
  again.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    look();
  });
  if (place) look();
})();
