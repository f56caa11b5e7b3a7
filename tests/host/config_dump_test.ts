/**
 * Compares `decodeConfigSpace` with `lspci -vvv`, on functions of a QEMU that
 * does not run its machine, and on those of this host.
 */
import { assert, assertEquals } from "@std/assert";
import {
  type ConfigSpaceDump,
  decodeConfigSpace,
} from "../../lib/pci/config/decode.ts";
import type { ConfigFields, ConfigValue } from "../../lib/pci/config/words.ts";
import { onPath } from "./programs.ts";

/** The address for the config space of QEMU's q35. */
const ECAM = 0xb000_0000;

const NVME = "nvme,bus=b,serial=x,subsys=s,sriov_max_vfs=4,sriov_vq_flexible=8";

/** QEMU's arguments. Below are the buses and devices that result. */
const MACHINE = [
  ...["-machine", "q35,accel=tcg", "-S", "-nodefaults", "-display", "none"],
  ...["-device", "pcie-root-port,id=a,chassis=1,slot=1,addr=2"],
  ...["-device", "pcie-root-port,id=b,chassis=2,slot=2,addr=3"],
  ...["-device", "pcie-root-port,id=c,chassis=3,slot=3,addr=4"],
  ...["-device", "e1000e,bus=a"],
  ...["-device", "nvme-subsys,id=s"],
  ...["-device", `${NVME},sriov_vi_flexible=4,max_ioqpairs=10,msix_qsize=11`],
  ...["-device", "virtio-net-pci,bus=c,ats=on,aer=on"],
  ...["-device", "ich9-ahci,addr=5", "-device", "edu,addr=6"],
  ...["-device", "ich9-usb-ehci1,addr=7"],
];
const PORTS = [2, 3, 4];
const FUNCTIONS = [
  ...[0, 2, 3, 4, 5, 6, 7, 0x1f].map((slot) => [0, slot] as const),
  ...[1, 2, 3].map((bus) => [bus, 0] as const),
];

/** Reads the config space of all functions from a QEMU that runs nothing. */
async function functionsOfQemu(): Promise<Map<string, Uint8Array>> {
  const qemu = new Deno.Command("qemu-system-x86_64", {
    args: [...MACHINE, "-qtest", "stdio"],
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const at = (bus: number, slot: number) => ECAM + (bus << 20) + (slot << 15);
  const commands = [
    // PCIEXBAR of the host bridge.
    "outl 0xcf8 0x80000060",
    `outl 0xcfc ${ECAM + 1}`,
    // The bus behind each port.
    ...PORTS.map((slot, i) =>
      `writel ${at(0, slot) + 0x18} ${(i + 1) << 16 | (i + 1) << 8}`
    ),
    ...FUNCTIONS.map(([bus, slot]) => `read ${at(bus, slot)} 4096`),
  ];
  const writer = qemu.stdin.getWriter();
  await writer.write(new TextEncoder().encode(`${commands.join("\n")}\n`));
  const answers: string[] = [];
  let rest = "";
  for await (
    const text of qemu.stdout.pipeThrough(new TextDecoderStream())
  ) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    answers.push(...lines.filter((line) => line.startsWith("OK 0x")));
    // QEMU does not end by itself.
    if (answers.length === FUNCTIONS.length) break;
  }
  await writer.close();
  qemu.kill();
  await qemu.status;
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  return new Map(FUNCTIONS.map(([bus, slot], i) => [
    `${hex(bus)}:${hex(slot)}.0`,
    Uint8Array.fromHex(answers[i]!.replace(/^OK 0x/, "")),
  ]));
}

/** Has lspci decode the bytes. */
async function lspci(address: string, bytes: Uint8Array): Promise<string> {
  const lines = [`${address} `];
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16).toHex().match(/../g)!;
    lines.push(`${at.toString(16).padStart(2, "0")}: ${row.join(" ")}`);
  }
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, `${lines.join("\n")}\n\n`);
    const { stdout } = await new Deno.Command("lspci", {
      args: ["-vvv", "-n", "-F", path],
      stderr: "null",
    }).output();
    return new TextDecoder().decode(stdout);
  } finally {
    await Deno.remove(path);
  }
}

