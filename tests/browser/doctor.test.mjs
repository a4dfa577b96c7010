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
  const summary = page.locator("[data-doctor-summary]");
  await setSecret(visit, "not-the-right~secret");
  await visit.go("/doctor");
  await summary.waitFor();
  assert.match(await summary.textContent(), /1 thing needs mending/);
  const broken = page.locator("article.finding.bad");
  assert.match(await broken.innerText(), /AADSTS7000215[^]*What to do[^]*put its Value, not its Secret ID, into the secret/);
  await picture(page, "console-doctor");

  // While the page stands, the secret is put right in another one.
  const other = await visit.another();
  await setSecret(visit, RIGHT, other);
  await page.getByRole("link", { name: "Check again" }).click();
  await broken.waitFor({ state: "detached" });
  await summary.waitFor();
  assert.match(await summary.textContent(), /All is well/);
});

/** The client secret that the stand-in for Entra ID takes. */
const RIGHT = "made-up-client-secret-for-this-machine";

/** Puts a client secret into the integration's secret, on its page. */
async function setSecret(visit, value, page = visit.page) {
  await visit.go("/integrations/default/connection", page);
  await page.getByText("Set another one").click();
  await page.getByLabel("Value", { exact: true }).fill(value);
  await page.getByLabel("The day it ends").fill("2031-05-31");
  await page.getByRole("button", { name: "Put it into Secrets Manager" }).click();
  await page.getByText("The client secret is in Secrets Manager.").waitFor();
}
