// Who is let in: the browser that was opened for it, and the console's own pages.

import assert from "node:assert/strict";
import { request } from "node:http";

import { consoleTests } from "./harness.mjs";

const { system, it } = consoleTests();

/** A request with exactly these headers, which a browser would not send. */
const raw = (method, address, headers) =>
  new Promise((resolve, reject) => {
    const { hostname, port } = new URL(system.origin);
    const sent = request({ method, hostname, port, path: address, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (part) => (text += part));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    sent.once("error", reject).end();
  });

it("lets one browser in, once", { signedIn: false }, async (visit) => {
  const { page } = visit;
  visit.expect(401);
  for (const address of [system.start, "/", "/contacts", "/?token=0123"]) {
    const response = await visit.go(address);
    assert.equal(response.status(), 401, address);
    await page.getByRole("heading", { name: "Not signed in" }).waitFor();
  }
});

it("answers at its own address only", async () => {
  const { host } = new URL(system.origin);
  const cookie = system.cookie;
  assert.equal((await raw("GET", "/", { host, cookie })).status, 200);
  for (const other of ["example.com", "127.0.0.1", `example.com:${new URL(system.origin).port}`, `[::1]:${new URL(system.origin).port}`]) {
    const answer = await raw("GET", "/", { host: other, cookie });
    assert.equal(answer.status, 421, other);
    assert.ok(!answer.text.includes("Integrations"));
  }
});

it("takes what changes something from its own pages only", async () => {
  const { host } = new URL(system.origin);
  const own = { host, cookie: system.cookie, origin: system.origin };
  const address = "/integrations/default/discard";
  for (const [headers, what] of [
    [{ ...own, origin: "https://example.com" }, "another page's"],
    [{ ...own, origin: "null" }, "of a page without an address"],
    [{ ...own, origin: system.dataverse }, "of another port"],
    [{ host, cookie: system.cookie }, "without an origin"],
    [{ ...own, "sec-fetch-site": "cross-site" }, "from another site"],
    [{ ...own, "sec-fetch-site": "same-site" }, "from another port of this site"],
  ]) {
    assert.equal((await raw("POST", address, headers)).status, 403, what);
  }
  assert.equal((await raw("POST", address, { host, origin: system.origin })).status, 401, "without the session");
  assert.equal((await raw("POST", address, { ...own, cookie: system.cookie.replace(/.$/, "-") })).status, 401, "with another session");
  assert.equal((await raw("POST", address, { ...own, "sec-fetch-site": "same-origin" })).status, 303, "its own");
});

it("lets no other page frame it, keep it or run anything in it", async () => {
  const { host } = new URL(system.origin);
  for (const address of ["/", "/contacts", "/nothing", "/integrations/default/json"]) {
    const { headers } = await raw("GET", address, { host, cookie: system.cookie });
    assert.match(headers["content-security-policy"], /default-src 'none'.*frame-ancestors 'none'/);
    assert.equal(headers["x-frame-options"], "DENY");
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["cache-control"], "no-store");
  }
  const { headers } = await raw("GET", "/", { host });
  assert.equal(headers["set-cookie"], undefined);
});
