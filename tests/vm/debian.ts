/**
 * Debian packages: those that the machine needs are installed. Those of other
 * suites are fetched with a separate apt state, so that the machine's apt
 * configuration does not change.
 *
 * @module
 */
import { join } from "@std/path";
import { cacheDir, exists, locked } from "./cache.ts";
import { run } from "./command.ts";
import { CommandError, MachineError } from "./errors.ts";
import { step } from "./progress.ts";

/** The keys that Debian signs its lists with. */
export const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Whether this process has read the machine's own package lists. */
let listsRead = false;

/**
 * Installs missing packages, or names them in an error.
 *
 * @param packages Names of Debian packages.
 * @throws {MachineError} When one is missing and cannot be installed: this is
 * not a Debian machine, not root, or apt-get refuses. The message names the
 * packages.
 */
export async function installPackages(
  packages: readonly string[],
): Promise<void> {
  if ((await requirePackages(packages)).length === 0) return;
  await locked("apt-install", async () => {
    // Another run may have installed them meanwhile.
    const missing = await missingPackages(packages);
    if (missing.length > 0) await install(missing);
  });
}

/**
 * Checks that packages are installed, or can be.
 *
 * @param packages Names of Debian packages.
 * @returns Those that are missing.
 * @throws {MachineError} When one is missing and this is not root, or when this
 * is not Debian.
 */
export async function requirePackages(
  packages: readonly string[],
): Promise<string[]> {
  const missing = await missingPackages(packages);
  if (missing.length > 0 && Deno.uid() !== 0) {
    const names = missing.join(" ");
    throw new MachineError(
      `These Debian packages are missing: ${names}\n` +
        `Install them first: sudo apt-get install ${names}`,
    );
  }
  return missing;
}

async function install(packages: readonly string[]): Promise<void> {
  const names = packages.join(" ");
  const env = { DEBIAN_FRONTEND: "noninteractive" };
  const apt = ["apt-get", "-o", "DPkg::Lock::Timeout=300"];
  await step(
    `Installing Debian packages: ${names}`,
    "half a minute",
    async (onLine) => {
      try {
        if (!listsRead) await run([...apt, "update"], { env, onLine });
        listsRead = true;
        await run(
          [...apt, "install", "-y", "--no-install-recommends", ...packages],
          // An interruption would leave packages half installed.
          { env, onLine, uninterrupted: true },
        );
      } catch (cause) {
        throw new MachineError(
          `Cannot install the Debian packages ${names}`,
          { cause },
        );
      }
    },
  );
}

async function missingPackages(
  packages: readonly string[],
): Promise<string[]> {
  if (!await exists("/var/lib/dpkg/status")) {
    throw new MachineError(
      "This machine is not Debian: install what these packages of Debian 12 " +
        `or 13 contain, and run this on Debian: ${packages.join(" ")}`,
    );
  }
  const { stdout } = await new Deno.Command("dpkg-query", {
    args: ["-W", "-f", "${db:Status-Status} ${Package}\n", ...packages],
    stderr: "null",
  }).output();
  const installed = new Set(new TextDecoder().decode(stdout).split("\n"));
  return packages.filter((name) => !installed.has(`installed ${name}`));
}

/** A package that a {@linkcode DebianArchive} offers. */
export interface DebianPackage {
  /** Its name, for example `linux-source-6.12`. */
  name: string;
  /** Its version, for example `6.12.94-1`. */
  version: string;
}

/**
 * The Debian archive as seen from this machine's own mirrors, with more suites
 * than the machine follows.
 */
export class DebianArchive {
  static #opened: Promise<DebianArchive> | undefined;

  #options: string[];
  #complaint: string;

  private constructor(options: string[], complaint: string) {
    this.#options = options;
    this.#complaint = complaint;
  }

  /**
   * Reads the package lists of bookworm and trixie, their security updates and
   * their backports; once in a process.
   *
   * @returns The archive; a suite the mirrors do not carry is left out.
   */
  static async open(): Promise<DebianArchive> {
    this.#opened ??= this.#read();
    return await this.#opened;
  }

