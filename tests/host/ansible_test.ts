/**
 * The Ansible collection, run by Ansible: on three simulated hosts in files, by
 * local connections, and over ssh to three network namespaces.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { buildCollection } from "../../integrations/ansible/build.ts";
import { simulate } from "../../lib/sim/mod.ts";
import { onPath, testUnless } from "./programs.ts";
import { SshHosts, whyNoSshHosts } from "./ssh_hosts.ts";

const A = "0000:01:00.0";
const B = "0000:02:00.0";
const NIC = { id: "8086:10d3", class: 0x020000, driver: "e1000e" };

/** A state whose last step fails where `/etc/passthru` is a file. */
const DESIRED = {
  functions: [
    { select: A, driver: "vfio-pci" },
    { select: B, driver: "vfio-pci" },
  ],
  handoff: [{ format: "env", path: "/etc/passthru/desk.env" }],
};

const PLAYBOOK = [{
  hosts: "all",
  gather_facts: false,
  environment: "{{ deno_environment }}",
  tasks: [
    { "passthru.vfio.facts": { simulate: "{{ host_file }}" } },
    { "ansible.builtin.assert": { that: "ansible_facts.passthru.fit" } },
    {
      "passthru.vfio.state": {
        simulate: "{{ host_file }}",
        name: "desk",
        desired: DESIRED,
        state: "{{ ensure | default('present') }}",
      },
    },
  ],
}];

/** The result of `ansible-playbook`. */
interface Played {
  readonly code: number;
  readonly out: string;
  /** What the recap says of each host: `changed`, `ok` or `failed`. */
  readonly recap: readonly string[];
}

let building: Promise<string> | undefined;

/** The folder with the collection, which is built once. */
function collection(): Promise<string> {
  return building ??= (async () => {
    const folder = await Deno.makeTempDir();
    addEventListener(
      "unload",
      () => Deno.removeSync(folder, { recursive: true }),
    );
    await buildCollection(folder);
    return folder;
  })();
}

/** Three simulated hosts in files. */
class Fleet implements AsyncDisposable {
  readonly folder: string;
  /** The variables of all hosts. */
  variables: Record<string, unknown> = {};
  /** The variables of each host. */
  own: readonly Record<string, unknown>[] = [{}, {}, {}];
  /** The command that runs a program, and the environment. */
  prefix: readonly string[] = [];
  environment: Record<string, string> = {};

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async make(): Promise<Fleet> {
    const fleet = new Fleet(await Deno.makeTempDir());
    await collection();
    // A module finds Deno here, and keeps what it caches.
    await Deno.mkdir(`${fleet.folder}/bin`);
    await Deno.symlink(Deno.execPath(), `${fleet.folder}/bin/deno`);
    await Deno.writeTextFile(fleet.path(`play.json`), JSON.stringify(PLAYBOOK));
    for (const i of [1, 2, 3]) {
      const files = i === 3 ? { "/etc/passthru": "a file\n" } : {};
      const host = { functions: { [A]: NIC, [B]: NIC }, files };
      await Deno.writeTextFile(fleet.path(`h${i}.json`), JSON.stringify(host));
    }
    return fleet;
  }

  path(name: string): string {
    return `${this.folder}/${name}`;
  }

  /** The drivers of the first function of each host. */
  async drivers(): Promise<(string | undefined)[]> {
    return await Promise.all([1, 2, 3].map(async (i) => {
      const text = await Deno.readTextFile(this.path(`h${i}.json`));
      return simulate(JSON.parse(text)).function(A).driver;
    }));
  }

