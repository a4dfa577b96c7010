// What an operator does wrong, or two operators at the same time: what the console says, and that nothing is lost.

import assert from "node:assert/strict";

import { begin, consoleTests, document, line, publish, saveDocument } from "./harness.mjs";

const { system, it } = consoleTests({ empty: true });

const START = (name) => `/integrations/${name}/steps/contact-start`;
const save = (page) => page.getByRole("button", { name: "Save", exact: true }).click();
const valueOf = async (page, column) => (await line(page, column)).locator("textarea");
const saidOf = async (page, column) => (await line(page, column)).locator("[data-says]");

it("tells of each wrong value of a connection what to do about it", async (visit) => {
  const { page } = visit;
  await begin(visit, "connection");
  const result = page.locator("#connection-test");
  const test = async () => {
    await page.getByRole("button", { name: "Test connection" }).click();
    await result.locator(".notice").waitFor();
    return (await result.innerText()).replaceAll("\n", " ");
  };
  for (const [label, wrong, step, fix] of [
    ["Directory (tenant) id", "b0c1d2e3-0000-4000-8000-00000000dead", "Entra ID gives a token failed", /What to do: Compare connection\.tenantId with the Directory \(tenant\) ID/],
    ["Application (client) id", "c0c1d2e3-0000-4000-8000-00000000dead", "Entra ID gives a token failed", /What to do: Compare connection\.clientId, c0c1d2e3-0000-4000-8000-00000000dead/],
    ["Environment URI", "http://127.0.0.1:9", "The environment takes it failed", /127\.0\.0\.1:9 cannot be reached.* What to do: Compare connection\.environmentUri/],
    ["Environment URI", system.entra, "The environment takes it failed", /What to do: .*Compare connection\.environmentUri/],
  ]) {
    const field = page.getByLabel(label, { exact: true });
    const right = await field.inputValue();
    await field.fill(wrong);
    const told = await test();
    assert.match(told, /The connection does not work yet/, label);
    assert.ok(told.includes(step), `${label}: ${told}`);
    assert.match(told, fix, label);
    await field.fill(right);
  }
  await page.getByLabel("Directory (tenant) id").fill("");
  assert.match(await test(), /The connection cannot be tried yet.*tenantId: /);
  await page.getByLabel("Directory (tenant) id").fill("b0c1d2e3-0000-4000-8000-00000000b001");
  // A token for one environment is sent to no other host.
  const scope = await page.getByLabel("Scope", { exact: true }).inputValue();
  await page.getByLabel("Scope", { exact: true }).fill("https://other.crm.dynamics.com/.default");
  assert.match(await test(), /scope: it asks for a token for other\.crm\.dynamics\.com, which would be sent to 127\.0\.0\.1/i);
  await page.getByLabel("Scope", { exact: true }).fill(scope);
  assert.match(await test(), /The connection works/);
});

it("puts a client secret away, and shows it nowhere again", async (visit) => {
  const { page } = visit;
  const secret = "wrong~secret.that-nobody-may-see";
  await begin(visit, "secret");
  await page.getByLabel("Secret", { exact: true }).fill("browser/another-secret");
  await save(page);
  await page.getByText("There is no such secret yet").waitFor();
  await page.getByLabel("Value", { exact: true }).fill(secret);
  await page.getByLabel("The day it ends").fill("2031-05-31");
  await page.getByRole("button", { name: "Put it into Secrets Manager" }).click();
  await page.getByText("It holds a client secret, which ends on 2031-05-31.").waitFor();
  assert.equal(await page.getByLabel("Value", { exact: true }).inputValue(), "");

  await page.getByRole("button", { name: "Test connection" }).click();
  await page.locator("#connection-test .notice.bad").waitFor();
  assert.match(await page.locator("#connection-test").innerText(), /What to do: Make a new one and put its Value, not its Secret ID, into Secrets Manager/);
  assert.ok(!(await page.content()).includes(secret));
  await publish(visit, "secret");
  for (const address of [
    "/", "/doctor?wait=1", "/contacts", "/integrations/secret/versions", "/integrations/secret/try",
    ...["connection", "steps/contact-start", "settings", "json", "publish"].map((part) => `/integrations/secret/${part}`),
  ]) {
    await visit.go(address);
    assert.ok(!(await page.content()).includes(secret), `${address} does not show the secret`);
  }
  assert.ok(!system.log.some((told) => told.includes(secret)), "nor does the terminal");
});

