// The agent's page, in each of its hosts: the record opens when a contact is answered, and stays as long as it should.

import assert from "node:assert/strict";
import { ALL, agentTests } from "./desk.mjs";
import { picture, until } from "./harness.mjs";

const { inEach } = agentTests();
const CALL = { kind: "call", number: "+15555550100" };
const only = (...hosts) => ALL.filter((host) => hosts.includes(host));

inEach("a call is answered: its record is open; it ends: the record is whole", ALL, async ({ agent, amazon, system, page, host }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  const record = await agent.record(call.id);
  await record.getByRole("heading", { name: "Call from Ada Example" }).first().waitFor();
  await picture(page, `agent-${host}`);
  await agent.press("End", call);
  await agent.press("Close contact", call);
  await until("the record is complete", async () => {
    const held = (await system.records("phonecalls")).find((it) => it.activityid === call.id);
    return held?.category === "answered" && held.actualdurationminutes !== undefined && String(held.description).startsWith("Recording: ");
  });
  if (host !== "dynamics") await agent.recordIsNotOpen(call.id);
});

inEach("nothing opens while it rings, nor for a contact that is missed", only("alone", "dynamics"), async ({ agent, amazon }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.words.getByText("Its record opens when the contact is connected.").waitFor();
  await agent.recordIsNotOpen(call.id);
  await amazon.act(call, "miss", { asError: true });
  await agent.desk.getByText("No contact. When one is connected, its record opens").waitFor();
  await agent.recordIsNotOpen(call.id);
});

for (const [what, contact, actions] of [
  ["a chat", { kind: "chat", name: "Ada" }, ["accept"]],
  ["a task", { kind: "task", name: "Send the contract" }, ["accept"]],
  ["an e-mail", { kind: "email", address: "ada@customer.example.com", name: "Where is my order?" }, ["accept"]],
  ["a callback", { kind: "callback", number: "+15555550100" }, ["accept", "customerAnswers"]],
  ["a call that was transferred here", { ...CALL, isTransferred: true }, ["accept"]],
]) {
  inEach(`${what} opens its record`, ALL, async ({ agent, amazon }) => {
    await agent.open();
    const come = await amazon.comes(contact);
    for (const action of actions) {
      const { actions: possible } = await amazon.contact(come);
      if (possible.includes(action)) await amazon.act(come, action);
    }
    await agent.record(come.id);
  });
}

inEach("a call that the agent makes opens its record when the customer answers", ALL, async ({ agent, amazon }) => {
  await agent.open();
  await agent.panel.getByLabel("Number to call").fill("+15555550100");
  await agent.press("Call");
  const call = await until("the call is there", async () => (await amazon.contacts()).find(({ state }) => state === "connecting"));
  await amazon.act(call, "customerAnswers");
  await agent.record(call.id);
});

inEach("of several chats each has its record, and the one is shown that the agent selects", ALL, async ({ agent, amazon, page, host }) => {
  await agent.open();
  const chats = [];
  for (const name of ["Ada", "Grace"]) {
    const chat = await amazon.comes({ kind: "chat", name });
    chats.push(chat);
    await agent.press("Accept", chat);
    await amazon.act(chat, "select");
    await agent.record(chat.id);
  }
  const shown = async ({ id }) => {
    if (host === "dynamics") return page.frames().some((frame) => frame.url().includes(id));
    const frame = page.frames().find((it) => it.url().includes(`id=${id}`));
    return frame !== undefined && (await (await frame.frameElement()).isVisible());
  };
  for (const [selected, other] of [[0, 1], [1, 0]]) {
    await amazon.act(chats[selected], "select");
    await until("the selected chat's record is shown", () => shown(chats[selected]));
    await until("the other is not", async () => !(await shown(chats[other])));
  }
});

inEach("a contact that is transferred away takes its record with it", only("alone", "workspace"), async ({ agent, amazon }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  await agent.record(call.id);
  await agent.press("Transfer", call);
  await amazon.act(call, "clear");
  await agent.recordIsNotOpen(call.id);
});

