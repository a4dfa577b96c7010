// The doctor: what it says of a system that is well, and of one whose secret is wrong.

import assert from "node:assert/strict";

import { consoleTests, picture } from "./harness.mjs";

const { system, it } = consoleTests();

it("finds nothing wrong with a system that is well", async (visit) => {
  const { page } = visit;
  await visit.go("/doctor");
  const summary = page.locator("[data-doctor-summary]");
  await summary.waitFor();
  assert.equal(await page.locator("#doctor-broken").count(), 0, await summary.textContent());
  assert.match(await summary.textContent(), /All is well|All works|Nothing is known to be wrong/);
  await page.getByRole("group").filter({ hasText: "Well" }).first().locator("summary").click();
  await page.getByRole("group").first().getByText(/token/i).first().waitFor();
  assert.equal(await page.locator("[data-doctor-status]").textContent(), await summary.textContent(), "it is said, too");
});

it("says that a secret is wrong and what to do, and that it is right again", async (visit) => {
  const { page } = visit;
  await setSecret(visit, "not-the-right~secret");
  await visit.go("/doctor");
  const summary = page.locator("[data-doctor-summary]");
  await summary.waitFor();
  assert.match(await summary.textContent(), /needs? mending/);
  const broken = page.locator("article.finding.bad");
  assert.match((await broken.allInnerTexts()).join("\n"), /AADSTS7000215|client secret/i);
  assert.match((await broken.allInnerTexts()).join("\n"), /What to do/i);
  await picture(page, "doctor");
});

/** Puts a client secret into the integration's secret, on its page. */
async function setSecret(visit, value) {
  const { page } = visit;
  await visit.go("/integrations/default/connection");
  await page.getByText("Set another one").click();
  await page.getByLabel("Value", { exact: true }).fill(value);
  await page.getByRole("button", { name: "Put it into Secrets Manager" }).click();
  await page.getByText("The client secret is in Secrets Manager.").waitFor();
}