const COMMAND = {
  "I/O": "io",
  Mem: "memory",
  BusMaster: "busMaster",
  SpecCycle: "specialCycle",
  MemWINV: "writeAndInvalidate",
  VGASnoop: "vgaSnoop",
  ParErr: "parityError",
  Stepping: "stepping",
  SERR: "systemError",
  FastB2B: "fastBackToBack",
  DisINTx: "intxDisabled",
};
const STATUS = {
  Cap: "capabilities",
  "66MHz": "66MHz",
  FastB2B: "fastBackToBack",
  ParErr: "masterParityError",
  ">TAbort": "signaledTargetAbort",
  "<TAbort": "receivedTargetAbort",
  "<MAbort": "receivedMasterAbort",
  ">SERR": "signaledSystemError",
  "<PERR": "detectedParityError",
  INTx: "interrupt",
};
const ACS = {
  SrcValid: "sourceValidation",
  TransBlk: "translationBlocking",
  ReqRedir: "requestRedirect",
  CmpltRedir: "completionRedirect",
  UpstreamFwd: "upstreamForwarding",
  EgressCtrl: "egressControl",
  DirectTrans: "directTranslated",
};
const UNCORRECTABLE = {
  DLP: "dataLink",
  SDES: "surpriseDown",
  TLP: "poisoned",
  FCP: "flowControl",
  CmpltTO: "completionTimeout",
  CmpltAbrt: "completerAbort",
  UnxCmplt: "unexpectedCompletion",
  RxOF: "receiverOverflow",
  MalfTLP: "malformed",
  ECRC: "ecrc",
  UnsupReq: "unsupportedRequest",
  ACSViol: "acsViolation",
};
const CORRECTABLE = {
  RxErr: "receiver",
  BadTLP: "badTlp",
  BadDLLP: "badDllp",
  Rollover: "rollover",
  Timeout: "replayTimeout",
  AdvNonFatalErr: "advisoryNonFatal",
};
const DEVICE_CONTROL = {
  CorrErr: "correctableErrors",
  NonFatalErr: "nonFatalErrors",
  FatalErr: "fatalErrors",
  UnsupReq: "unsupportedRequests",
};
const DEVICE_STATUS = {
  CorrErr: "correctableError",
  NonFatalErr: "nonFatalError",
  FatalErr: "fatalError",
  UnsupReq: "unsupportedRequest",
  AuxPwr: "auxiliaryPower",
  TransPend: "transactionsPending",
};
const SLOT = {
  AttnBtn: "attentionButton",
  PwrCtrl: "powerController",
  MRL: "latchSensor",
  AttnInd: "attentionIndicator",
  PwrInd: "powerIndicator",
  HotPlug: "hotPlug",
  Surprise: "surprise",
};

/**
 * Lines of flags: the beginning of each, its place in the dump, and the names.
 */
const FLAGS: readonly (readonly [
  start: string,
  capability: string | undefined,
  register: string,
  names: Readonly<Record<string, string>>,
])[] = [
  ["Control:", undefined, "command", COMMAND],
  ["Status:", undefined, "status", STATUS],
  ["ACSCap:", "Access Control Services", "capabilities", ACS],
  ["ACSCtl:", "Access Control Services", "control", ACS],
  ["UESta:", "Advanced Error Reporting", "uncorrectable", UNCORRECTABLE],
  ["UEMsk:", "Advanced Error Reporting", "uncorrectableMasked", UNCORRECTABLE],
  ["UESvrt:", "Advanced Error Reporting", "uncorrectableFatal", UNCORRECTABLE],
  ["CESta:", "Advanced Error Reporting", "correctable", CORRECTABLE],
  ["CEMsk:", "Advanced Error Reporting", "correctableMasked", CORRECTABLE],
  ["DevCtl:", "Express", "deviceControl", DEVICE_CONTROL],
  ["DevSta:", "Express", "deviceStatus", DEVICE_STATUS],
  ["SltCap:", "Express", "slotCapabilities", SLOT],
];

/** Facts: lspci's text of each, and its place in the dump. */
const FACTS: readonly (readonly [
  pattern: RegExp,
  capability: string,
  fields: readonly string[],
])[] = [
  [
    /MSI: Enable(\S) Count=(\d+)\/(\d+) Maskable(\S) 64bit(\S)/,
    "MSI",
    ["enabled", "vectorsEnabled", "vectors", "maskable", "is64bit"],
  ],
  [
    /MSI-X: Enable(\S) Count=(\d+) Masked(\S)/,
    "MSI-X",
    ["enabled", "vectors", "masked"],
  ],
  [
    /Vector table: BAR=(\d) offset=(\w+)/,
    "MSI-X",
    ["table.bar", "table.offset"],
  ],
  [
    /PBA: BAR=(\d) offset=(\w+)/,
    "MSI-X",
    ["pendingBits.bar", "pendingBits.offset"],
  ],
  [
    /Status: (D\d) NoSoftRst(\S) PME-Enable(\S)/,
    "Power Management",
    ["state", "noSoftReset", "pmeEnabled"],
  ],
  [/Express \(v(\d)\)/, "Express", ["version"]],
  [
    /DevCap:\tMaxPayload (\d+) bytes, PhantFunc (\d)/,
    "Express",
    ["deviceCapabilities.maxPayload", "deviceCapabilities.phantomFunctions"],
  ],
  [/FLReset(\S)/, "Express", ["deviceCapabilities.functionLevelReset"]],
  [
    /\tMaxPayload (\d+) bytes, MaxReadReq (\d+) bytes/,
    "Express",
    ["deviceControl.maxPayload", "deviceControl.maxReadRequest"],
  ],
  [
    /LnkCap:\tPort #(\d+), Speed ([\d.]+)GT\/s, Width x(\d+)/,
    "Express",
    ["port", "speed", "width"].map((name) => `linkCapabilities.${name}`),
  ],
  [
    /LnkSta:\tSpeed ([\d.]+)GT\/s(?: \(\w+\))?, Width x(\d+)/,
    "Express",
    ["linkStatus.speed", "linkStatus.width"],
  ],
  [
    /Initial VFs: (\d+), Total VFs: (\d+), Number of VFs: (\d+)/,
    "SR-IOV",
    ["initial", "total", "number"],
  ],
  [
    /VF offset: (\d+), stride: (\d+), Device ID: (\w+)/,
    "SR-IOV",
    ["offset", "stride", "device"],
  ],
  [/IOVCtl:\tEnable(\S)/, "SR-IOV", ["control.enabled"]],
  [/Device Serial Number (\S+)/, "Device Serial Number", ["serial"]],
  [
    /ARICap:\tMFVC(\S) ACS(\S), Next Function: (\d+)/,
    "Alternative Routing-ID",
    [
      "capabilities.functionGroups",
      "capabilities.acsFunctionGroups",
      "nextFunction",
    ],
  ],
  [
    /ATSCtl:\tEnable(\S)/,
    "Address Translation Service",
    ["enabled"],
  ],
];

