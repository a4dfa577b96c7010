// What others wrote: markup, very long words, other directions. It is shown as the text that it is, on every page.

import assert from "node:assert/strict";

import { begin, consoleTests, document as draftOf, overflow, placeTestContact, publish, saveDocument } from "./harness.mjs";
import { call, contactPages, otherPages, wizardPages } from "./pages.mjs";

const { system, it } = consoleTests();

const RUNS = "window.hostile=1";
const MARKUP = `"'></textarea></title><script>${RUNS}</script><img src=x onerror=${RUNS}><svg onload=${RUNS}>\`<b>`;
const LONG = "Donaudampfschifffahrtsgesellschaftskapitän".repeat(12);
const MIXED = "\u202Eשלום مرحبا\u202C 👩‍👩‍👧‍👦🏳️‍🌈 ﷽ Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢";
const ALL = [MARKUP, LONG, MIXED].join(" ");

/** Goes through pages: nothing of it runs, and no page is wider than its window. */
async function goThrough(visit, pages) {
  const { page } = visit;
  const found = [];
  for (const [address, prepare] of pages) {
    await visit.go(address);
    await prepare?.(page);
    for (const width of [1280, 390]) {
      await page.setViewportSize({ width, height: 900 });
      const wider = await overflow(page);
      if (wider > 0) found.push(`${address.slice(0, 80)} at ${width} px is ${wider} px too wide: ${await widest(page)}`);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    if (await page.evaluate(() => "hostile" in window)) found.push(`${address} runs it`);
    if (await page.locator("main script:not([type='application/json']), main img, main svg, main b").count()) found.push(`${address} takes it for markup`);
  }
  assert.deepEqual(found, []);
}

/** The texts that reach out of the window, but for those that scroll in a box of their own. */
const widest = (page) =>
  page.evaluate(() => {
    const wide = [];
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    while (walker.nextNode()) {
      range.selectNodeContents(walker.currentNode);
      const parent = walker.currentNode.parentElement;
      const { right, left } = range.getBoundingClientRect();
      const isOut = right > document.documentElement.clientWidth + 1 || left < -1;
      for (let box = parent; isOut && box; box = box.parentElement) {
        if (getComputedStyle(box).overflowX !== "visible") break;
        if (box === document.body) wide.push(`${parent.outerHTML.slice(0, 120)} in ${parent.parentElement.className}`);
      }
    }
    return wide.slice(0, 3).join(" | ");
  });

it("shows a draft that is all markup and long words as text, and runs none of it", async (visit) => {
  const { page } = visit;
  await begin(visit, "markup");
  const configuration = await draftOf(visit, "markup");
  Object.assign(configuration.connection, { tenantId: ALL, appId: LONG, clientId: MARKUP, scope: ALL, apiVersion: MARKUP, instanceUrl: ALL, recordingBucket: ALL });
  Object.assign(configuration, { retentionDays: ALL, contacts: { INBOUND: ALL, [MARKUP]: LONG }, contactLens: { file: ALL, excludeCategories: [ALL, LONG] }, agent: { column: ALL, defaultOwner: { [MARKUP]: LONG } }, [LONG]: MARKUP });
  configuration.steps["contact-start"] = {
    customer: { tables: [{ entitySet: ALL }], value: `${ALL} {{ nothing | nothing }}`, kind: MARKUP, country: LONG, when: ALL, none: { create: { entitySet: ALL, body: { [ALL]: ALL } } }, many: { orderby: ALL } },
    requests: [
      { name: MARKUP, method: MARKUP, entitySet: LONG, queryString: ALL, when: ALL, body: { [ALL]: ALL, subject: `{{ ${LONG} }} ${ALL}`, [LONG]: { [MARKUP]: [ALL] } }, [MARKUP]: LONG },
      { method: "POST", entitySet: MARKUP, body: `${ALL} {{ nothing | nothing }}` },
    ],
    reply: [ALL, LONG],
  };
  configuration.steps["contact-answered"].screenPop = { open: [MARKUP, LONG], target: ALL, queryString: ALL };
  configuration.steps["recording-available"].objectKinds = [ALL];
  configuration.steps[MARKUP] = { [LONG]: ALL };
  await saveDocument(visit, "markup", configuration);
  await page.getByText("It cannot be published yet").waitFor();
  await goThrough(visit, wizardPages("markup"));
});

it("shows hostile values of a configuration that is right, and of its contacts, as text", async (visit) => {
  const { page } = visit;
  visit.expect(404, 400);
  await begin(visit, "hostile");
  const configuration = await draftOf(visit, "hostile");
  configuration.steps["contact-start"].request.body = {
    subject: MARKUP,
    description: `${ALL} {{ attack }}`,
    phonenumber: "{{ CustomerEndpoint | truncate(length=150) }}",
  };
  configuration.steps["contact-end"].request.body.description = `{{ 'x' if Queue.Name == "${LONG}" else "${MIXED}" }} ${MARKUP}`;
  await saveDocument(visit, "hostile", configuration);
  await publish(visit, "hostile");

  // The sample contact is one, too.
  await visit.go("/integrations/hostile/steps/contact-start");
  await page.getByText("Change the sample contact").click();
  const sample = page.locator("[data-sample]");
  await sample.getByLabel("Customer's number or address").fill(ALL);
  await sample.getByLabel("Agent's user name").fill(ALL);
  await sample.getByLabel("Queue").fill(ALL);
  await sample.getByLabel("User-defined attributes").fill(`attack = ${ALL}\n${MARKUP} = ${LONG}`);
  await sample.getByRole("button", { name: "Use this sample" }).click();
  await page.locator("[data-preview-content]").getByText(LONG).first().waitFor();
  // The names that are offered while one types, with their values.
  await page.getByLabel("Value of phonenumber").fill("{{ ");
  await page.getByRole("listbox", { name: "Names" }).waitFor();
  assert.ok((await overflow(page)) <= 0);
  await page.getByLabel("Value of phonenumber").fill("{{ CustomerEndpoint | truncate(length=150) }}");
  await page.keyboard.press("Escape");
  visit.dialogs.push(true);
  await goThrough(visit, wizardPages("hostile"));

  const contacts = [
    await call(system, `${MARKUP}${LONG}`, { attributes: { attack: ALL, [MARKUP]: LONG, [LONG]: MARKUP }, integration: "hostile", queue: ALL }),
    await call(system, `+1555555${MARKUP}`, { attributes: { attack: MIXED }, integration: MARKUP }),
  ];
  const [record] = (await system.records("phonecalls")).filter(({ description }) => description?.includes(MARKUP));
  assert.ok(record?.description.includes(LONG), "Dynamics has it as it is");
  await placeTestContact(visit, "hostile", { customer: ALL });
  await goThrough(visit, [[new URL(page.url()).pathname]]);
  for (const contact of contacts) await goThrough(visit, contactPages(contact));
  await goThrough(visit, [
    ...otherPages,
    [`/contacts?q=${encodeURIComponent(ALL)}`],
    [`/contacts?integration=${encodeURIComponent(MARKUP)}`],
    [`/contacts?state=${encodeURIComponent(MARKUP + LONG)}`],
    [`/contacts/${encodeURIComponent(MARKUP + LONG)}`],
    [`/contacts/forget?number=${encodeURIComponent(ALL)}`],
    [`/integrations/${encodeURIComponent(MARKUP + LONG)}/connection`],
    [`/integrations/hostile/steps/${encodeURIComponent(MARKUP)}`],
  ]);
});
