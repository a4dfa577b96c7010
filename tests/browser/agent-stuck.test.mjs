// What the agent's page says and offers when a record does not open by itself.

import assert from "node:assert/strict";
import { ALL, agentTests } from "./desk.mjs";
import { until } from "./harness.mjs";

const { inEach } = agentTests();
const CALL = { kind: "call", number: "+15555550100" };
const FRAMED = ["alone", "workspace"];

/** The browser notes each frame that is refused, and Streams that the agent is signed out. These tests ask for both. */
function withoutRefusals(visit) {
  const asked = /X-Frame-Options|Content Security Policy|Failed to load resource|(ACK_TIMEOUT|AUTH_FAIL|TERMINATED) occurred/;
  visit.troubles = visit.troubles.filter((it) => !asked.test(it));
}

inEach("the page waits for an address that comes late, says so, and opens it", ALL, async ({ agent, amazon }) => {
  await agent.open();
  const call = await amazon.comes({ ...CALL, attributesAfter: "later" });
  await agent.press("Accept", call);
  await agent.words.getByText("Waiting for the record of this contact").or(agent.words.getByText("No record has been given")).first().waitFor();
  await amazon.act(call, "releaseAttributes");
  await agent.record(call.id);
});

inEach("an address that never comes: Dynamics' search is offered", ALL, async ({ agent, amazon, page, host }) => {
  await agent.open();
  const call = await amazon.comes({ ...CALL, attributesAfter: "never" });
  await agent.press("Accept", call);
  await agent.words.getByText("No record has been given for this contact yet.").waitFor();
  await agent.button("Search Dynamics for +15555550100").click();
  // In Dynamics one who is found is opened at once.
  await until("the search is there", () => page.frames().some((frame) => /pagetype=search|etn=contact/.test(frame.url())));
  if (host !== "dynamics") await (await agent.record("pagetype=search")).getByText("Ada Example").first().waitFor();
});

for (const [what, address] of [
  ["a page of another site", "https://dynamics.example.com/main.aspx?pagetype=entityrecord&etn=phonecall&id=1"],
  ["a script", "javascript:document.body.textContent='taken'"],
  ["a name that looks like the environment's", "http://127.0.0.1.example.com/main.aspx"],
  ["an address with a user name", "http://127.0.0.1@dynamics.example.com/"],
  ["markup", "<img src=x onerror=alert(1)>"],
  ["data", "data:text/html,<h1>taken</h1>"],
]) {
  inEach(`${what} as the address is shown as text, and not opened`, ALL, async ({ agent, amazon, page }) => {
    await agent.open();
    const call = await amazon.comes({ ...CALL, withoutFunctions: true, attributes: { screenPopUrl: address, screenPopTarget: "embedded" } });
    await agent.press("Accept", call);
    await agent.words.getByText("The address that was given for this contact is not opened").waitFor();
    assert.ok((await agent.words.innerText()).includes(address));
    assert.equal(page.context().pages().length, 1);
    assert.ok(!page.frames().some((frame) => frame.url().startsWith("data:") || frame.url().includes("dynamics.example.com")));
  });
}

inEach("a frame that Dynamics refuses: the page says so, offers a tab, and names the setting", FRAMED, async ({ agent, amazon, visit, page, system }) => {
  await amazon.dynamics("frame-ancestors", []);
  try {
    await agent.open();
    const call = await amazon.comes(CALL);
    await agent.press("Accept", call);
    await agent.words.getByText("Dynamics does not show its page here.").waitFor();
    await agent.words.getByText("For the administrator").click();
    await agent.words.getByText(`add ${new URL(system.agentPage).origin} to the allowed frame ancestors of ${system.dataverse}`).waitFor();
    const opens = page.context().waitForEvent("page");
    await agent.button("Open in a tab").click();
    const tab = await opens;
    await tab.waitForURL(`**id=${call.id}*`);
    assert.equal(await tab.evaluate(() => window.opener), null);
    await tab.close();
  } finally {
    await amazon.dynamics("frame-ancestors", null);
    withoutRefusals(visit);
  }
});

inEach("not signed in to Dynamics: the page says so, and shows the record when the agent is", FRAMED, async ({ agent, amazon, visit }) => {
  await amazon.dynamics("signed-in", false);
  const call = await (async () => {
    try {
      await agent.open();
      const call = await amazon.comes(CALL);
      await agent.press("Accept", call);
      await agent.words.getByText("Perhaps you are not signed in to Dynamics").waitFor();
      return call;
    } finally {
      await amazon.dynamics("signed-in", true);
    }
  })();
  await agent.button("Try again").click();
  await agent.record(call.id);
  withoutRefusals(visit);
});

