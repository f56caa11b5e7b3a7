/**
 * Compares every number of `lib/uapi/` with the headers of the newest kernel
 * here: a C program that includes them prints the values of the same names.
 * `dirent.ts`, `pci/rom.ts`, `pci/unnamed_regs.ts` and `pci/cxl_regs.ts` are left
 * out, as no header for user space has their names.
 */
import { assertEquals } from "@std/assert";
import { join } from "@std/path";
import * as eventfd from "../../lib/uapi/linux/eventfd.ts";
import * as fcntl from "../../lib/uapi/linux/fcntl.ts";
import type { Ioctl } from "../../lib/uapi/ioctl.ts";
import * as iommufd from "../../lib/uapi/iommufd/all.ts";
import { type Field, type Flexible, Struct } from "../../lib/uapi/layout.ts";
import * as epoll from "../../lib/uapi/linux/epoll.ts";
import * as kvm from "../../lib/uapi/linux/kvm.ts";
import * as memfd from "../../lib/uapi/linux/memfd.ts";
import * as mman from "../../lib/uapi/linux/mman.ts";
import * as syscall from "../../lib/uapi/linux/syscall.ts";
import * as pciCardbusRegs from "../../lib/uapi/pci/cardbus_regs.ts";
import * as pciExpressPortRegs from "../../lib/uapi/pci/express_port_regs.ts";
import * as pciExpressRegs from "../../lib/uapi/pci/express_regs.ts";
import * as pciExtendedRegs from "../../lib/uapi/pci/extended_regs.ts";
import * as pciIdeRegs from "../../lib/uapi/pci/ide_regs.ts";
import * as pciRegs from "../../lib/uapi/pci/regs.ts";
import * as netlink from "../../lib/uapi/linux/netlink.ts";
import * as poll from "../../lib/uapi/linux/poll.ts";
import * as rtnetlink from "../../lib/uapi/linux/rtnetlink.ts";
import * as serialReg from "../../lib/uapi/linux/serial_reg.ts";
import * as socket from "../../lib/uapi/linux/socket.ts";
import * as spawn from "../../lib/uapi/linux/spawn.ts";
import * as statx from "../../lib/uapi/linux/statx.ts";
import * as vfio from "../../lib/uapi/vfio/all.ts";
import { kernelHeaders } from "../vm/kernel.ts";

/** The expected values of C expressions. */
type Facts = Record<string, number | string>;

/** The C expressions for our own names. */
const OURS: Record<string, string> = {
  VFIO_DEVICE_BIND_IOMMUFD_SIZE_WITHOUT_TOKEN:
    "offsetof(struct vfio_device_bind_iommufd, token_uuid_ptr)",
  VFIO_DEVICE_ATTACH_IOMMUFD_PT_SIZE_WITHOUT_PASID:
    "offsetof(struct vfio_device_attach_iommufd_pt, pasid)",
  VFIO_DEVICE_DETACH_IOMMUFD_PT_SIZE_WITHOUT_PASID:
    "offsetof(struct vfio_device_detach_iommufd_pt, pasid)",
  FILE_ACTIONS_BYTES: "sizeof(posix_spawn_file_actions_t)",
  SPAWN_ATTRIBUTES_BYTES: "sizeof(posix_spawnattr_t)",
  SIGNAL_SET_BYTES: "sizeof(sigset_t)",
  // `UEVENT_GROUP`, of the kernel alone (lib/kobject_uevent.c)
  KERNEL_EVENTS: "1",
};

/** Members that differ on purpose. */
const APART = new Set([
  // `short`, but never used as a number
  "pollfd.events",
  "pollfd.revents",
  // an array of one
  "statx.__spare0",
  // stands for all members that were added later
  "statx.__spare2",
]);

/** The arguments for the functions that stand for macros. */
const SAMPLES = [0, 0x5a, 0xff, 0x1401_0003, 0xfff2_001e];