it("does not take the secret's id for its value", async (visit) => {
  visit.expect(400);
  await begin(visit, "secret-id");
  await visit.page.getByText("Set another one").click();
  await visit.page.getByLabel("Value", { exact: true }).fill("b0c1d2e3-0000-4000-8000-00000000b001");
  await visit.page.getByRole("button", { name: "Put it into Secrets Manager" }).click();
  await visit.page.getByText("This is the client secret's id, and not its value").waitFor();
});

it("keeps what is no JSON as it was typed, and says where it is wrong", async (visit) => {
  const { page } = visit;
  visit.expect(422);
  await begin(visit, "no-json");
  const before = await document(visit, "no-json");
  for (const [typed, told] of [
    ['{\n  "name": "no-json",,\n}', /It is no JSON: .* at line 2 column/],
    ["[1, 2]", /It must be a JSON object/],
    ['{"name": "other"}', /Write "name": "no-json"/],
  ]) {
    await visit.go("/integrations/no-json/json");
    const field = page.getByLabel("Configuration as JSON");
    await field.fill(typed);
    await page.getByRole("button", { name: "Save and review" }).click();
    await page.locator("p.error").waitFor();
    assert.match(await page.locator("p.error").textContent(), told);
    assert.equal(await field.inputValue(), typed);
    assert.equal(await field.getAttribute("aria-invalid"), "true");
  }
  assert.deepEqual(await document(visit, "no-json"), before);
});

it("shows a template's error by line and column beside its field, while the other values stay", async (visit) => {
  const { page } = visit;
  await begin(visit, "template");
  await visit.go(START("template"));
  const number = (await line(page, "phonenumber")).locator("[data-comes]");
  await number.getByText("+15555550100").waitFor();
  const subject = await valueOf(page, "subject");
  await subject.fill("Call\n  {{ CustomerEndpoint | nothing }}");
  await (await saidOf(page, "subject")).getByText(/line 2, column \d+/).waitFor();
  assert.equal(await subject.getAttribute("aria-invalid"), "true");
  assert.equal(await number.textContent(), "+15555550100");
  await page.locator("[data-preview-content].stale").waitFor();
  assert.equal(await (await valueOf(page, "phonenumber")).getAttribute("aria-invalid"), null);
  // Mended, it is as before.
  await subject.fill("Call {{ CustomerEndpoint }}");
  await (await line(page, "subject")).locator("[data-comes]").getByText("Call +15555550100").waitFor();
  assert.equal(await (await saidOf(page, "subject")).textContent(), "");
  assert.equal(await page.locator("[data-preview-content].stale").count(), 0);
  await save(page);
});

it("names the attribute that a misspelt one may be meant for", async (visit) => {
  const { page } = visit;
  await begin(visit, "misspelt");
  await visit.go(START("misspelt"));
  await (await valueOf(page, "subject")).fill("Call {{ CustomerEndpont }}");
  await (await saidOf(page, "subject")).getByText(/did you mean `CustomerEndpoint`/i).waitFor();
  visit.dialogs.push(true);
  await visit.go("/");
  assert.deepEqual(visit.dialogsSeen, ["beforeunload: "]);
});

it("marks the column that Dynamics does not know", async (visit) => {
  const { page } = visit;
  await begin(visit, "unknown-column");
  await visit.go(START("unknown-column"));
  const at = await line(page, "phonenumber");
  await at.locator("[data-column]").fill("phonenumbr");
  await at.locator(".says").getByText(/Dynamics: .*phonenumbr/).waitFor();
  await page.getByText(/would refuse 1 value\. See the fields\./).waitFor();
  assert.ok(await page.locator("datalist#columns-phonecalls option[value=phonenumber]").count(), "its columns are suggested");
  await at.locator("[data-column]").fill("phonenumber");
  await page.getByText(/Checked against the tables of http/).waitFor();
  assert.equal(await at.locator(".says").textContent(), "");
  await save(page);
});