inEach("a record in which the agent has written stays until they close it", only("alone"), async ({ agent, amazon, visit }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  const record = await agent.record(call.id);
  await agent.write(record, "They want the blue one");
  await agent.press("End", call);
  await agent.press("Close contact", call);
  await agent.words.getByText("The contact is over. Its record stays open, as you have been in it.").waitFor();
  await agent.button("Close the record").click();
  await agent.words.getByText("What you have not saved there is lost when it is closed.").waitFor();
  await agent.button("Keep it open").click();
  assert.equal(await record.getByLabel("Subject", { exact: true }).inputValue(), "They want the blue one");
  // The next contact does not take it away either.
  const next = await amazon.comes({ ...CALL, number: "+15555550101" });
  await agent.press("Accept", next);
  await agent.record(next.id);
  await agent.desk.getByRole("tab", { name: /Ada Example/ }).first().click();
  assert.equal(await record.getByLabel("Subject", { exact: true }).inputValue(), "They want the blue one");
  await agent.button("Close the record").click();
  await agent.button("Close it").click();
  await agent.recordIsNotOpen(call.id);
});

inEach("what the agent has written is there when they come back from a tab to the frame", only("alone", "workspace"), async ({ agent, amazon, page }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  const record = await agent.record(call.id);
  await agent.write(record, "They want the blue one");
  const opens = page.context().waitForEvent("page");
  await agent.button("Open in a tab").click();
  await (await opens).close();
  await agent.button("Show it here").click();
  await agent.button("Open in a tab").waitFor();
  assert.equal(await record.getByLabel("Subject", { exact: true }).inputValue(), "They want the blue one");
});

inEach("another page for the contact is offered, and not taken, when the agent is in the first", only("alone", "workspace"), async ({ agent, amazon, system }) => {
  await agent.open();
  const call = await amazon.comes(CALL);
  await agent.press("Accept", call);
  const record = await agent.record(call.id);
  await record.getByLabel("Subject", { exact: true }).click();
  // What the whisper flow sets would come over it.
  await until("the whisper flow has run", async () => (await amazon.contact(call)).steps["contact-answered"]);
  const other = `${system.dataverse}/main.aspx?pagetype=search&searchText=other`;
  await amazon.setAttributes(call, { screenPopUrl: other });
  await agent.words.getByText("Another page has been given for this contact.").waitFor();
  await agent.button("Stay").click();
  await agent.record(call.id);
  await amazon.setAttributes(call, { screenPopUrl: `${other}2` });
  await agent.button("Open the other page").click();
  await agent.record("searchText=other2");
});

inEach("a form with changes is left when the agent says so, and stays when they do not", only("dynamics"), async ({ agent, amazon, page }) => {
  await agent.open();
  const first = await amazon.comes(CALL);
  await agent.press("Accept", first);
  await agent.write(await agent.record(first.id), "They want the blue one");
  await agent.press("End", first);
  await agent.press("Close contact", first);
  const next = await amazon.comes({ ...CALL, number: "+15555550101" });
  await agent.press("Accept", next);
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  await dialog.getByRole("button", { name: "Stay on this page" }).click();
  await agent.words.getByText("The record is not open:").waitFor();
  assert.equal(await (await agent.record(first.id)).getByLabel("Subject", { exact: true }).inputValue(), "They want the blue one");
  await agent.button("Open the record").click();
  await page.getByRole("dialog").getByRole("button", { name: "Discard changes" }).click();
  await agent.record(next.id);
});

inEach("a number on a form is called at a click", only("dynamics"), async ({ agent, amazon, system, page, visit }) => {
  const [customer] = await system.records("contacts");
  const clickNumber = async () => {
    const area = await until("Dynamics is there", () => page.frames().find((frame) => frame.url().startsWith(`${system.dataverse}/main.aspx`)));
    await area.goto(`${system.dataverse}/main.aspx?pagetype=entityrecord&etn=contact&id=${customer.contactid}`);
    await area.getByRole("link", { name: /^Call / }).first().click();
  };
  await agent.open();
  await clickNumber();
  const call = await until("the call is there", async () => (await amazon.contacts()).find(({ initiationMethod, state }) => initiationMethod === "OUTBOUND" && state === "connecting"));
  assert.match(call.address, /^\+1555555/);
  await amazon.act(call, "customerAnswers");
  await agent.record(call.id);
  await amazon.act(call, "hangUp");
  await amazon.act(call, "clear");
  // And when Amazon Connect will not.
  visit.expect(400);
  await amazon.dialError({ type: "InvalidStateException", message: "The agent is on a call." });
  await clickNumber();
  await agent.desk.getByText(/ is not called: The agent is on a call\./).waitFor();
  await agent.button("OK").click();
  await agent.desk.getByText(/ is not called: /).waitFor({ state: "detached" });
});