function factsOf(module: object): Facts {
  const facts: Facts = {};
  for (const [name, value] of Object.entries(module)) {
    if (typeof value === "number") {
      // A negative int of C is passed in a member that is u32.
      const cast = value > 0x7fff_ffff ? "(unsigned)" : "";
      facts[`${cast}(${OURS[name] ?? name})`] = value;
    } else if (typeof value === "string") {
      facts[name] = value;
    } else if (typeof value === "function") {
      for (const sample of SAMPLES) {
        facts[`${name}(${sample}u)`] = value(sample);
      }
    } else if (value instanceof Struct) {
      Object.assign(facts, factsOfStruct(value));
    } else {
      facts[`(${name})`] = (value as Ioctl).request;
    }
  }
  return facts;
}

function factsOfStruct({ type, size, align, fields, offset }: Struct<
  Record<string, Field<unknown>>
>): Facts {
  const struct = `struct ${type}`;
  const facts: Facts = {
    [`sizeof(${struct})`]: size,
    [`_Alignof(${struct})`]: align,
  };
  for (const [name, field] of Object.entries(fields)) {
    if (APART.has(`${type}.${name}`)) continue;
    facts[`offsetof(${struct}, ${name})`] = offset[name]!;
    const member = `((${struct} *)0)->${name}`;
    if (isFlexible(field)) {
      Object.assign(facts, factsOfType(`${member}[0]`, field.element));
    } else {
      Object.assign(facts, factsOfType(member, field));
    }
  }
  return facts;
}

function factsOfType(expression: string, field: Field<unknown>): Facts {
  const facts: Facts = { [`sizeof(${expression})`]: field.size };
  const type = `__typeof__(${expression})`;
  if (field instanceof Struct) {
    const same = `__builtin_types_compatible_p(${type}, struct ${field.type})`;
    facts[same] = 1;
  } else if (/^[iu]\d+$/.test(field.type)) {
    facts[`(${type})-1 < 0`] = field.type.startsWith("i") ? 1 : 0;
  } else {
    const [, element, length] = field.type.match(/^(.*)\[(\d+)\]$/)!;
    facts[`sizeof(${expression}[0])`] = parseInt(element!.slice(1)) / 8;
    facts[`sizeof(${expression}) / sizeof(${expression}[0])`] = Number(length);
  }
  return facts;
}

function isFlexible(field: Field<unknown>): field is Flexible<Field<unknown>> {
  return "flexible" in field;
}

