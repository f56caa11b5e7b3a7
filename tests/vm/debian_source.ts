/**
 * Fetches the sources of Debian packages, with an apt state of their own.
 *
 * @module
 */
import { join } from "@std/path";
import { cached, cacheDir, locked } from "./cache.ts";
import { run } from "./command.ts";
import { KEYRING, mirrors } from "./debian.ts";
import { MachineError } from "./errors.ts";
import { step } from "./progress.ts";

const SUITE = "trixie";

/**
 * Fetches the upstream archive of a Debian source package, once for a machine.
 *
 * @param name The package.
 * @returns The directory that it was unpacked in.
 * @throws {MachineError} When this is not Debian, or the mirrors do not have
 * it.
 */
export async function debianSource(name: string): Promise<string> {
  return await cached(`sources/${SUITE}-${name}`, async (path) => {
    const root = join(cacheDir(), "apt-source");
    await Deno.mkdir(path, { recursive: true });
    await locked("apt-source", async () => {
      const options = await readLists(root);
      await step(`Fetching the source of ${name}`, "some seconds", async () => {
        await run([
          "apt-get",
          ...options,
          ...["source", "--download-only", "--tar-only", name],
        ], { cwd: path });
      });
    });
    const found = await Array.fromAsync(Deno.readDir(path));
    const archive = found.find(({ name }) => /\.orig\.tar\.\w+$/.test(name));
    if (archive === undefined) {
      throw new MachineError(`apt-get fetched no source of ${name}`);
    }
    const unpack = ["tar", "-xf", archive.name, "--strip-components=1"];
    await run(unpack, { cwd: path });
  });
}

/** Reads the list of sources, and returns apt's options for it. */
async function readLists(root: string): Promise<string[]> {
  for (const dir of ["lists/partial", "cache/archives/partial"]) {
    await Deno.mkdir(join(root, dir), { recursive: true });
  }
  const settings = {
    "Dir::Etc::sourcelist": join(root, "sources.list"),
    "Dir::Etc::sourceparts": "/dev/null",
    "Dir::State": root,
    "Dir::State::lists": join(root, "lists"),
    "Dir::State::status": "/var/lib/dpkg/status",
    "Dir::Cache": join(root, "cache"),
    "Acquire::Languages": "none",
    // apt's own user cannot enter a home directory
    "APT::Sandbox::User": "root",
  };
  const { main } = await mirrors(join(root, "lists"));
  await Deno.writeTextFile(
    join(root, "sources.list"),
    main.map((uri) => `deb-src [signed-by=${KEYRING}] ${uri} ${SUITE} main\n`)
      .join(""),
  );
  const options = Object.entries(settings).flatMap(([key, value]) => [
    "-o",
    `${key}=${value}`,
  ]);
  await run(["apt-get", ...options, "update"]);
  return options;
}
