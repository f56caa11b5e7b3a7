/**
 * Builds the collection: `deno task collection FOLDER`.
 *
 * @module
 */
import { deno, ROOT } from "../../scripts/dev/deno.ts";
import { VERSION } from "../../scripts/passthru/version.ts";

const HERE = new URL("./", import.meta.url);

/** The modules, by the file each is bundled from. */
const MODULES = ["state", "facts"];

/** Deno's usual places, which a session of ssh seldom has on its PATH. */
const PLACES = '"$PATH:/usr/local/bin:$HOME/.deno/bin"';

const NO_DENO = JSON.stringify({
  failed: true,
  msg: "there is no deno on this host, which the module is run by",
});

/**
 * What a module begins with. It is a script of the shell as far as `exec`, and
 * JavaScript as a whole: Ansible then needs no Python on a host, and no
 * interpreter but `/bin/sh` in its settings.
 */
const HEADER = `#!/bin/sh
':' //; PATH=${PLACES}; export PATH
':' //; command -v deno >/dev/null || { echo '${NO_DENO}'; exit 1; }
':' //; exec deno run --quiet --no-config --no-lock --no-prompt --allow-ffi --ext=js "$0" "$1"
// WANT_JSON: Ansible gives it a file with the parameters.
;
`;

/** Bundles a module with all of the library that it needs. */
async function bundled(name: string): Promise<string> {
  const path = await Deno.makeTempFile({ suffix: ".js" });
  try {
    const command = await deno("bundle", [
      ...["--quiet", "--output", path, `integrations/ansible/${name}.ts`],
    ], { stdout: "null" });
    const { success } = await command.output();
    if (!success) throw new Error(`cannot bundle ${name}`);
    return await Deno.readTextFile(path);
  } finally {
    await Deno.remove(path);
  }
}

/**
 * Builds the collection below a folder.
 *
 * @param folder One of `ANSIBLE_COLLECTIONS_PATH`.
 * @returns The collection's own folder.
 */
export async function buildCollection(folder: string): Promise<string> {
  const target = `${folder}/ansible_collections/passthru/vfio`;
  const copy = async (from: URL, to: string) => {
    await Deno.mkdir(to.slice(0, to.lastIndexOf("/")), { recursive: true });
    await Deno.copyFile(from, to);
  };
  for (
    const path of [
      "meta/runtime.yml",
      ...MODULES.map((name) => `plugins/modules/${name}.yml`),
    ]
  ) {
    await copy(new URL(`collection/${path}`, HERE), `${target}/${path}`);
  }
  await copy(new URL("README.md", HERE), `${target}/README.md`);
  await copy(new URL("LICENSE", ROOT), `${target}/LICENSE`);
  const galaxy = await Deno.readTextFile(
    new URL("collection/galaxy.yml", HERE),
  );
  await Deno.writeTextFile(
    `${target}/galaxy.yml`,
    `${galaxy}version: ${VERSION}\n`,
  );
  for (const name of MODULES) {
    await Deno.writeTextFile(
      `${target}/plugins/modules/${name}.js`,
      HEADER + await bundled(name),
    );
  }
  return target;
}

if (import.meta.main) {
  const [folder] = Deno.args;
  if (folder === undefined) {
    console.error("deno task collection FOLDER");
    Deno.exit(2);
  }
  console.log(await buildCollection(folder));
}