it("says that a column stands twice, and saves nothing of it", async (visit) => {
  const { page } = visit;
  visit.expect(422);
  await begin(visit, "twice");
  const before = await document(visit, "twice");
  await visit.go(START("twice"));
  await page.getByRole("button", { name: "Add a field" }).click();
  await page.keyboard.type("subject");
  const added = page.locator("[data-row]").last();
  await added.locator("textarea").fill("Another subject");
  await added.locator(".says").getByText("This column stands here twice.").waitFor();
  await save(page);
  await page.waitForLoadState();
  await added.locator(".says").getByText("This column stands here twice.").waitFor();
  assert.equal(await added.locator("textarea").inputValue(), "Another subject");
  // What is not saved is not left without a question.
  visit.dialogs.push(true);
  assert.deepEqual(await document(visit, "twice"), before);
  assert.deepEqual(visit.dialogsSeen, ["beforeunload: "]);
});

it("publishes nothing that is wrong, and leads to where it is wrong", async (visit) => {
  const { page } = visit;
  visit.expect(422);
  await begin(visit, "refused");
  const configuration = await document(visit, "refused");
  configuration.steps["contact-end"].request.body.subject = "{{ x | nothing }}";
  configuration.giveUpAfterHours = 0;
  configuration.connection.appId = "none";
  await saveDocument(visit, "refused", configuration);
  const wrong = page.locator(".notice.bad");
  assert.match(await wrong.textContent(), /It cannot be published yet: 3 errors\./);
  assert.ok(await page.getByRole("button", { name: "Publish" }).isDisabled());
  for (const [title, said] of [
    ["Connection", "#f-appId-says .error"],
    ["A contact ends", ".body-row .says .error"],
    ["More settings", "#f-giveUpAfterHours-says .error"],
  ]) {
    await visit.go("/integrations/refused/publish");
    await wrong.getByRole("link", { name: title }).click();
    await page.locator(said).waitFor();
    assert.equal(await page.locator(".stages a[aria-current=step] .badge.bad").textContent(), "1 error");
  }
  // Nor does it get through without the button.
  await visit.go("/integrations/refused/publish");
  const version = await page.locator("[name=version]").inputValue();
  const answer = await post("/integrations/refused/publish", { version });
  assert.equal(answer.status, 422);
  assert.match(await answer.text(), /What is not valid is not published\./);
  await visit.go("/integrations/refused/try");
  await page.getByText("Nothing of this integration is in force yet.").waitFor();
});

const post = (address, form, headers = {}) =>
  fetch(new URL(address, system.origin), {
    method: "POST",
    redirect: "manual",
    headers: { cookie: system.cookie, origin: system.origin, ...headers },
    body: new URLSearchParams(form),
  });

it("keeps what was typed when somebody else has saved the draft meanwhile", async (visit) => {
  const { page } = visit;
  visit.expect(409);
  await begin(visit, "two");
  const other = await visit.another();
  await visit.go(START("two"));
  await visit.go(START("two"), other);
  await (await valueOf(page, "subject")).fill("Theirs");
  await save(page);
  await page.waitForURL("**?saved");
  await (await valueOf(other, "subject")).fill("Mine");
  await save(other);
  await other.getByText("Somebody else has saved this draft meanwhile.").waitFor();
  assert.equal(await (await valueOf(other, "subject")).inputValue(), "Mine");
  assert.equal((await document(visit, "two")).steps["contact-start"].request.body.subject, "Theirs");
  await save(other);
  await other.waitForURL("**?saved");
  assert.equal((await document(visit, "two")).steps["contact-start"].request.body.subject, "Mine");
});

