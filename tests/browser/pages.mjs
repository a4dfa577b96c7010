// Every page of the console, in the states that differ in what they show. Two files of tests look at all of them.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";

const sample = JSON.parse(await readFile(new URL("../../events/contact-start.json", import.meta.url), "utf8"));

/** A flow's event for a new contact; its id. */
export async function call(system, number, { attributes = {}, integration = "default", queue } = {}) {
  const event = structuredClone(sample);
  const contact = randomUUID();
  const { ContactData, Parameters } = event.Details;
  Object.assign(ContactData, { ContactId: contact, InitialContactId: contact, PreviousContactId: contact });
  ContactData.CustomerEndpoint.Address = number;
  Object.assign(ContactData.Attributes, attributes);
  if (queue) ContactData.Queue = { ARN: `${ContactData.InstanceARN}/queue/${randomUUID()}`, Name: queue };
  Parameters.integration = integration;
  await system.invokeFunction("contact-start", event);
  return contact;
}

const STEPS = ["contact-start", "contact-answered", "contact-end", "recording-available", "contact-completed"];

/** The pages of an integration's wizard. Each is an address, and what is done there before one looks. */
export const wizardPages = (name) => [
  [`/integrations/${name}/connection`],
  ...STEPS.map((step) => [
    `/integrations/${name}/steps/${step}`,
    async (page) => {
      // What the environment says comes last.
      await page.locator("[data-note]").getByText(/Dynamics|would refuse|Checked|could not/).or(page.locator("[data-preview-status]:has-text('to mend')")).first().waitFor({ state: "attached" });
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
    },
  ]),
  [`/integrations/${name}/settings`],
  [`/integrations/${name}/json`],
  [`/integrations/${name}/publish`],
  [`/integrations/${name}/versions`],
  [`/integrations/${name}/try`],
];

/** The pages of a contact. */
export const contactPages = (contact) => [
  [`/contacts/${contact}`],
  [
    `/contacts/${contact}`,
    async (page) => {
      await page.getByRole("button", { name: "Show values" }).click();
      await page.getByText("Values are shown.").waitFor();
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
    },
  ],
  [`/contacts/${contact}/forget`],
];

/** The pages that there are once. */
export const otherPages = [
  ["/"],
  ["/integrations/new"],
  ["/contacts"],
  ["/contacts?state=failed"],
  ["/contacts/forget"],
  [
    "/doctor",
    async (page) => {
      await page.locator("[data-doctor-summary]").waitFor();
      await page.evaluate(() => document.querySelectorAll("details").forEach((details) => (details.open = true)));
    },
  ],
  ["/nothing"],
];
