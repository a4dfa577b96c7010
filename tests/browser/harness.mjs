// The whole system on this machine and a browser at its console or at the agent's page, for one file of tests.
//
// Owns how they are started and ended, and what no test may meet: an error in the browser's console, an error of
// the page's script, something that the content security policy refuses, a dialog that nobody expects.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";

import { smaller } from "./png.mjs";

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
const target = process.env.CARGO_TARGET_DIR ?? path.join(root, "target");
// The packages lie beside what is built, not in the tree.
const packages = createRequire(path.join(target, "tools/browser/package.json"));
const { chromium } = packages("playwright-core");
const axe = packages.resolve("axe-core/axe.min.js");

/** How long anything may take. Two cores that build something else meanwhile are slow. */
const PATIENCE = 30_000;

/** Asks again and again until the answer is one: for what happens outside the browser. */
export async function until(what, ask) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert.ok(Date.now() < end, `in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Starts the system; `empty` has no integration. Resolves when it has printed where it listens. */
async function startSystem({ empty, scenery = [], page = [] }) {
  const binary = path.join(target, "debug/local");
  const child = spawn(binary, ["serve", "--port", "0", ...(empty ? ["--empty"] : []), ...scenery, ...page], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, NO_COLOR: "1" },
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const log = [];
  const ended = new Promise((resolve) => child.once("close", resolve));
  const addresses = {};
  const up = new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", () => reject(new Error(`the system did not come up:\n${log.join("\n")}`)));
    createInterface({ input: child.stderr }).on("line", (line) => log.push(line));
    createInterface({ input: child.stdout }).on("line", (line) => {
      log.push(line);
      const named = line.match(/^ {2}(\S.*?) {2,}(http\S+)$/);
      if (named) addresses[named[1]] = named[2];
      const start = line.match(/^ {2}(http\S+\?token=\S+)$/);
      if (start) resolve(start[1]);
    });
  });
  const start = await up;
  return {
    start,
    origin: new URL(start).origin,
    invoke: addresses["Invoke API"],
    dataverse: addresses.Dataverse,
    entra: addresses["Entra ID"],
    addresses,
    log,
    async stop() {
      process.off("exit", kill);
      child.kill("SIGINT");
      const late = setTimeout(kill, PATIENCE);
      await ended;
      clearTimeout(late);
    },
  };
}

/** The stand-in for Dynamics, and the functions: what a test looks at and does outside the console. */
function outside(system) {
  const json = { "content-type": "application/json" };
  const control = async (method, what, body) => {
    const response = await fetch(`${system.dataverse}/stand-in/${what}`, {
      method,
      headers: json,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    assert.ok(response.ok, `${method} ${what}: ${response.status} ${await response.clone().text()}`);
    return response;
  };
  return {
    /** What Dynamics holds of a table. */
    async records(entitySet) {
      const all = await (await control("GET", "records")).json();
      return Object.values(all[entitySet] ?? {});
    },
    put: async (entitySet, record) => (await control("POST", `records/${entitySet}`, record)).json(),
    fault: (fault) => control("POST", "faults", fault),
    clearFaults: () => control("DELETE", "faults"),
    /** Takes a privilege from the application's role; null gives it back. */
    missPrivilege: (name) => control("PUT", "missing-privilege", name),
    /** Invokes a function with an event. */
    async invokeFunction(name, event) {
      const response = await fetch(`${system.invoke}/2015-03-31/functions/${name}/invocations`, {
        method: "POST",
        body: JSON.stringify(event),
      });
      return response.json();
    },
  };
}

/** A page, and what went wrong on it. */
class Visit {
  troubles = [];
  /** Statuses of answers that the test asks for: the browser notes each as an error. */
  expected = new Set();
  /** How the dialogs are answered that the test expects, in their order. */
  dialogs = [];
  dialogsSeen = [];

  constructor(system, context, page) {
    Object.assign(this, { system, context, page });
    this.watch(page);
  }

  watch(page) {
    page.on("pageerror", (error) => this.troubles.push(`error of the page: ${error.stack ?? error.message}`));
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      const status = message.text().match(/the server responded with a status of (\d+)/);
      if (status && this.expected.has(Number(status[1]))) return;
      this.troubles.push(`console of ${page.url()}: ${message.text()}`);
    });
    page.on("dialog", async (dialog) => {
      const answer = this.dialogs.shift();
      this.dialogsSeen.push(`${dialog.type()}: ${dialog.message()}`);
      if (answer === undefined) this.troubles.push(`an unexpected dialog: ${dialog.type()} ${dialog.message()}`);
      await (answer ? dialog.accept() : dialog.dismiss());
    });
  }

  /** Another page of the same browser. */
  async another() {
    const page = await this.context.newPage();
    this.watch(page);
    return page;
  }

  expect(...statuses) {
    for (const status of statuses) this.expected.add(status);
  }

  go(address, page = this.page) {
    return page.goto(new URL(address, this.system.origin).href);
  }
}

/** Everything for a file of tests: the system they share, and how a test is told. `page` is how the agent's page is
 * set, as options of `serve`. */
export function consoleTests({ empty = false, scenery, page: pageOptions } = {}) {
  const system = {};
  let browser;
  let storageState;
  before(async () => {
    Object.assign(system, await startSystem({ empty, scenery, page: pageOptions }));
    Object.assign(system, outside(system));
    // The sandbox of Chromium does not run as root, nor in many containers. It opens this console only.
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      args: ["--no-sandbox", "--lang=en-US", "--disable-lcd-text"],
    });
    const context = await browser.newContext();
    const page = await context.newPage();
    const response = await page.goto(system.start);
    assert.equal(response.status(), 200);
    storageState = await context.storageState();
    system.cookie = storageState.cookies.map(({ name, value }) => `${name}=${value}`).join("; ");
    await context.close();
  });
  after(async () => {
    await browser?.close();
    await system.stop?.();
  });
  const visit = async ({ width = 1280, height = 900, scheme = "light", scale = 1, signedIn = true } = {}) => {
    const context = await browser.newContext({
      viewport: { width, height },
      deviceScaleFactor: scale,
      colorScheme: scheme,
      reducedMotion: "reduce",
      locale: "en-US",
      timezoneId: "UTC",
      storageState: signedIn ? storageState : undefined,
    });
    context.setDefaultTimeout(PATIENCE);
    return new Visit(system, context, await context.newPage());
  };
  const it = (behaviour, how, run = how) =>
    test(behaviour, async (t) => {
      const visited = await visit(how === run ? {} : how);
      try {
        await run(visited);
      } catch (error) {
        for (const trouble of visited.troubles) t.diagnostic(trouble);
        t.diagnostic(`at ${visited.page.url()}`);
        throw error;
      } finally {
        await visited.context.close();
      }
      assert.deepEqual(visited.troubles, []);
    });
  return { system, it, visit };
}

/** What is found wrong with a page for people who cannot see well, or work without a mouse; or with its colours only. */
export const barriers = (page, isOfColours = false) =>
  page.evaluate(async (isOfColours) => {
    const found = await window.axe.run(document, {
      runOnly: isOfColours
        ? { type: "rule", values: ["color-contrast"] }
        : { type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] },
      resultTypes: ["violations"],
      // What is in a frame is another page, which axe cannot reach from here.
      iframes: false,
      preload: false,
    });
    return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).slice(0, 3).join(" | ")}`);
  }, isOfColours);

