/**
 * Runs a program as another user.
 *
 * @module
 */

/**
 * Returns the words to put before a command line, so that root runs it as
 * another user: without any capability, and with a limit on locked memory that
 * the user cannot raise.
 *
 * @param user A name, for which the user's groups are set; or `UID[:GID]`,
 * without any other group. Without GID the group has the number of the user.
 * @param memoryLock RLIMIT_MEMLOCK, in bytes.
 * @returns Words of `prlimit` and `setpriv`, which are in util-linux.
 * @throws {TypeError} When there is no user of that name.
 */
export async function userCommand(
  user: string,
  memoryLock: bigint,
): Promise<string[]> {
  return [
    ...["prlimit", `--memlock=${memoryLock}`],
    ...["setpriv", "--inh-caps=-all", ...await identityOptions(user)],
  ];
}

async function identityOptions(user: string): Promise<string[]> {
  const [, uid, gid = uid] = /^(\d+)(?::(\d+))?$/.exec(user) ?? [];
  if (uid !== undefined) {
    return [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  }
  const { success, stdout } = await new Deno.Command("id", {
    args: ["--group", "--", user],
    stderr: "null",
  }).output();
  if (!success) throw new TypeError(`There is no user ${JSON.stringify(user)}`);
  const group = new TextDecoder().decode(stdout).trim();
  return [`--reuid=${user}`, `--regid=${group}`, "--init-groups"];
}
