// From nothing to a recorded contact, without a mouse; and back to an earlier version.

import assert from "node:assert/strict";

import { begin, consoleTests, line, picture, placeTestContact, publish, until } from "./harness.mjs";

const { system, it } = consoleTests({ empty: true });

/** Presses Tab until the focus is on what is looked for. Wherever it comes, the focus must be seen. */
async function tabTo(page, locator, key = "Tab") {
  const goal = await locator.elementHandle();
  for (let pressed = 0; pressed < 150; pressed += 1) {
    await page.keyboard.press(key);
    const at = await page.evaluate((goal) => {
      const element = document.activeElement;
      if (element === document.body) return { isSeen: true };
      const { outlineStyle, outlineWidth } = getComputedStyle(element);
      const box = element.getBoundingClientRect();
      const isInView = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
      const isMarked = outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
      return { html: element.outerHTML.slice(0, 200), isSeen: isMarked && isInView, isThere: element === goal };
    }, goal);
    assert.ok(at.isSeen, `the focus is seen on ${at.html}`);
    if (at.isThere) return;
  }
  assert.fail(`Tab does not reach ${locator}`);
}

async function pressButton(page, name, key) {
  await tabTo(page, page.getByRole("button", { name, exact: true }), key);
  await page.keyboard.press("Enter");
}

async function followLink(page, name) {
  await tabTo(page, page.getByRole("link", { name, exact: true }));
  await page.keyboard.press("Enter");
}

it("leads from an empty system to a recorded contact by keyboard alone", async (visit) => {
  const { page } = visit;
  await visit.go("/");
  assert.deepEqual(await system.records("phonecalls"), []);
  await followLink(page, "Set up an integration");

  await page.waitForURL("**/integrations/new");
  assert.equal(await page.getByLabel("Name", { exact: true }).inputValue(), "default");
  assert.ok(await page.locator("#b-phone-call").isChecked(), "the phone call is where one begins");
  await pressButton(page, "Begin");

  await page.waitForURL("**/default/connection");
  await pressButton(page, "Test connection");
  await page.locator("#connection-test .notice.good").waitFor();
  assert.equal(await page.locator("#connection-test .badge.good").count(), 4);
  await picture(page, "console-connection");
  await pressButton(page, "Save and continue", "Shift+Tab");

  await page.waitForURL("**/steps/contact-start");
  const subject = page.getByLabel("Value of subject");
  await tabTo(page, subject);
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("Ring {{ customerendp");
  const list = page.getByRole("listbox", { name: "Names" });
  await list.getByRole("option", { name: /^CustomerEndpoint / }).waitFor();
  await page.keyboard.press("ArrowDown");
  assert.match(await list.getByRole("option", { selected: true }).textContent(), /^CustomerEndpoint/);
  assert.equal(await subject.getAttribute("aria-activedescendant"), await list.getByRole("option", { selected: true }).getAttribute("id"));
  await page.keyboard.press("Enter");
  assert.equal(await subject.inputValue(), "Ring {{ CustomerEndpoint }}");
  assert.ok(await list.isHidden());
  // What it comes to stands beside it, and in what would be sent.
  await (await line(page, "subject")).locator("[data-comes]").getByText("Ring +15555550100", { exact: true }).waitFor();
  await page.locator("[data-preview-content]").getByText('"subject": "Ring +15555550100"').first().waitFor();
  await picture(page, "console-step");
  await pressButton(page, "Save and continue");

  for (const stage of ["contact-answered", "contact-end", "recording-available", "contact-completed"]) {
    await page.waitForURL(`**/steps/${stage}`);
    await pressButton(page, "Save and continue");
  }
  await page.waitForURL("**/settings");
  await pressButton(page, "Save and continue");

  await page.waitForURL("**/publish");
  assert.equal(await page.locator(".notice.bad, .notice.warn").count(), 0);
  await pressButton(page, "Publish");
  await page.waitForURL("**/versions?published");
  await followLink(page, "Try it with a test contact");
  await page.waitForURL("**/default/try");
  await pressButton(page, "Place the test contact");
  await page.waitForURL("**/try/*");
  await page.locator("#progress .notice.good").waitFor();
  await picture(page, "console-test-contact");
  const contact = await page.locator("h1 + p code").textContent();

  const [call, ...others] = await system.records("phonecalls");
  assert.deepEqual(others, []);
  assert.equal(call.subject, "Ring +15555550100");
  assert.equal(call.phonenumber, "+15555550100");
  assert.ok(call.actualend, "the end of the call is noted");
  const run = page.url();
  await followLink(page, "Its timeline");
  await page.waitForURL(`**/contacts/${contact}`);
  assert.equal(await page.locator("h1 .badge").textContent(), "delivered");
  await page.locator(".contacts-facts").getByText(call.activityid).waitFor();
  assert.equal(await page.locator(".contacts-event").count(), 5);

  await page.goto(run);
  await pressButton(page, "Delete what it has made");
  await page.getByRole("heading", { name: "Cleaned up" }).waitFor();
  assert.deepEqual(await system.records("phonecalls"), []);
  visit.expect(404);
  const response = await visit.go(`/contacts/${contact}`);
  assert.equal(response.status(), 404);
});

it("deletes what a test contact makes by itself when that is wanted", async (visit) => {
  const before = await system.records("phonecalls");
  await placeTestContact(visit, "default", { clean: true });
  await visit.page.getByRole("heading", { name: "Cleaned up" }).waitFor();
  assert.deepEqual(await system.records("phonecalls"), before);
});

it("goes back to an earlier version with one click, and contacts are recorded by it", async (visit) => {
  const { page } = visit;
  await begin(visit, "support");
  for (const subject of ["By the first", "By the second"]) {
    await visit.go("/integrations/support/steps/contact-start");
    await (await line(page, "subject")).locator("textarea").fill(subject);
    await page.getByRole("button", { name: "Save", exact: true }).click();
    await page.waitForURL("**?saved");
    await visit.go("/integrations/support/publish");
    if (subject === "By the second") {
      assert.match(await page.locator(".diff .gone").textContent(), /removed: .*"subject": "By the first"/);
      assert.match(await page.locator(".diff .new").textContent(), /added: .*"subject": "By the second"/);
      await picture(page, "console-review");
    }
    await publish(visit, "support");
  }
  const versions = page.getByRole("row").filter({ has: page.getByRole("link", { name: /Look at it/ }) });
  assert.equal(await versions.count(), 2);
  assert.match(await versions.nth(0).textContent(), /in force/, "the newest comes first");
  await versions.nth(1).getByRole("link").click();
  assert.match(await page.locator(".diff .new").textContent(), /By the first/);
  assert.match(await page.locator(".diff .gone").textContent(), /By the second/);
  await page.getByRole("button", { name: "Go back to this version" }).click();
  await page.waitForURL("**/versions?back");
  assert.equal(await versions.count(), 3);

  await placeTestContact(visit, "support");
  const calls = await until("the call is recorded", async () => {
    const calls = await system.records("phonecalls");
    return calls.length && calls;
  });
  assert.deepEqual(calls.map((call) => call.subject), ["By the first"]);
  await visit.go("/");
  assert.equal(await page.locator(".cards .badge.good", { hasText: "in force" }).count(), 2);
  await picture(page, "console-integrations");
});
