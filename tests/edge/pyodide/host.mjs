// The platform around the Worker, offline: Pyodide as production runs it, miniflare's KV and Cache API.
//
//   node host.mjs {"modules": …, "bundle": …, "sdk": …, "tests": …, "gateway": …}
//
// `modules` is the folder of node_modules, `gateway` the URL of a real one, the others are zip files. Prints one line of JSON: what `runner.play` found.

import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";

// Node would print the whole line that threw: here it is all of Pyodide.
process.on("uncaughtException", (wrong) => {
  console.error(wrong.stack);
  process.exit(1);
});

const given = JSON.parse(process.argv[2]);
const require = createRequire(`${given.modules}/package.json`);
const miniflare = require("miniflare");
const { loadPyodide } = require("pyodide");

for (const name of ["Request", "Response", "Headers", "FormData"]) {
  // The SDK tells JavaScript's classes by their names, which bundling changed.
  Object.defineProperty(miniflare[name], "name", { value: name });
  globalThis[name] = miniflare[name];
}

const platform = new miniflare.Miniflare({
  modules: true,
  script: "export default { fetch() { return new Response() } }",
  kvNamespaces: ["PURGES"],
  compatibilityDate: "2026-04-21",
  host: "127.0.0.1",
  cf: false,
});

// The methods alone: every other look at one of miniflare's objects stops this thread for a message to its process.
function plain(object, names) {
  return Object.fromEntries(names.map((name) => [name, object[name].bind(object)]));
}

// By this name the SDK knows what to wrap. `clear` says whether anything had been written since the last time.
class KvNamespace {
  #real;
  #isWritten = false;

  constructor(real) {
    this.#real = real;
  }

  get(...given) {
    return this.#real.get(...given);
  }

  put(...given) {
    this.#isWritten = true;
    return this.#real.put(...given);
  }

  async clear() {
    if (!this.#isWritten) return false;
    const { keys } = await this.#real.list();
    await Promise.all(keys.map(({ name }) => this.#real.delete(name)));
    this.#isWritten = false;
    return true;
  }
}

function context() {
  const pending = [];
  const settled = async () => {
    while (pending.length) await pending.shift();
  };
  // As the platform does for Python: a future outlives the call that handed it over.
  const waitUntil = (future) => void pending.push(keep(future));
  return { waitUntil, settled };
}

async function keep(future) {
  const own = future.copy ? future.copy() : future;
  try {
    await own;
  } finally {
    own.destroy?.();
  }
}

let status = 1;

// A stream of `pieces` that counts what it gave; `breaks` ends it with an error.
function flood(pieces, bytes, breaks) {
  let sent = 0;
  const stream = new ReadableStream(
    {
      pull(controller) {
        if (sent === pieces) return breaks ? controller.error(new TypeError("cut")) : controller.close();
        sent += 1;
        controller.enqueue(new Uint8Array(bytes));
      },
    },
    { highWaterMark: 0 },
  );
  return { stream, sent: () => sent };
}

const away = () => Promise.reject(new Error("the store is away"));

try {
  const [bindings, caches, pyodide] = await Promise.all([
    platform.getBindings(),
    platform.getCaches(),
    loadPyodide({ env: { PYTHONHASHSEED: "0" } }),
  ]);
  globalThis.caches = { default: plain(caches.default, ["match", "put", "delete"]) };
  pyodide.registerJsModule("_pyodide_entrypoint_helper", { patchWaitUntil() {} });
  pyodide.registerJsModule("_cloudflare_compat_flags", {});
  pyodide.registerJsModule("host", {
    PURGES: new KvNamespace(plain(bindings.PURGES, ["get", "put", "list", "delete"])),
    context,
    flood,
    broken: { get: away, put: away, match: away, delete: away },
    gateway: given.gateway,
    reach() {
      globalThis.fetch = miniflare.fetch;
    },
    // What the script of a story has no answer to fails as the platform's fetch does.
    serve(answer) {
      globalThis.fetch = async (url, init) => {
        const response = await answer(url, init);
        if (!response) throw new TypeError("Network connection lost.");
        return response;
      };
    },
  });
  const archive = async (file) => new Uint8Array(await readFile(file));
  pyodide.unpackArchive(await archive(given.sdk), "wheel");
  pyodide.unpackArchive(await archive(given.bundle), "zip", { extractDir: "/bundle" });
  await pyodide.runPythonAsync("import sys; sys.path.insert(0, '/bundle'); import entry");
  // Beside the bundle, and only after the entry was imported: what the Worker needs is in its bundle.
  pyodide.unpackArchive(await archive(given.tests), "zip", { extractDir: "/bundle" });
  const results = await pyodide.runPythonAsync(
    "import importlib; importlib.invalidate_caches(); from tests.edge.pyodide import runner; await runner.play()",
  );
  console.log(results);
  status = 0;
} catch (wrong) {
  console.error(wrong);
} finally {
  await platform.dispose();
}
// Timers that Python cancelled still run in JavaScript; nobody waits for them.
process.exit(status);
