// The pages of the steps: what is added, moved, removed and switched, and what the document says then.

import assert from "node:assert/strict";

import { begin, consoleTests, document, line, placeTestContact, publish, saveDocument, until } from "./harness.mjs";

const { system, it } = consoleTests({ empty: true });

const step = (name, step) => `/integrations/${name}/steps/${step}`;
const requests = (page) => page.locator("[data-requests] > .request");
const lines = (page, request = 0) => requests(page).nth(request).locator("[data-rows] > [data-row]");

async function save({ page }) {
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved in the draft.").waitFor();
}

/** What the draft says of a step. */
const saidOf = async (visit, name, which) => (await document(visit, name)).steps[which];

it("adds, moves and removes requests, and each keeps what was filled in", async (visit) => {
  const { page } = visit;
  await begin(visit, "requests");
  const before = await saidOf(visit, "requests", "contact-start");
  await visit.go(step("requests", "contact-start"));
  const fill = async (request, name, when, table, column, value) => {
    const at = requests(page).nth(request);
    await at.getByText("Condition and name").evaluate((summary) => (summary.parentElement.open = true));
    await at.getByLabel("Name", { exact: true }).fill(name);
    await at.getByLabel("Only when").fill(when);
    if (!table) return;
    await at.getByLabel("Table").fill(table);
    await lines(page, request).first().getByLabel("Column").fill(column);
    await lines(page, request).first().locator("textarea").fill(value);
  };
  await page.getByRole("button", { name: "Add a request" }).click();
  assert.ok(await requests(page).nth(1).getByLabel("Method").evaluate((select) => select === document.activeElement), "one goes on there");
  await page.getByRole("button", { name: "Add a request" }).click();
  await fill(0, "call", "", "");
  await requests(page).nth(0).getByLabel("This is the step's main request").check();
  await fill(1, "task", "Channel == 'VOICE'", "tasks", "subject", "Of {{ Responses.call.subject }}");
  await fill(2, "note", "Channel == 'CHAT'", "annotations", "subject", "A note");
  await page.locator("[data-preview-content]").getByText('"subject": "Of Call from').first().waitFor();
  await page.locator("[data-preview-content] .sent").filter({ hasText: "not sent" }).waitFor();

  await requests(page).nth(2).getByRole("button", { name: "Move up" }).click();
  assert.ok(await requests(page).nth(0).getByRole("button", { name: "Move up" }).isDisabled());
  assert.ok(await requests(page).nth(2).getByRole("button", { name: "Move down" }).isDisabled());
  await save(visit);
  const call = { name: "call", main: true, ...before.request };
  const note = { name: "note", when: "Channel == 'CHAT'", method: "POST", entitySet: "annotations", body: { subject: "A note" } };
  const task = { name: "task", when: "Channel == 'VOICE'", method: "POST", entitySet: "tasks", body: { subject: "Of {{ Responses.call.subject }}" } };
  let said = await saidOf(visit, "requests", "contact-start");
  assert.deepEqual(said.requests, [call, note, task]);
  assert.equal(said.request, undefined);
  assert.deepEqual(said.customer, before.customer);

  // In Dynamics there is then a task, and no note.
  await publish(visit, "requests");
  await placeTestContact(visit, "requests");
  await page.getByText("Everything was delivered.").waitFor();
  const [{ subject }] = await system.records("tasks");
  assert.equal(subject, "Of Call from Ada Example");
  assert.deepEqual(await system.records("annotations"), []);

  await visit.go(step("requests", "contact-start"));
  await requests(page).nth(1).getByRole("button", { name: "Remove this request" }).click();
  await requests(page).nth(1).getByRole("button", { name: "Move up" }).click();
  await save(visit);
  said = await saidOf(visit, "requests", "contact-start");
  assert.deepEqual(said.requests, [task, call]);
});

it("shows an error beside the request that it is of, also when that has been moved", async (visit) => {
  const { page } = visit;
  await begin(visit, "moved");
  await visit.go(step("moved", "contact-end"));
  await page.getByRole("button", { name: "Add a request" }).click();
  await lines(page, 1).first().getByLabel("Column").fill("subject");
  await lines(page, 1).first().locator("textarea").fill("{{ x | nothing }}");
  await lines(page, 1).first().locator(".error").waitFor();
  await requests(page).nth(1).getByRole("button", { name: "Move up" }).click();
  await lines(page, 0).first().locator(".error").waitFor();
  assert.equal(await lines(page, 1).locator(".error").count(), 0);
  await requests(page).nth(0).getByRole("button", { name: "Remove this request" }).click();
  await page.locator("[data-preview-status]").getByText("The preview is up to date.").waitFor({ state: "attached" });
  await page.waitForFunction(() => !document.querySelector("#wizard .error"));
});

