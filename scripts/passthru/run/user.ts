/**
 * Running a program as another user.
 *
 * @module
 */

/**
 * What is put before a command line that root runs as somebody else: without
 * any capability, and with a limit on locked memory that the user could not
 * raise.
 *
 * @param user A name, which brings its groups; or `UID[:GID]`, which has no
 * other groups, and of which the group is numbered as the user by default.
 * @param memoryLock RLIMIT_MEMLOCK, in bytes.
 * @returns Words of `prlimit` and `setpriv`, which util-linux has.
 * @throws {TypeError} When there is no user of that name.
 */
export async function userCommand(
  user: string,
  memoryLock: bigint,
): Promise<string[]> {
  return [
    ...["prlimit", `--memlock=${memoryLock}`],
    ...["setpriv", "--inh-caps=-all", ...await identity(user)],
  ];
}

async function identity(user: string): Promise<string[]> {
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