inEach("a tab that the browser blocks: a button opens it", FRAMED, async ({ agent, amazon, page, system }) => {
  // Chromium takes what Playwright does for the person's doing, so it blocks nothing here. This blocks as it would.
  await page.addInitScript(() => {
    const open = window.open.bind(window);
    let isClicked = false;
    addEventListener("click", () => (isClicked = true), { capture: true });
    window.open = (...what) => (isClicked ? open(...what) : null);
  });
  await agent.open();
  const [customer] = await system.records("contacts");
  const screenPopUrl = `${system.dataverse}/main.aspx?pagetype=entityrecord&etn=contact&id=${customer.contactid}`;
  const call = await amazon.comes({ ...CALL, withoutFunctions: true, attributes: { screenPopUrl, screenPopTarget: "tab" } });
  await amazon.act(call, "accept");
  await agent.words.getByText("The browser has not let this page open a tab.").waitFor();
  const opens = page.context().waitForEvent("page");
  await agent.button("Open the record").click();
  await (await opens).waitForURL(`**id=${customer.contactid}*`);
  await agent.words.getByText("The record is open in a tab of the browser.").waitFor();
});

inEach("signed out of Amazon Connect: the page says where to sign in, and the control panel comes back", ["alone", "dynamics"], async ({ agent, amazon, visit, page }) => {
  await amazon.session(false);
  await page.goto(agent.host.address(agent.system));
  await agent.desk.getByText("You are not signed in to Amazon Connect").waitFor();
  const opens = page.context().waitForEvent("page");
  await agent.button("Sign in to Amazon Connect").click();
  const signIn = await opens;
  await signIn.getByRole("button", { name: "Sign in" }).click();
  await agent.panel.getByLabel("Agent", { exact: true }).waitFor();
  await agent.desk.getByText("You are not signed in to Amazon Connect").waitFor({ state: "detached" });
  withoutRefusals(visit);
});

inEach("a session that ends is told, what was open stays, and who is back is not disturbed", ["alone"], async ({ agent, amazon, visit, page }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  await agent.record(call.id);
  await amazon.session(false, "expired");
  const told = agent.desk.getByText("You are not signed in to Amazon Connect");
  await told.waitFor();
  await agent.record(call.id);
  const opens = page.context().waitForEvent("page");
  await agent.button("Sign in to Amazon Connect").click();
  await (await opens).getByRole("button", { name: "Sign in" }).click();
  // What a browser with a screen does when the agent comes back from the tab.
  const comeBack = () => page.evaluate(() => window.dispatchEvent(new Event("focus")));
  await comeBack();
  await told.waitFor({ state: "detached" });
  await agent.panel.getByRole("button", { name: "End" }).waitFor();
  // From now on the control panel is left as it is.
  let loads = 0;
  page.on("framenavigated", (frame) => (loads += frame.url().includes("/ccp-v2/") ? 1 : 0));
  await comeBack();
  await agent.press("End", call);
  await agent.press("Close contact", call);
  await agent.desk.getByText("No contact.").waitFor();
  assert.equal(loads, 0);
  withoutRefusals(visit);
});

inEach("outside of the workspace its address says so", ["workspace"], async ({ agent, system, page }) => {
  await page.goto(`${system.agentPage}/index.html?host=workspace`);
  await page.getByText("This address is for the Amazon Connect agent workspace, which does not answer here.").waitFor();
  await page.getByText("No contact.").waitFor();
  assert.ok(agent);
});

inEach("outside of Dynamics its address says so, and the control panel is there", ["dynamics"], async ({ system, page, amazon, visit }) => {
  await amazon.dynamics("signed-in", false);
  try {
    await page.goto(`${system.agentPage}/index.html?host=dynamics`);
    await page.getByText("Dynamics does not give this panel what it needs to open records").waitFor();
    await page.frameLocator('iframe[title="Amazon Connect control panel"]').getByLabel("Agent", { exact: true }).waitFor();
  } finally {
    await amazon.dynamics("signed-in", true);
    withoutRefusals(visit);
  }
});

inEach("an address with a host that there is not says which there are", ["alone"], async ({ system, page }) => {
  await page.goto(`${system.agentPage}/index.html?host=teams`);
  await page.getByText("There is no host “teams”.").waitFor();
});
