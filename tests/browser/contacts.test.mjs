// What became of contacts: found, explained, delivered again, shown when somebody asks, and forgotten.

import assert from "node:assert/strict";

import { begin, consoleTests, document, picture, publish, saveDocument } from "./harness.mjs";
import { call as flowCalls } from "./pages.mjs";

const { system, it } = consoleTests();

/** A call that a flow tells of. */
const call = (number, how) => flowCalls(system, number, how);

const callsOf = async (number) => (await system.records("phonecalls")).filter((record) => record.phonenumber === number);
const state = (page) => page.locator("h1 .badge").textContent();

it("tells which privilege a contact waits for", async (visit) => {
  const { page } = visit;
  await system.missPrivilege("prvCreateActivity");
  const contact = await call("+15555550111");
  await visit.go(`/contacts/${contact}`);
  assert.equal(await state(page), "pending");
  const request = page.locator(".contacts-request.pending");
  assert.match(await request.innerText(), /prvCreateActivity[^]*What to do: [^]*security role/);
  assert.match(await request.innerText(), /Tried in vain 1 time.*next try/);
  assert.match(await page.locator(".contacts-facts").innerText(), /Looked at again/);
  assert.equal(await page.getByRole("button", { name: "Deliver again" }).count(), 0, "nothing is to be done here");
  assert.deepEqual(await callsOf("+15555550111"), []);
  await visit.go("/doctor?wait=1");
  assert.match(await page.locator("main").innerText(), /prvCreateActivity/);
  await system.missPrivilege(null);
});

it("tells why a contact has failed and what to do, and delivers it again once that is done", async (visit) => {
  const { page } = visit;
  await system.missPrivilege("prvReadContact");
  const contact = await call("+15555550122");
  await visit.go("/contacts?state=failed");
  await page.getByRole("row").filter({ hasText: contact }).getByRole("link").click();
  await page.waitForURL(`**/contacts/${contact}`);
  assert.equal(await state(page), "failed");
  const failed = page.locator(".contacts-request.failed").filter({ hasText: "Look-up of the customer" });
  assert.match(await failed.innerText(), /prvReadContact[^]*What to do: [^]*security role/);
  await page.locator(".contacts-request.delivered").getByText("phonecall").first().waitFor();
  await picture(page, "console-timeline");

  // As long as nobody gives it, it fails again.
  await page.getByRole("button", { name: "Deliver again" }).click();
  await page.getByText("has failed again. The reason is below.").waitFor();
  await system.missPrivilege(null);
  await page.getByRole("button", { name: "Deliver again" }).click();
  await page.getByText("everything of it is done.").waitFor();
  assert.equal(await state(page), "delivered");
  assert.equal(await page.locator(".contacts-request.failed").count(), 0);
  assert.equal((await callsOf("+15555550122")).length, 1, "there is one record of it");
  assert.equal(await page.getByRole("button", { name: "Deliver again" }).count(), 0);
});

it("makes the record of a failed contact when it is delivered again", async (visit) => {
  const { page } = visit;
  // A value that is longer than its column.
  const fault = { method: "POST", path: "phonecalls", effect: { status: { status: 400, code: "0x80044331" } } };
  const numbers = ["+15555550131", "+15555550132", "+15555550133"];
  const contacts = [];
  for (const number of numbers) {
    await system.fault(fault);
    contacts.push(await call(number));
    assert.deepEqual(await callsOf(number), []);
  }
  await visit.go("/");
  await page.getByText(/3 contacts have failed\./).waitFor();
  await page.getByRole("link", { name: "Look at them" }).click();
  await page.waitForURL("**/contacts?state=failed");
  await picture(page, "console-contacts");

  await page.getByRole("link", { name: "Voice" }).first().click();
  assert.match(await page.locator(".contacts-request.failed").innerText(), /A value is longer than its column in Dynamics allows\.[^]*What to do:/);
  const first = await page.locator("h1 + p code").textContent();
  assert.ok(contacts.includes(first));
  await page.getByRole("button", { name: "Deliver again" }).click();
  await page.getByText("everything of it is done.").waitFor();
  assert.equal((await callsOf(numbers[contacts.indexOf(first)])).length, 1);

  // The others from the list: one that is chosen, then all of the page.
  await visit.go("/contacts?state=failed");
  const rest = contacts.filter((contact) => contact !== first);
  await page.getByLabel(`Choose contact ${rest[0]}`).check();
  await page.getByRole("button", { name: "Deliver the chosen again" }).click();
  await page.getByText("1 of 1 contact delivered.").waitFor();
  assert.equal((await callsOf(numbers[contacts.indexOf(rest[0])])).length, 1);
  assert.deepEqual(await callsOf(numbers[contacts.indexOf(rest[1])]), []);
  await visit.go("/contacts?state=failed");
  assert.equal(await page.getByRole("link", { name: "Voice" }).count(), 1);
  await page.getByRole("button", { name: "Deliver the chosen again" }).click();
  await page.getByText("No contact was chosen, so nothing was done.").waitFor();
  await visit.go(`/contacts/${rest[1]}`);
  await page.getByRole("button", { name: "Deliver again" }).click();
  await page.getByText("everything of it is done.").waitFor();
  await visit.go("/contacts?state=failed");
  await page.getByRole("heading", { name: "Nothing was found so far" }).waitFor();
});