it("adds and removes fields, and edits them as text and back", async (visit) => {
  const { page } = visit;
  await begin(visit, "fields");
  const { body } = (await saidOf(visit, "fields", "contact-start")).request;
  await visit.go(step("fields", "contact-start"));
  await (await line(page, "from")).getByRole("button", { name: "Remove from" }).click();
  await page.getByRole("button", { name: "Add a field" }).click();
  await page.keyboard.type("prioritycode");
  await lines(page).last().locator("textarea").fill("2");
  await lines(page).last().locator("select").selectOption("json");
  await page.locator("[data-preview-content]").getByText('"prioritycode": 2').first().waitFor();
  await save(visit);
  const { from, ...rest } = body;
  assert.ok(from);
  const expected = { ...rest, prioritycode: 2 };
  assert.deepEqual((await saidOf(visit, "fields", "contact-start")).request.body, expected);

  await visit.go(step("fields", "contact-start"));
  await page.getByRole("button", { name: "Edit as text" }).click();
  const text = page.locator("#f-r0-body-text");
  assert.deepEqual(JSON.parse(await text.inputValue()), expected);
  assert.ok(await text.evaluate((area) => area === document.activeElement));
  // What is no object stays text, and says so.
  await text.fill('{"subject": ');
  await page.getByRole("button", { name: "Edit as fields" }).click();
  await page.getByText("Only a JSON object can be edited as fields").waitFor();
  await text.fill('{"subject": "As text", "scheduledstart": "{{ InitiationTimestamp }}", "deep": {"a": [1, "b"]}}');
  await page.getByRole("button", { name: "Edit as fields" }).click();
  assert.equal(await lines(page).count(), 3);
  assert.equal(await (await line(page, "deep")).locator("select").inputValue(), "json");
  await (await line(page, "deep")).getByRole("button").click();
  await save(visit);
  assert.deepEqual((await saidOf(visit, "fields", "contact-start")).request.body, { subject: "As text", scheduledstart: "{{ InitiationTimestamp }}" });

  // A text that is no object yet is said to be wrong, and kept as it is.
  await visit.go(step("fields", "contact-start"));
  await page.getByRole("button", { name: "Edit as text" }).click();
  const unfinished = '{"subject": "{{ CustomerEndpoint }}", ';
  await text.fill(unfinished);
  await page.locator("#f-r0-body-text-says .error").first().waitFor();
  await save(visit);
  assert.equal((await saidOf(visit, "fields", "contact-start")).request.body, unfinished);
  await visit.go(step("fields", "contact-start"));
  assert.equal(await text.inputValue(), unfinished);
});

it("keeps a step's content while it is switched off", async (visit) => {
  const { page } = visit;
  await begin(visit, "switched");
  const before = await document(visit, "switched");
  await visit.go(step("switched", "contact-end"));
  await page.getByLabel("Do this step").uncheck();
  await page.getByText("The step is left out: nothing of this is sent.").waitFor();
  await save(visit);
  const side = page.getByRole("navigation", { name: "Steps of switched" });
  assert.equal(await side.getByRole("link", { name: /A contact ends/ }).locator(".badge").textContent(), "left out");
  const { "contact-end": gone, ...others } = before.steps;
  assert.ok(gone);
  assert.deepEqual((await document(visit, "switched")).steps, others);
  await visit.go(step("switched", "contact-end"));
  await line(page, "actualend");
  await page.getByLabel("Do this step").check();
  await save(visit);
  assert.deepEqual(await document(visit, "switched"), before);
  assert.deepEqual(Object.keys((await document(visit, "switched")).steps), Object.keys(before.steps));
});