  /** Runs the playbook. */
  async play(...args: readonly string[]): Promise<Played> {
    const inventory = {
      all: {
        vars: {
          // No module needs Python.
          ansible_python_interpreter: "/nonexistent/python",
          ansible_remote_tmp: this.path("tmp"),
          deno_environment: {
            PATH: `${this.path("bin")}:/usr/bin:/bin`,
            DENO_DIR: this.path("cache"),
          },
          ...this.variables,
        },
        hosts: Object.fromEntries(this.own.map((own, i) => [
          `h${i + 1}`,
          { host_file: this.path(`h${i + 1}.json`), ...own },
        ])),
      },
    };
    const hosts = this.path("hosts.json");
    await Deno.writeTextFile(hosts, JSON.stringify(inventory));
    const [program, ...words] = [
      ...this.prefix,
      ...["ansible-playbook", "-i", hosts, ...args, this.path("play.json")],
    ];
    const { code, stdout, stderr } = await new Deno.Command(program!, {
      args: words,
      env: {
        ANSIBLE_COLLECTIONS_PATH: await collection(),
        ANSIBLE_LOCAL_TEMP: this.path("local"),
        ANSIBLE_NOCOLOR: "1",
        ...this.environment,
      },
    }).output();
    const decoder = new TextDecoder();
    const out = decoder.decode(stdout) + decoder.decode(stderr);
    const recap = out.matchAll(/^h\d +: .*changed=(\d).*failed=(\d)/gm)
      .map(([, changed, failed]) =>
        failed !== "0" ? "failed" : changed !== "0" ? "changed" : "ok"
      );
    return { code, out, recap: [...recap] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Brings a fleet to the state, in which its third host fails, and again. */
async function bringAndRepeat(fleet: Fleet): Promise<void> {
  const applied = await fleet.play();
  assertEquals(applied.recap, ["changed", "changed", "failed"], applied.out);
  assertEquals(applied.code, 2);
  assertStringIncludes(applied.out, "all earlier changes are undone");
  assertEquals(await fleet.drivers(), ["vfio-pci", "vfio-pci", "e1000e"]);
  const again = await fleet.play("--limit", "h1:h2");
  assertEquals([again.code, again.recap], [0, ["ok", "ok"]], again.out);
}

const missing = ["ansible-playbook", "ansible-doc"].find((name) =>
  !onPath(name)
);
const skipped = missing && `${missing} is not installed`;

testUnless(
  skipped,
  "the Ansible collection brings hosts to a state without Python, and one that fails stays as it was",
  async () => {
    await using fleet = await Fleet.make();
    fleet.variables = { ansible_connection: "local" };
    const planned = await fleet.play("--check", "--diff");
    assertEquals(planned.recap, ["changed", "changed", "changed"], planned.out);
    assertStringIncludes(planned.out, `-${A}: e1000e has it\n`);
    assertStringIncludes(planned.out, `+${A}: driver vfio-pci\n`);
    assertEquals(await fleet.drivers(), ["e1000e", "e1000e", "e1000e"]);
    await bringAndRepeat(fleet);
    const undone = await fleet.play("-e", "ensure=absent");
    assertEquals(undone.recap, ["changed", "changed", "ok"], undone.out);
    assertEquals(await fleet.drivers(), ["e1000e", "e1000e", "e1000e"]);
  },
);

testUnless(
  skipped,
  "ansible-doc reads the documentation of each module",
  async () => {
    const { STATE } = await import("../../integrations/ansible/state.ts");
    const { FACTS } = await import("../../integrations/ansible/facts.ts");
    for (
      const [name, module] of Object.entries({ state: STATE, facts: FACTS })
    ) {
      const full = `passthru.vfio.${name}`;
      const { code, stdout } = await new Deno.Command("ansible-doc", {
        args: ["--json", "-t", "module", full],
        env: { ANSIBLE_COLLECTIONS_PATH: await collection() },
      }).output();
      assertEquals(code, 0);
      const { doc } = JSON.parse(new TextDecoder().decode(stdout))[full];
      assertEquals(
        Object.keys(doc.options).sort(),
        [...module.parameters].sort(),
      );
    }
  },
);

const noSsh = skipped ?? await whyNoSshHosts();

testUnless(
  noSsh,
  "the Ansible collection brings three hosts to a state over ssh, and one that fails stays as it was",
  async () => {
    await using fleet = await Fleet.make();
    await using hosts = await SshHosts.start(fleet.folder, 3);
    fleet.prefix = hosts.prefix;
    fleet.own = hosts.addresses.map((ansible_host) => ({ ansible_host }));
    fleet.variables = {
      ansible_user: "root",
      ansible_ssh_private_key_file: hosts.key,
    };
    fleet.environment = {
      ANSIBLE_SSH_ARGS:
        "-F /dev/null -o UserKnownHostsFile=/dev/null -o StrictHostKeyChecking=no",
    };
    await bringAndRepeat(fleet);
    assertEquals(hosts.haveLogins, true);
  },
);
