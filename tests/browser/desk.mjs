// The agent's page in its three hosts, and the stand-in for Amazon Connect that calls come from.
//
// Owns where each host has the control panel, the page and the record, so that a test tells of a contact once and is
// tried in every host.

import assert from "node:assert/strict";
import { consoleTests, until } from "./harness.mjs";

/** The control panel's frame, by the name that the agent's page gives it. */
const PANEL = 'iframe[title="Amazon Connect control panel"]';

/** How each host is opened, and where in it things are. */
export const HOSTS = {
  alone: {
    address: (system) => `${system.agentPage}/`,
    desk: (page) => page,
    panel: (page) => page.frameLocator(PANEL),
  },
  workspace: {
    address: (system) => `${system.connect}/workspace`,
    // The application of the contact that is selected: the others are hidden.
    desk: (page) => page.frameLocator("iframe[data-id]:visible"),
    panel: (page) => page,
  },
  dynamics: {
    address: (system) => `${system.dataverse}/apps/example?cif=1`,
    desk: (page) => page.frameLocator('iframe[title="Amazon Connect"]'),
    panel: (page) => page.frameLocator('iframe[title="Amazon Connect"]').frameLocator(PANEL),
  },
};

/** The agent of the stand-in, with what a test does and sees. */
class Agent {
  constructor(visit, host) {
    this.visit = visit;
    this.page = visit.page;
    this.system = visit.system;
    this.host = HOSTS[host];
    this.name = host;
  }

  get desk() {
    return this.host.desk(this.page);
  }

  get panel() {
    return this.host.panel(this.page);
  }

  /** Opens the host, and waits until the agent is seen in the control panel. */
  async open(address = this.host.address(this.system)) {
    await this.page.goto(address);
    await this.panel.getByLabel("Agent", { exact: true }).waitFor();
  }

  /** What is said of the selected contact's record. */
  get words() {
    return this.desk.locator("#words");
  }

  button(name) {
    return this.desk.getByRole("button", { name, exact: true });
  }

  /** Clicks a button of the control panel, of the only contact there or of the one named. */
  async press(name, contact) {
    const item = contact ? this.panel.locator(`li[data-id="${contact.id}"]`) : this.panel;
    await item.getByRole("button", { name, exact: true }).click();
  }

  /** The frame that shows a record, wherever it is. */
  async record(id) {
    return until(`the record ${id} is open in a frame`, () => {
      const frames = this.page.context().pages().flatMap((page) => page.frames());
      return frames.find((frame) => frame.url().startsWith(this.system.dataverse) && frame.url().includes(id));
    });
  }

  /** Writes over a record's subject, as a person does: what a script fills in counts for no click and no key. */
  async write(record, text) {
    await record.getByLabel("Subject", { exact: true }).click({ clickCount: 3 });
    await this.page.keyboard.type(text, { delay: 20 });
    assert.equal(await record.getByLabel("Subject", { exact: true }).inputValue(), text);
  }

  async recordIsNotOpen(id) {
    await until(`the record ${id} is open nowhere`, () => !this.page.frames().some((frame) => frame.url().includes(`id=${id}`)));
  }
}

/** The stand-in for Amazon Connect, as its pages and these tests use it. */
function connect(system) {
  const ask = async (method, path, body) => {
    const response = await fetch(`${system.connect}/stand-in/${path}`, {
      method,
      headers: { "content-type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
    return text === "" ? null : JSON.parse(text);
  };
  return {
    /** A contact comes: its flow has run when this is done. */
    comes: (contact) => ask("POST", "contacts", contact),
    act: (contact, action, how = {}) => ask("POST", `contacts/${contact.id}/${action}`, how),
    setAttributes: (contact, attributes) => ask("PUT", `contacts/${contact.id}/attributes`, attributes),
    contact: ({ id }) => ask("GET", `contacts/${id}`),
    contacts: async () => (await ask("GET", "contacts")).contacts,
    session: (signedIn, how) => ask("PUT", "session", { signedIn, ...(how && { how }) }),
    dialError: (dialError) => ask("PUT", "dial-error", { dialError }),
    /** Ends whatever a test has left: no contact, and the agent signed in and available. */
    clearAll: () => ask("DELETE", "contacts"),
    /** A page of Dynamics' that the agent's page may not frame, and others. */
    dynamics: async (what, value) => {
      const response = await fetch(`${system.dataverse}/stand-in/${what}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(value),
      });
      assert.ok(response.ok, `${what}: ${response.status} ${await response.text()}`);
    },
  };
}

/** Everything for a file of tests of the agent's page. `options` is how `serve` sets it. */
export function agentTests(options = []) {
  const { system, it } = consoleTests({ page: ["--wait-seconds", "1", ...options] });
  /** Tells of a behaviour, and tries it in these hosts. */
  const inEach = (behaviour, hosts, how, run = how) => {
    for (const host of hosts) {
      it(`${host}: ${behaviour}`, how === run ? {} : how, async (visit) => {
        system.agentPage = system.addresses["The agent's page"];
        system.connect = system.addresses["Amazon Connect"];
        const amazon = connect(system);
        const agent = new Agent(visit, host);
        try {
          await run({ agent, amazon, visit, page: visit.page, system, host });
        } finally {
          await amazon.clearAll();
        }
      });
    }
  };
  return { system, inEach, it };
}

export const ALL = Object.keys(HOSTS);