it("opens the agent's page where and as it is wanted", async (visit) => {
  const { page } = visit;
  await begin(visit, "page");
  const pop = async () => (await saidOf(visit, "page", "contact-answered")).screenPop;
  assert.deepEqual(await pop(), { open: ["record"], target: "embedded" });
  const agents = page.locator("[data-preview-content] .sent").filter({ hasText: "The agent's page" });
  await visit.go(step("page", "contact-answered"));
  await agents.getByText("embedded").waitFor();
  await page.getByLabel("In a new tab").check();
  await page.getByLabel("the customer who was found").check();
  await agents.getByText("etn=contact").waitFor();
  await agents.locator(".badge", { hasText: /^tab$/ }).waitFor();
  await save(visit);
  assert.deepEqual(await pop(), { open: ["customer", "record"], target: "tab" });

  await visit.go(step("page", "contact-answered"));
  await page.getByLabel("the customer who was found").uncheck();
  await page.getByLabel("the contact's record").uncheck();
  await page.getByLabel("Otherwise, the page with this query string").fill('{"pagetype": "entityrecord", "etn": "phonecall", "id": "{{STEP2-Response.activityid}}"}');
  await agents.getByText("etn=phonecall").waitFor();
  await save(visit);
  assert.deepEqual(await pop(), { queryString: { pagetype: "entityrecord", etn: "phonecall", id: "{{STEP2-Response.activityid}}" }, target: "tab" });

  await visit.go(step("page", "contact-answered"));
  await page.getByLabel("Open a page for the agent").uncheck();
  await save(visit);
  assert.equal(await pop(), undefined);

  // Another order, which only the document can say, is shown and stays.
  const configuration = await document(visit, "page");
  configuration.steps["contact-answered"].screenPop = { open: ["record", "customer"] };
  await saveDocument(visit, "page", configuration);
  await visit.go(step("page", "contact-answered"));
  const ticks = page.getByRole("group", { name: "What" }).getByRole("checkbox");
  assert.deepEqual(await ticks.evaluateAll((all) => all.map((tick) => tick.name)), ["pop.open.record", "pop.open.customer", "pop.open.search"]);
  await page.getByLabel("the search").check();
  await save(visit);
  assert.deepEqual((await pop()).open, ["record", "customer", "search"]);
});

it("chooses which objects trigger the recording's step", async (visit) => {
  const { page } = visit;
  await begin(visit, "kinds");
  await visit.go(step("kinds", "recording-available"));
  assert.ok(await page.getByLabel("Call recordings", { exact: true }).isChecked());
  await page.getByLabel("Chat transcripts", { exact: true }).uncheck();
  await page.getByLabel("Contact Lens analyses", { exact: true }).check();
  await page.getByLabel("Screen recordings").check();
  await save(visit);
  assert.deepEqual((await saidOf(visit, "kinds", "recording-available")).objectKinds, ["recording", "analysis", "screen-recording"]);
  await visit.go(step("kinds", "recording-available"));
  assert.deepEqual(await page.locator("fieldset.card input:checked").evaluateAll((all) => all.map((input) => input.name)), ["kind.recording", "kind.analysis", "kind.screen-recording"]);
});

it("makes the customer whom nobody knows", async (visit) => {
  const { page } = visit;
  await begin(visit, "customers");
  await visit.go(step("customers", "contact-start"));
  await page.getByLabel("When nobody is found").selectOption("create");
  await page.getByLabel("Table of the new customer").fill("leads");
  const editor = page.locator('[data-body="customer.new"]');
  await editor.getByRole("button", { name: "Add a field" }).click();
  await page.keyboard.type("lastname");
  await editor.locator("[data-rows] textarea").last().fill("Caller {{ CustomerEndpoint }}");
  await page.getByLabel("When several are found").selectOption("orderby");
  await page.getByLabel("Order", { exact: true }).fill("modifiedon desc");
  await page.getByLabel("Customers found").selectOption("nobody");
  await page.locator("[data-preview-content]").getByText('"lastname": "Caller +15555550100"').first().waitFor();
  await save(visit);
  const { customer } = await saidOf(visit, "customers", "contact-start");
  assert.deepEqual(customer.none, { create: { entitySet: "leads", body: { lastname: "Caller {{ CustomerEndpoint }}" } } });
  assert.deepEqual(customer.many, { orderby: "modifiedon desc" });

  await publish(visit, "customers");
  await placeTestContact(visit, "customers", { customer: "+15555550177" });
  const leads = await until("the lead is made", async () => {
    const leads = await system.records("leads");
    return leads.length && leads;
  });
  assert.deepEqual(leads.map(({ lastname }) => lastname), ["Caller +15555550177"]);
});

it("sends one request when that is confirmed, and what follows is shown with Dynamics' answer", async (visit) => {
  const { page } = visit;
  await begin(visit, "sent");
  await visit.go(step("sent", "contact-start"));
  const before = (await system.records("phonecalls")).length;
  const button = page.locator('[data-send="contact-start"]');
  visit.dialogs.push(false);
  await button.click();
  assert.equal((await system.records("phonecalls")).length, before, "not without a yes");
  visit.dialogs.push(true, true);
  await page.locator('[data-send="contact-start#customer"]').click();
  await page.locator(".sent").first().locator("[data-told] .notice").waitFor();
  await page.locator("[data-send=contact-start]").click();
  await page.locator(".sent").nth(1).locator("[data-told] .notice").waitFor();
  assert.match(visit.dialogsSeen[2], /This writes to http.*Send it\?/);
  const calls = await system.records("phonecalls");
  assert.equal(calls.length, before + 1);
  await page.getByText("What Dynamics has answered").nth(1).waitFor();
});