  static async #read(): Promise<DebianArchive> {
    const root = join(cacheDir(), "apt");
    for (const dir of ["lists/partial", "cache/archives/partial"]) {
      await Deno.mkdir(join(root, dir), { recursive: true });
    }
    const settings = {
      "Dir::Etc::sourcelist": join(root, "sources.list"),
      "Dir::Etc::sourceparts": "/dev/null",
      "Dir::Etc::preferences": "/dev/null",
      "Dir::Etc::preferencesparts": "/dev/null",
      "Dir::State": root,
      "Dir::State::lists": join(root, "lists"),
      "Dir::State::status": "/var/lib/dpkg/status",
      "Dir::Cache": join(root, "cache"),
      // In containers apt would read them each time, for seconds.
      "Dir::Cache::pkgcache": "pkgcache.bin",
      "Dir::Cache::srcpkgcache": "srcpkgcache.bin",
      "Acquire::Languages": "none",
      // apt's own user cannot enter a home directory
      "APT::Sandbox::User": "root",
    };
    const options = Object.entries(settings).flatMap(([key, value]) => [
      "-o",
      `${key}=${value}`,
    ]);
    const complaint = await locked("apt", async () => {
      const mirrorsOf = await mirrors(join(root, "lists"));
      const sources = [
        ...mirrorsOf.main.flatMap((uri) =>
          ["bookworm", "bookworm-backports", "trixie", "trixie-backports"]
            .map((suite) => `deb [signed-by=${KEYRING}] ${uri} ${suite} main`)
        ),
        ...mirrorsOf.security.flatMap((uri) =>
          ["bookworm-security", "trixie-security"]
            .map((suite) => `deb [signed-by=${KEYRING}] ${uri} ${suite} main`)
        ),
      ];
      await Deno.writeTextFile(
        join(root, "sources.list"),
        sources.join("\n") + "\n",
      );
      return await step(
        "Reading Debian's package lists",
        "some seconds",
        async (detail) => {
          try {
            await run(["apt-get", ...options, "update"], { onLine: detail });
            return "";
          } catch (error) {
            if (!(error instanceof CommandError)) throw error;
            // A suite that a mirror lacks matters only when it is needed.
            return String(error);
          }
        },
      );
    });
    return new DebianArchive(options, complaint);
  }

  /**
   * Finds the newest package whose name matches.
   *
   * @param pattern An extended regular expression for the whole name.
   * @returns The package, or `undefined` when no suite has one.
   */
  async newest(pattern: string): Promise<DebianPackage | undefined> {
    const found = await run([
      "apt-cache",
      ...this.#options,
      "search",
      "--names-only",
      `^${pattern}$`,
    ]);
    const names = found.split("\n").filter(Boolean)
      .map((line) => line.split(" ")[0]!);
    if (names.length === 0) return undefined;
    const shown = await run(
      ["apt-cache", ...this.#options, "show", "--no-all-versions", ...names],
    );
    const packages = shown.split("\n\n").flatMap((stanza) => {
      const name = stanza.match(/^Package: (.*)$/m)?.[1];
      const version = stanza.match(/^Version: (.*)$/m)?.[1];
      return name && version ? [{ name, version }] : [];
    });
    const order = new Intl.Collator("en", { numeric: true });
    return packages.sort((a, b) => order.compare(a.version, b.version)).at(-1);
  }

  /**
   * Downloads a package.
   *
   * @param wanted The package and its version.
   * @param dir The directory the `.deb` file is put in.
   * @returns The path of the `.deb` file.
   */
  async download(wanted: DebianPackage, dir: string): Promise<string> {
    await run([
      "apt-get",
      ...this.#options,
      "download",
      `${wanted.name}=${wanted.version}`,
    ], { cwd: dir });
    for await (const { name } of Deno.readDir(dir)) {
      if (name.startsWith(`${wanted.name}_`) && name.endsWith(".deb")) {
        return join(dir, name);
      }
    }
    throw new MachineError(`apt-get downloaded no ${wanted.name}`);
  }

  /**
   * Downloads a package of one suite, and those dependencies that are not
   * installed, or are too old. Some version of the package must be installed.
   *
   * @param name The package.
   * @param suite The suite, which must be for the machine's own Debian, so that
   * the installed packages fit.
   * @param dir An empty directory, which the `.deb` files are put in.
   * @returns The paths of the `.deb` files.
   * @throws {MachineError} When the suite has no such package.
   */
  async downloadMissing(
    name: string,
    suite: string,
    dir: string,
  ): Promise<string[]> {
    const partial = join(dir, "partial");
    await Deno.mkdir(partial);
    try {
      await run([
        "apt-get",
        ...this.#options,
        ...["-o", `Dir::Cache::archives=${dir}`],
        // Nothing is installed: dpkg's own lock is not needed.
        ...["-o", "Debug::NoLocking=1"],
        ...["install", "--download-only", "--no-install-recommends", "-y"],
        `${name}/${suite}`,
        ...["-t", suite],
      ]);
    } catch (cause) {
      throw new MachineError(this.missing(`${name} of ${suite}`).message, {
        cause,
      });
    }
    await Deno.remove(partial);
    const found = await Array.fromAsync(Deno.readDir(dir));
    return found.filter(({ name }) => name.endsWith(".deb"))
      .map(({ name }) => join(dir, name));
  }

  /**
   * The error for a package that is not available.
   *
   * @param what The package's name, or its pattern.
   * @returns An error that names it, with apt-get's messages.
   */
  missing(what: string): MachineError {
    return new MachineError(
      `Cannot get the Debian package ${what}: none of this machine's Debian ` +
        `mirrors has it${this.#complaint && `\n${this.#complaint}`}`,
    );
  }
}

/**
 * The mirrors that this machine's own apt sources name. Third-party
 * repositories may use Debian's suite names too; apt leaves them out, as they
 * lack Debian's signature.
 */
export async function mirrors(
  lists: string,
): Promise<{ main: string[]; security: string[] }> {
  const uris = await run([
    "apt-get",
    "-o",
    `Dir::State::lists=${lists}`,
    "-o",
    "Debug::NoLocking=1",
    "update",
    "--print-uris",
  ]);
  const main = new Set<string>();
  const security = new Set<string>();
  for (
    const [, uri, suite] of uris.matchAll(/^'(.*)\/dists\/(.*)\/InRelease'/gm)
  ) {
    if (/security|\/updates$/.test(suite!)) security.add(uri!);
    else if (/^(bookworm|trixie|stable|oldstable)/.test(suite!)) main.add(uri!);
  }
  if (main.size === 0) {
    throw new MachineError(
      "This machine's apt sources name no mirror of Debian 12 or 13: " +
        "the kernels to test on come as Debian packages",
    );
  }
  return { main: [...main], security: [...security] };
}
