// That everybody can use the pages: checked by axe, in both colour schemes, at the width of a desk and of a phone.

import assert from "node:assert/strict";

import { barriers, begin, consoleTests, document as draftOf, line, overflow, placeTestContact, publish, saveDocument, withAxe } from "./harness.mjs";
import { call, contactPages, otherPages, wizardPages } from "./pages.mjs";

const { system, it } = consoleTests();

/** Looks at a page as it is in each width and scheme. */
async function look(visit, what) {
  const { page } = visit;
  const found = [];
  for (const width of [1280, 640, 390]) {
    await page.setViewportSize({ width, height: 900 });
    const wider = await overflow(page);
    if (wider > 0) found.push(`${what} at ${width} px is ${wider} px too wide`);
    // 640 px at two dots each are a window of 1280 px at 200 %.
    if (width === 640) continue;
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      // What is not a matter of colours is the same in both schemes.
      const isOfColours = (width === 390) === (colorScheme === "light");
      for (const barrier of await barriers(page, isOfColours)) found.push(`${what}, ${width} px, ${colorScheme}: ${barrier}`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", reducedMotion: "reduce" });
  await page.setViewportSize({ width: 1280, height: 900 });
  return found;
}

async function lookAt(visit, pages) {
  const found = [];
  for (const [address, prepare] of pages) {
    await visit.go(address);
    await prepare?.(visit.page);
    found.push(...(await look(visit, address)));
  }
  assert.deepEqual(found, []);
}

it("has no barriers on an integration's pages", { scale: 2 }, async (visit) => {
  await withAxe(visit);
  await lookAt(visit, wizardPages("default"));
});

it("has no barriers where something is wrong, differs or was tested", { scale: 2 }, async (visit) => {
  await withAxe(visit);
  const { page } = visit;
  visit.expect(409, 422);
  const found = [];
  const see = async (what) => found.push(...(await look(visit, what)));
  await begin(visit, "wrong", "task-for-missed");
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.locator("#connection-test .notice.good").waitFor();
  await see("a connection that works");
  await page.getByLabel("Directory (tenant) id").fill("b0c1d2e3-0000-4000-8000-00000000dead");
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.locator("#connection-test .notice.bad").waitFor();
  await see("a connection that does not work");
  visit.dialogs.push(true);
  await publish(visit, "wrong");
  await see("what was published");
  await page.getByRole("link", { name: /Look at it/ }).first().click();
  await see("a version");

  await visit.go("/integrations/wrong/steps/contact-start");
  const at = await line(page, "phonenumber");
  await at.locator("[data-column]").fill("phonenumbr");
  await at.locator(".warning").filter({ hasText: "Dynamics" }).waitFor();
  const subject = (await line(page, "subject")).locator("textarea");
  await subject.fill("{{ x | nothing }}");
  await (await line(page, "subject")).locator(".error").waitFor();
  await see("a step with an error and a mark");
  const list = page.getByRole("listbox", { name: "Names" });
  for (const field of [subject, page.locator("#f-customer-value")]) {
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      await field.fill("{{ Customer");
      await list.waitFor();
      await page.keyboard.press("ArrowDown");
      for (const barrier of await barriers(page)) found.push(`the list of names, ${width} px: ${barrier}`);
      if ((await overflow(page)) > 0) found.push(`the list of names is too wide at ${width} px`);
      await page.keyboard.press("Escape");
    }
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.getByRole("button", { name: "Edit as text" }).click();
  await see("a body as text");
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByText("Saved in the draft.").waitFor();
  await see("a saved step");

  const configuration = await draftOf(visit, "wrong");
  configuration.retentionDays = "long";
  configuration.connection.appId = "none";
  await saveDocument(visit, "wrong", configuration);
  await see("a review with errors and a difference");
  await visit.go("/integrations/wrong/connection");
  await see("a connection with an error");
  await visit.go("/integrations/wrong/settings");
  await see("settings with an error");
  await visit.go("/integrations/wrong/json");
  await page.getByLabel("Configuration as JSON").fill("{");
  await page.getByRole("button", { name: "Save and review" }).click();
  await page.locator("p.error").waitFor();
  await see("a document that is no JSON");
  assert.deepEqual(found, []);
});

it("has no barriers on the pages of contacts, and on the others", { scale: 2 }, async (visit) => {
  await withAxe(visit);
  visit.expect(404);
  await system.missPrivilege("prvReadContact");
  const failed = await call(system, "+15555550122");
  await call(system, "+15555550124");
  await system.missPrivilege("prvCreateActivity");
  await call(system, "+15555550123");
  await lookAt(visit, [...contactPages(failed), ...otherPages]);
  await visit.go(`/contacts/${failed}`);
  await visit.page.getByRole("button", { name: "Deliver again" }).click();
  await visit.page.getByText(/contact was (delivered|tried) again/).waitFor();
  const found = await look(visit, "a contact that was delivered again");
  await system.missPrivilege(null);
  await placeTestContact(visit, "default");
  await visit.page.getByText("Everything was delivered.").waitFor();
  found.push(...(await look(visit, "a test contact")));
  await visit.page.getByRole("button", { name: "Delete what it has made" }).click();
  await visit.page.getByRole("heading", { name: "Cleaned up" }).waitFor();
  found.push(...(await look(visit, "a test contact that is cleaned up")));
  assert.deepEqual(found, []);
});

it("has no barriers for who is not signed in", { signedIn: false, scale: 2 }, async (visit) => {
  await withAxe(visit);
  visit.expect(401);
  await lookAt(visit, [["/"]]);
});
