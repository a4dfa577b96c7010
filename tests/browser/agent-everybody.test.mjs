// The agent's page while it rings, in Dynamics with sessions, for everybody, and with values of other people's making.

import assert from "node:assert/strict";
import { ALL, HOSTS, agentTests } from "./desk.mjs";
import { barriers, overflow, picture, until, withAxe } from "./harness.mjs";

HOSTS.sessions = { ...HOSTS.dynamics, address: (system) => `${system.dataverse}/apps/example?cif=2` };
const { inEach, it } = agentTests(["--open-on", "connecting", "--session-template", "example_contact"]);
const CALL = { kind: "call", number: "+15555550100" };

inEach("with openOn connecting the record is open while it rings", ["alone", "dynamics"], async ({ agent, amazon }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.record(call.id);
  assert.equal((await amazon.contact(call)).state, "connecting");
  await amazon.act(call, "miss");
  await agent.desk.getByText("No contact. When one rings, its record opens").waitFor();
  if (agent.name === "alone") await agent.recordIsNotOpen(call.id);
});

inEach("each contact has a session, the agent's change of session changes the contact, and the other way round", ["sessions"], async ({ agent, amazon, page }) => {
  await agent.open();
  const chats = [];
  for (const name of ["Ada", "Grace"]) {
    const chat = await amazon.comes({ kind: "chat", name });
    await agent.press("Accept", chat);
    await agent.record(chat.id);
    chats.push(chat);
  }
  const sessions = page.getByRole("navigation", { name: "Sessions" }).locator("[aria-pressed]");
  // Home, and one for each.
  await until("each has a session", async () => (await sessions.count()) === 3);
  const tab = ({ id }) => agent.desk.locator(`[role=tab][data-contact="${id}"]`);
  for (const [index, chat] of chats.entries()) {
    await sessions.nth(index + 1).click();
    await until("the session's contact is selected", async () => (await tab(chat).getAttribute("aria-selected")) === "true");
  }
  await tab(chats[0]).click();
  await until("the contact's session has the focus", async () => (await sessions.nth(1).getAttribute("aria-pressed")) === "true");
  // No other is made for a contact that has one.
  await agent.button("Show the record").click();
  await agent.record(chats[0].id);
  assert.equal(await sessions.count(), 3);
});

inEach("after the page is loaded again, the contact that goes on has its record", ["alone", "dynamics"], async ({ agent, amazon, page }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  await agent.record(call.id);
  await page.reload();
  await agent.panel.getByLabel("Agent", { exact: true }).waitFor();
  await agent.record(call.id);
});

inEach("values of other people's making stay text, and take no more room than others", ["alone", "workspace"], async ({ agent, amazon, page }) => {
  const hostile = `<b onmouseover=alert(1)>\u202E${"x".repeat(2000)}</b>`;
  await agent.open();
  const call = await amazon.comes({ ...CALL, withoutFunctions: true, attributes: { customerName: hostile, screenPopUrl: `javascript:${"y".repeat(20_000)}` } });
  await agent.press("Accept", call);
  await agent.words.getByText("The address that was given for this contact is not opened").waitFor();
  assert.equal(await agent.desk.locator("b").count(), 0);
  const box = await agent.desk.locator("#record-bar").boundingBox();
  assert.ok(box.height < 250, `the bar is ${box.height} high`);
  assert.equal(await overflow(page), 0);
});

inEach("what the agent meets can be used by everybody", ALL, async ({ agent, amazon, visit, page }) => {
  await withAxe(visit);
  await agent.open();
  const look = async (state) => {
    const frame = page.frames().find((it) => it.url().startsWith(agent.system.agentPage));
    assert.deepEqual(await barriers(frame ?? page), [], state);
    assert.deepEqual(await barriers(frame ?? page, true), [], `${state}, colours`);
  };
  if (agent.name !== "workspace") await look("without a contact");
  const chat = await amazon.comes({ kind: "chat", name: "Ada" });
  await agent.press("Accept", chat);
  await agent.record(chat.id);
  await look("with a record");
  const other = await amazon.comes({ kind: "chat", name: "Grace", withoutFunctions: true, attributes: { screenPopUrl: "https://dynamics.example.com/" } });
  await agent.press("Accept", other);
  await amazon.act(other, "select");
  await agent.words.getByText("is not opened").waitFor();
  await look("with an address that is not opened");
});

for (const scheme of ["light", "dark"]) {
  inEach(`${scheme} and on a small screen nothing is cut off`, ["alone"], { scheme, width: 500, height: 800 }, async ({ agent, amazon, page }) => {
    await agent.open();
    const call = await amazon.comes(CALL);
    await agent.press("Accept", call);
    await agent.record(call.id);
    assert.equal(await overflow(page), 0);
  });
}

inEach("contacts are chosen by the keyboard, and the control panel follows", ["alone"], async ({ agent, amazon, page }) => {
  await agent.open();
  const chats = [];
  for (const name of ["Ada", "Grace"]) {
    const chat = await amazon.comes({ kind: "chat", name });
    await amazon.act(chat, "accept");
    await agent.record(chat.id);
    chats.push(chat);
  }
  await amazon.act(chats[1], "select");
  const tab = ({ id }) => page.locator(`[role=tab][data-contact="${id}"]`);
  await tab(chats[1]).focus();
  await page.keyboard.press("ArrowLeft");
  assert.equal(await tab(chats[0]).getAttribute("aria-selected"), "true");
  await agent.panel.locator(`li[data-id="${chats[0].id}"].selected`).waitFor();
});

it("it is served under a policy that lets in what is configured, and nothing else", async ({ system, page }) => {
  system.agentPage = system.addresses["The agent's page"];
  system.connect = system.addresses["Amazon Connect"];
  const response = await page.goto(`${system.agentPage}/`);
  const headers = response.headers();
  const policy = Object.fromEntries(headers["content-security-policy"].split("; ").map((it) => [it.split(" ")[0], it.split(" ").slice(1)]));
  assert.deepEqual(policy["default-src"], ["'none'"]);
  assert.deepEqual(policy["script-src"], ["'self'", `${system.dataverse}/webresources/Widget/msdyn_ciLibrary.js`]);
  assert.deepEqual(policy["frame-ancestors"], [system.connect, system.dataverse]);
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.equal(headers["referrer-policy"], "no-referrer");
});

it("the switchboard, as the documentation shows it", async ({ system, page }) => {
  await page.goto(system.addresses["Amazon Connect"]);
  await page.getByRole("button", { name: "Let it come" }).click();
  await page.getByText("+15555550100").first().waitFor();
  await picture(page, "agent-switchboard");
});