/** Compiles the same expressions, and returns their values in C. */
async function compile(headers: string[], facts: Facts): Promise<Facts> {
  const expressions = Object.keys(facts);
  const source = [
    "#include <stddef.h>",
    "#include <stdio.h>",
    ...headers.map((header) => `#include <${header}>`),
    "int main(void) {",
    ...expressions.map((expression) =>
      typeof facts[expression] === "string"
        ? `puts(${expression});`
        : `printf("%lld\\n", (long long)(${expression}));`
    ),
    "}",
  ].join("\n");
  const dir = await Deno.makeTempDir();
  try {
    const program = join(dir, "facts");
    await Deno.writeTextFile(`${program}.c`, source);
    await output("gcc", [
      "-w",
      "-D_GNU_SOURCE",
      `-I${await kernelHeaders()}`,
      "-o",
      program,
      `${program}.c`,
    ]);
    const values = (await output(program, [])).trimEnd().split("\n");
    return Object.fromEntries(expressions.map((expression, i) => [
      expression,
      typeof facts[expression] === "string" ? values[i]! : Number(values[i]),
    ]));
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

async function output(command: string, args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(command, { args })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}

async function headerText(header: string): Promise<string> {
  const text = await Deno.readTextFile(join(await kernelHeaders(), header));
  return text.replaceAll(/\/\*.*?\*\//gs, "");
}

/** PowerPC has other ioctl numbers, and is not supported. */
const LEFT_OUT = /_iommu_spapr_|_eeh_pe_/i;

/** The constants, the members of enums and the structs of a header. */
async function namesIn(header: string): Promise<string[]> {
  const text = await headerText(header);
  return [
    ...text.matchAll(/^\s*#\s*define\s+(\w+)[ \t]+\S/gm),
    ...[...text.matchAll(/\benum\s*\w*\s*\{([^}]*)\}/g)]
      .flatMap(([, body]) => [...body!.matchAll(/^\s*(\w+)\s*(?:=.*)?,?$/gm)]),
    ...text.matchAll(/^struct\s+(\w+)\s*\{/gm),
  ].map(([, name]) => name!).filter((name) => !LEFT_OUT.test(name));
}

/** The members of each struct of a header, including those of its unions. */
async function membersIn(header: string): Promise<Record<string, string[]>> {
  const text = (await headerText(header)).replaceAll(/^\s*#.*$/gm, "");
  const structs = text.matchAll(/^struct\s+(\w+)\s*\{(.*?)^\}/gms);
  return Object.fromEntries(
    [...structs].filter(([, name]) => !LEFT_OUT.test(name!)).map((
      [, name, body],
    ) => [
      name,
      [...body!.matchAll(/(\w+)\s*(?:\[\w*\])?\s*(?:__counted_by\(\w+\))?;/g)]
        .map(([, member]) => member!),
    ]),
  );
}

// A union is in the struct. Watching descriptors shows that its layout is right.
const { epoll_event: _, ...EPOLL_NUMBERS } = epoll;

const MODULES: Record<string, { module: object; headers: string[] }> = {
  "vfio.ts": { module: vfio, headers: ["linux/vfio.h"] },
  "iommufd.ts": { module: iommufd, headers: ["linux/iommufd.h"] },
  "pci_regs.ts": { module: pciRegs, headers: ["linux/pci.h"] },
  "pci_cardbus_regs.ts": { module: pciCardbusRegs, headers: ["linux/pci.h"] },
  "pci_ide_regs.ts": {
    module: pciIdeRegs,
    headers: [
      "asm/bitsperlong.h",
      "linux/const.h",
      "linux/bits.h",
      "linux/pci.h",
    ],
  },
  "pci_express_port_regs.ts": {
    module: pciExpressPortRegs,
    headers: ["linux/pci.h"],
  },
  "pci_extended_regs.ts": {
    module: pciExtendedRegs,
    headers: ["linux/pci.h"],
  },
  "pci_express_regs.ts": { module: pciExpressRegs, headers: ["linux/pci.h"] },
  "fcntl.ts": { module: fcntl, headers: ["linux/fcntl.h"] },
  "kvm.ts": { module: kvm, headers: ["linux/kvm.h"] },
  "memfd.ts": { module: memfd, headers: ["linux/memfd.h"] },
  "epoll.ts": { module: EPOLL_NUMBERS, headers: ["sys/epoll.h"] },
  "syscall.ts": { module: syscall, headers: ["sys/syscall.h"] },
  "mman.ts": {
    module: mman,
    headers: ["linux/mman.h", "linux/mempolicy.h"],
  },
  "eventfd.ts": { module: eventfd, headers: ["linux/eventfd.h"] },
  "poll.ts": { module: poll, headers: ["linux/poll.h"] },
  "rtnetlink.ts": {
    module: rtnetlink,
    headers: ["linux/rtnetlink.h", "linux/if_link.h", "linux/if_ether.h"],
  },
  "serial_reg.ts": { module: serialReg, headers: ["linux/serial_reg.h"] },
  "socket.ts": { module: socket, headers: ["sys/socket.h"] },
  "netlink.ts": {
    module: netlink,
    headers: ["sys/socket.h", "linux/netlink.h"],
  },
  "spawn.ts": { module: spawn, headers: ["spawn.h", "signal.h"] },
  "statx.ts": { module: statx, headers: ["fcntl.h", "sys/stat.h"] },
};

for (const [name, { module, headers }] of Object.entries(MODULES)) {
  Deno.test(`${name} agrees with ${headers.join(" and ")}`, async () => {
    const facts = factsOf(module);
    assertEquals(facts, await compile(headers, facts));
  });
}

for (const name of ["vfio.ts", "iommufd.ts"]) {
  const { module, headers: [header] } = MODULES[name]!;

  Deno.test(`${name} has every name in ${header}`, async () => {
    const names = await namesIn(header!);
    assertEquals(names.filter((name) => !(name in module)), []);
  });

  Deno.test(`${name} has every member of every struct in ${header}`, async () => {
    const described = Object.fromEntries(
      Object.entries(module)
        .filter(([, value]) => value instanceof Struct)
        .map(([name, value]) => [name, Object.keys(value.fields)]),
    );
    assertEquals(described, await membersIn(header!));
  });
}