function fieldsOf(
  dump: ConfigSpaceDump,
  capability: string | undefined,
): ConfigFields | undefined {
  if (capability === undefined) return dump.header;
  return dump.capabilities.find(({ name }) => name === capability)?.fields;
}

function at(fields: ConfigFields, path: string): ConfigValue | undefined {
  return path.split(".").reduce(
    (value: ConfigValue | undefined, name) =>
      (value as ConfigFields | undefined)?.[name],
    fields,
  );
}

/** Writes a value of the dump as lspci does. */
function written(value: ConfigValue | undefined): string {
  if (typeof value === "boolean") return value ? "+" : "-";
  return String(value).replace(/^0x/, "");
}

/**
 * Compares a dump with lspci's text, and returns how many facts were compared.
 */
function compare(dump: ConfigSpaceDump, text: string): number {
  let facts = 0;
  const chain = [...text.matchAll(/Capabilities: \[(\w+)(?: v(\d+))?\]/g)]
    .map(([, where, version]) => [where, version]);
  assertEquals(
    dump.capabilities.map(({ at, version }) => [
      at.toString(16).padStart(version === undefined ? 2 : 3, "0"),
      version?.toString(),
    ]),
    chain,
    text,
  );
  for (const [start, capability, register, names] of FLAGS) {
    const line = text.split("\n").find((line) => line.trim().startsWith(start));
    const fields = fieldsOf(dump, capability);
    if (line === undefined || fields === undefined) continue;
    for (const [name, ours] of Object.entries(names)) {
      const sign = line.split(/[\s,]+/).find((word) =>
        word.slice(0, -1).replace(/=.*/, "") === name
      )?.at(-1);
      if (sign === undefined) continue;
      assertEquals(written(at(fields, `${register}.${ours}`)), sign, line);
      facts++;
    }
  }
  for (const [pattern, capability, paths] of FACTS) {
    const values = pattern.exec(text)?.slice(1);
    const fields = fieldsOf(dump, capability);
    if (values === undefined || fields === undefined) continue;
    assertEquals(paths.map((path) => written(at(fields, path))), values, text);
    facts += values.length;
  }
  return facts;
}

Deno.test({
  name: "decodeConfigSpace() agrees with lspci when the functions are QEMU's",
  ignore: !onPath("lspci") || !onPath("qemu-system-x86_64"),
  async fn() {
    const names = new Set<string>();
    let facts = 0;
    for (const [address, bytes] of await functionsOfQemu()) {
      assertEquals(bytes.length, 4096);
      const dump = decodeConfigSpace(bytes);
      assertEquals(dump.problems, [], address);
      facts += compare(dump, await lspci(address, bytes));
      for (const { name } of dump.capabilities) names.add(name);
    }
    assert(facts > 400, `${facts} facts`);
    for (
      const name of [
        "Power Management",
        "MSI",
        "MSI-X",
        "Express",
        "Advanced Error Reporting",
        "Access Control Services",
        "Alternative Routing-ID",
        "SR-IOV",
        "Address Translation Service",
        "Device Serial Number",
      ]
    ) assert(names.has(name), name);
  },
});

Deno.test({
  name:
    "decodeConfigSpace() agrees with lspci when the functions are this host's",
  ignore: !onPath("lspci"),
  async fn() {
    const devices = "/sys/bus/pci/devices";
    for (const { name } of await Array.fromAsync(Deno.readDir(devices))) {
      const bytes = await Deno.readFile(`${devices}/${name}/config`);
      compare(decodeConfigSpace(bytes), await lspci(name.slice(5), bytes));
    }
  },
});