it("lets nobody publish over what was published while they looked", async (visit) => {
  const { page } = visit;
  visit.expect(409);
  await begin(visit, "meanwhile");
  await publish(visit, "meanwhile");
  const change = async (subject) => {
    await visit.go(START("meanwhile"));
    await (await valueOf(page, "subject")).fill(subject);
    await save(page);
    await page.waitForURL("**?saved");
  };
  await change("Seen");
  const other = await visit.another();
  await visit.go("/integrations/meanwhile/publish", other);
  await change("Not seen");
  await other.getByRole("button", { name: "Publish" }).click();
  await other.getByText("has been changed meanwhile").waitFor();
  assert.match(await other.locator(".diff").textContent(), /Not seen/);

  await publish(visit, "meanwhile");
  await other.getByRole("button", { name: "Publish" }).click();
  await other.getByText("has been changed meanwhile").waitFor();
  await visit.go("/integrations/meanwhile/versions");
  assert.equal(await page.getByRole("link", { name: /Look at it/ }).count(), 2);

  // A version that was looked at before is not put over it either.
  await visit.go("/integrations/meanwhile/versions", other);
  await other.getByRole("link", { name: /Look at it/ }).last().click();
  await change("Newest");
  await publish(visit, "meanwhile");
  await other.getByRole("button", { name: "Go back to this version" }).click();
  await other.getByRole("heading", { name: "Somebody else was faster" }).waitFor();
});

it("saves what was changed on the way to another page at the side, and asks before any other page", async (visit) => {
  const { page } = visit;
  await begin(visit, "leaving");
  await visit.go(START("leaving"));
  await (await valueOf(page, "subject")).fill("Changed on the way");
  await page.getByRole("navigation", { name: "Steps of leaving" }).getByRole("link", { name: "More settings" }).click();
  await page.waitForURL("**/leaving/settings");
  await page.getByLabel("Days that a contact is remembered").fill("45");
  await page.getByRole("link", { name: "The whole document as JSON" }).click();
  await page.waitForURL("**/leaving/json");
  const saved = await document(visit, "leaving");
  assert.equal(saved.steps["contact-start"].request.body.subject, "Changed on the way");
  assert.equal(saved.retentionDays, 45);
  // A field that is not touched asks nothing.
  await visit.go(START("leaving"));
  await visit.go("/contacts");
  assert.deepEqual(visit.dialogsSeen, []);
  await visit.go(START("leaving"));
  await (await valueOf(page, "subject")).fill("Not saved");
  visit.dialogs.push(false, true);
  await page.getByRole("link", { name: "Contacts" }).click();
  await page.getByRole("link", { name: "Doctor" }).click();
  await page.waitForURL("**/doctor");
  assert.deepEqual(visit.dialogsSeen, ["beforeunload: ", "beforeunload: "]);
  assert.equal((await document(visit, "leaving")).steps["contact-start"].request.body.subject, "Changed on the way");
});

it("asks before a draft is discarded", async (visit) => {
  const { page } = visit;
  await begin(visit, "discarded");
  await visit.go("/integrations/discarded/publish");
  visit.dialogs.push(false, true);
  await page.getByRole("button", { name: "Discard the draft" }).click();
  assert.match(visit.dialogsSeen[0], /^confirm: Discard the draft\?/);
  await page.getByRole("button", { name: "Discard the draft" }).click();
  await page.waitForURL(`${system.origin}/`);
  assert.equal(await page.getByRole("link", { name: "discarded", exact: true }).count(), 0);
});

it("refuses a name that is none, or that there is", async (visit) => {
  const { page } = visit;
  visit.expect(422);
  await begin(visit, "taken");
  for (const [name, told] of [["a b/c", "It must be 1 to 64 letters"], ["taken", "There is such an integration"], ["", "It must be 1 to 64 letters"]]) {
    await visit.go("/integrations/new");
    await page.locator("#b-chat").check();
    await page.getByLabel("Name", { exact: true }).fill(name);
    await page.getByRole("button", { name: "Begin" }).click();
    await page.getByText(told).waitFor();
    assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), name);
    assert.ok(await page.locator("#b-chat").isChecked(), "what was chosen stays chosen");
  }
});

it("has a page for what there is not", async (visit) => {
  const { page } = visit;
  visit.expect(404, 400);
  for (const address of ["/nothing", "/integrations/nobody/connection", "/integrations/nobody/versions", "/integrations/nobody/steps/nothing", "/contacts/00000000-0000-4000-8000-000000000000"]) {
    const response = await visit.go(address);
    assert.equal(response.status(), 404, address);
    await page.getByRole("heading", { name: "Not found" }).waitFor();
  }
  assert.equal((await visit.go("/contacts/nothing")).status(), 400);
  await page.getByRole("link", { name: "Back to the start" }).click();
  await page.getByRole("heading", { name: "Integrations" }).waitFor();
});