it("finds contacts by their number, their record, their id, their state and their day", async (visit) => {
  const { page } = visit;
  // The record of a call has the contact's id; a task besides has one of its own.
  await begin(visit, "tasks");
  const configuration = await document(visit, "tasks");
  const start = configuration.steps["contact-start"];
  const task = { name: "task", method: "POST", entitySet: "tasks", body: { subject: "Of {{ CustomerEndpoint }}" } };
  start.requests = [{ name: "call", main: true, ...start.request }, task];
  delete start.request;
  await saveDocument(visit, "tasks", configuration);
  await publish(visit, "tasks");
  const one = await call("+15555550141", { integration: "tasks" });
  await call("+15555550142");
  const [{ activityid: record }] = await system.records("tasks");
  assert.notEqual(record, one);
  const shown = async () => page.locator("tbody .contacts-id").allTextContents();
  const find = async (text) => {
    await visit.go("/contacts");
    await page.getByLabel("Find").fill(text);
    await page.getByRole("button", { name: "Show", exact: true }).click();
    await page.waitForURL((url) => url.searchParams.has("q") || url.pathname !== "/contacts");
  };
  for (const text of ["+15555550141", "+1 555 555-0141", record]) {
    await find(text);
    assert.deepEqual(await shown(), [one], text);
  }
  await find(one);
  await page.waitForURL(`**/contacts/${one}`);
  await find("+15555550149");
  await page.getByRole("heading", { name: "Nothing was found so far" }).waitFor();

  await visit.go("/contacts");
  const all = (await shown()).length;
  assert.ok(all >= 2);
  const today = new Date().toISOString().slice(0, 10);
  await page.getByLabel("Day (UTC)").fill(today);
  await page.getByLabel("State").selectOption("delivered");
  await page.getByLabel("Integration", { exact: true }).selectOption("tasks");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.waitForURL(`**day=${today}*`);
  assert.deepEqual(await shown(), [one]);
  assert.equal(await page.getByLabel("State").inputValue(), "delivered", "what was chosen stays chosen");
  await page.getByLabel("Day (UTC)").fill("2020-01-01");
  await page.getByRole("button", { name: "Show", exact: true }).click();
  await page.getByRole("heading", { name: "No contact is like this" }).waitFor();
  await page.getByRole("link", { name: "Show all", exact: true }).click();
  assert.equal((await shown()).length, all);
});

it("hides what was said of a contact until somebody asks", async (visit) => {
  const { page } = visit;
  const contact = await call("+15555550151", { attributes: { note: "a matter of the customer's own" } });
  await visit.go(`/contacts/${contact}`);
  for (const details of await page.locator("details").all()) await details.evaluate((it) => (it.open = true));
  const before = await page.content();
  for (const value of ["a matter of the customer's own", "a matter of the customer&#39;s own", "en-US"]) {
    assert.ok(!before.replace('lang="en"', "").includes(value), value);
  }
  assert.match(before, /Their values are hidden/);
  assert.ok(before.includes("note"), "the names are shown");
  await page.getByRole("button", { name: "Show values" }).click();
  await page.getByText("Values are shown.").waitFor();
  await page.locator("pre").getByText("a matter of the customer's own").first().waitFor();
  await page.getByRole("link", { name: "Hide values" }).click();
  assert.ok(!(await page.content()).includes("a matter of the customer"));
});

it("forgets a contact, and all contacts of a number, while Dynamics keeps its records", async (visit) => {
  const { page } = visit;
  visit.expect(404);
  const one = await call("+15555550161");
  const others = [await call("+15555550162"), await call("+15555550162")];
  const records = (await system.records("phonecalls")).length;
  await visit.go(`/contacts/${one}`);
  await page.getByRole("link", { name: "Forget this contact" }).click();
  await page.getByRole("link", { name: "Keep it" }).click();
  await page.getByRole("link", { name: "Forget this contact" }).click();
  const [{ activityid: record }] = await callsOf("+15555550161");
  const stays = page.getByRole("link", { name: record });
  await stays.waitFor();
  await page.getByRole("button", { name: "Forget the contact for good" }).click();
  await page.getByText("1 contact forgotten.").waitFor();
  await stays.waitFor();
  assert.equal((await visit.go(`/contacts/${one}`)).status(), 404);

  await visit.go("/contacts");
  await page.getByRole("link", { name: "Forget a customer" }).click();
  await page.getByLabel("The customer's number or address").fill("+1 (555) 555-0162");
  await page.getByRole("button", { name: "Look for contacts" }).click();
  await page.getByRole("button", { name: "Forget 2 contacts for good" }).click();
  await page.getByText("2 contacts forgotten.").waitFor();
  for (const other of others) assert.equal((await visit.go(`/contacts/${other}`)).status(), 404);
  assert.equal((await system.records("phonecalls")).length, records);
  await visit.go("/contacts/forget?number=%2B15555550162");
  await page.getByRole("heading", { name: "No contact has this number" }).waitFor();
});