/** Loads axe into every page of a visit before the page's own script: the policy lets no script in later. */
export const withAxe = ({ context }) => context.addInitScript({ path: axe });

/** How many pixels a page is wider than its window. */
export async function overflow(page) {
  // Before its style is there, it is as wide as it likes.
  await page.waitForLoadState("load");
  return page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
}

/** A picture for the documentation, where one is wanted: a run of the tests changes nothing in the tree. */
export async function picture(page, name) {
  if (process.env.SCREENSHOTS !== "1") return;
  const folder = path.join(root, "docs/images");
  await mkdir(folder, { recursive: true });
  const size = page.viewportSize();
  await page.setViewportSize({ width: 1280, height: 800 });
  const png = await page.screenshot({ animations: "disabled", caret: "hide" });
  await writeFile(path.join(folder, `${name}.png`), smaller(png));
  await page.setViewportSize(size);
}

// ---- What several files of tests do in the console. ----

/** Begins an integration from a recipe. */
export async function begin(visit, name, beginning = "phone-call") {
  const { page } = visit;
  await visit.go("/integrations/new");
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.locator(`#b-${beginning}`).check();
  await page.getByRole("button", { name: "Begin" }).click();
  await page.waitForURL(`**/integrations/${name}/connection`);
}

/** The draft's document, as its page shows it. */
export async function document(visit, name, page = visit.page) {
  await visit.go(`/integrations/${name}/json`, page);
  return JSON.parse(await page.getByLabel("Configuration as JSON").inputValue());
}

/** Puts a whole document into the draft. */
export async function saveDocument(visit, name, configuration) {
  const { page } = visit;
  await visit.go(`/integrations/${name}/json`);
  await page.getByLabel("Configuration as JSON").fill(JSON.stringify(configuration, null, 2));
  await page.getByRole("button", { name: "Save and review" }).click();
  await page.waitForURL("**/publish");
}

/** Publishes the draft. */
export async function publish(visit, name) {
  const { page } = visit;
  await visit.go(`/integrations/${name}/publish`);
  await page.getByRole("button", { name: "Publish" }).click();
  await page.waitForURL("**/versions?published");
}

/** Places a test contact, and waits until it is over; the contact's id. */
export async function placeTestContact(visit, name, { life, customer, clean = false } = {}) {
  const { page } = visit;
  await visit.go(`/integrations/${name}/try`);
  if (life) await page.getByLabel("Kind of contact").selectOption({ label: life });
  if (customer) await page.getByLabel("Customer's number or address").fill(customer);
  await page.getByLabel("Delete what it makes when it is over").setChecked(clean);
  await page.getByRole("button", { name: "Place the test contact" }).click();
  await page.waitForURL("**/try/*");
  await page.locator("#progress .notice").waitFor();
  return page.locator("h1 + p code").textContent();
}

/** The line of a request's body that writes a column. */
export async function line(page, column, request = 0) {
  const lines = page.locator(".request").nth(request).locator("[data-rows] > [data-row]");
  const all = await lines.evaluateAll((rows) => rows.map((row) => row.querySelector("input").value));
  assert.ok(all.includes(column), `${column} is one of ${all}`);
  return lines.nth(all.indexOf(column));
}
