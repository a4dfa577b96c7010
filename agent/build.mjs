// Makes agent/dist of agent/page: the page, and the two libraries of Amazon Connect's that it loads when its host
// needs them. `node build.mjs FOLDER` writes elsewhere.
import { copyFile, mkdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const dist = process.argv[2] ?? join(here, 'dist');

/** The libraries stand in files of their own, which the page imports when its host needs them. */
const libraries = {
  name: 'libraries',
  setup({ onResolve }) {
    onResolve({ filter: /\/libraries\/(streams|workspace)\.ts$/ }, ({ path, kind }) =>
      kind === 'dynamic-import' ? { path: `./${/(\w+)\.ts$/.exec(path)[1]}.js`, external: true } : undefined,
    );
  },
};

/** Streams looks for the global object with `new Function`, which the page's policy forbids and reports. */
const noEval = {
  name: 'no-eval',
  setup({ onLoad }) {
    onLoad({ filter: /connect-streams(-min)?\.js$/ }, async ({ path }) => {
      const text = await readFile(path, 'utf8');
      const found = text.split(/new Function\((?:"return this"|'return this')\)\(\)/);
      if (found.length < 2) {
        throw new Error(`${path} has no new Function("return this")() any more; look whether noEval is still needed`);
      }
      return { contents: found.join('globalThis'), loader: 'js' };
    });
  },
};

await mkdir(dist, { recursive: true });
const bundle = (entry, name) =>
  build({
    absWorkingDir: here,
    entryPoints: [entry],
    outfile: join(dist, name),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    minify: true,
    legalComments: 'eof',
    plugins: [libraries, noEval],
    logLevel: 'warning',
  });
await Promise.all([
  bundle('page/main.ts', 'page.js'),
  bundle('page/libraries/streams.ts', 'streams.js'),
  bundle('page/libraries/workspace.ts', 'workspace.js'),
  bundle('page/page.css', 'page.css'),
  copyFile(join(here, 'page/index.html'), join(dist, 'index.html')),
]);
