/**
 * What `lspci -vvv` writes of config space other than flags, and where
 * `decodeConfigSpace` has the same.
 *
 * @module
 */

const EA = "Enhanced Allocation";
const HT = "HyperTransport";
const IDE = "Integrity and Data Encryption";
const DVSEC = "Designated Vendor-Specific";

/** Facts: lspci's text of each, and its place in the dump. */
export const FACTS: readonly (readonly [
  pattern: RegExp,
  capability: string | undefined,
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
  [
    /Region 0: Memory at (\w+) \(32-bit, non-prefetchable\)/,
    undefined,
    ["bars.0.address"],
  ],
  [
    /Bus: primary=(\w+), secondary=(\w+), subordinate=(\w+)/,
    undefined,
    ["primaryBus", "secondaryBus", "subordinateBus"],
  ],
  [
    /Memory window 0: (\w+)-(\w+)/,
    undefined,
    ["memoryWindow0.start", "memoryWindow0.last"],
  ],
  [
    /Memory window 1: (\w+)-(\w+)/,
    undefined,
    ["memoryWindow1.start", "memoryWindow1.last"],
  ],
  [
    /I\/O window 0: (\w+)-(\w+)/,
    undefined,
    ["ioWindow0.start", "ioWindow0.last"],
  ],
  [
    /I\/O window 1: (\w+)-(\w+)/,
    undefined,
    ["ioWindow1.start", "ioWindow1.last"],
  ],
  [/Power Management version (\d)/, "Power Management", ["version"]],
  [/BAR Equivalent Indicator: (.*)/, EA, ["entries.0.resource"]],
  [
    /Entry 2:[^]*?BAR Equivalent Indicator: (.*)/,
    EA,
    ["entries.2.resource"],
  ],
  [
    /Entry 3:[^]*?BAR Equivalent Indicator: (.*)/,
    EA,
    ["entries.3.resource"],
  ],
  [
    /Entry 3: Enable(\S) Writable(\S)[^]*Base: (\w+)\s+MaxOffset: (\w+)/,
    EA,
    ["enabled", "writable", "base", "maxOffset"]
      .map((name) => `entries.3.${name}`),
  ],
  [/HyperTransport: MSI Mapping Enable(\S) Fixed(\S)/, HT, [
    "enabled",
    "fixed",
  ]],
  [/HyperTransport: (Slave or Primary Interface)/i, HT, ["kind"]],
  [/HyperTransport: (Host or Secondary Interface)/i, HT, ["kind"]],
  [/HyperTransport: (Retry Mode|MSI Mapping)/i, HT, ["kind"]],
  [/HyperTransport: Revision ID: ([\d.]+)/, HT, ["revision"]],
  [/\tRevision ID: ([\d.]+)/, HT, ["revision"]],
  [
    /BaseUnitID=(\d+) UnitCnt=(\d+)/,
    HT,
    ["command.baseUnit", "command.units"],
  ],
  [
    /Link Config(?: 0)?: MLWI=(\d+)bit .*MLWO=(\d+)bit .*LWI=(\d+)bit .*LWO=(\d+)bit/,
    HT,
    ["maxWidthIn", "maxWidthOut", "widthIn", "widthOut"]
      .map((name) => `{link0,link}.${name}`),
  ],
  [/Link Frequency(?: 0)?: ([\d.]+[MG]Hz)/, HT, ["{link0,link}.frequency"]],
  [/PCI-X[^]* RBC=(\d+) OST=(\d+)/, "PCI-X", [
    "command.maxRead",
    "command.maxSplits",
  ]],
  [/Status: Dev=(\S+)/, "PCI-X", ["status.device"]],
  [
    /DMMRBC=(\d+) DMOST=(\d+) DMCRS=(\d+)/,
    "PCI-X",
    [
      "status.designedRead",
      "status.designedSplits",
      "status.designedCumulative",
    ],
  ],
  [
    /Upstream: Capacity=(\d+) CommitmentLimit=(\d+)/,
    "PCI-X",
    ["upstream.capacity", "upstream.limit"],
  ],
  [
    /Downstream: Capacity=(\d+) CommitmentLimit=(\d+)/,
    "PCI-X",
    ["downstream.capacity", "downstream.limit"],
  ],
  [/MaxGroups (\d+)/, "Multicast", ["maxGroups"]],
  [/ECRCRegen(\S)/, "Multicast", ["ecrcRegeneration"]],
  [/NumGroups (\d+), Enable(\S)/, "Multicast", ["groups", "enabled"]],
  [
    /IndexPos (\d+), BaseAddr (\w+)/,
    "Multicast",
    ["indexPosition", "base"],
  ],
  [/McastReceiveVec:\s+(\w+)/, "Multicast", ["receive"]],
  [/McastBlockAllVec:\s+(\w+)/, "Multicast", ["blockAll"]],
  [/McastBlockUntransVec:\s+(\w+)/, "Multicast", ["blockUntranslated"]],
  [/DOECap: IntSup(\S)/, "Data Object Exchange", ["interrupt"]],
  [/IntMsgNum (\d+)/, "Data Object Exchange", ["interruptMessage"]],
  [
    /IDECap: Lnk=(\d+) Sel=(\d+) .*Alg='(.*)' TCs=(\d+)/,
    IDE,
    ["links", "selective", "algorithm", "trafficClasses"],
  ],
  [
    /SelectiveIDE#0 Ctl: En(\S) .*PCRC(\S) CFG(\S) .*TC(\d+) ID(\d+)/,
    IDE,
    ["enabled", "pcrc", "configuration", "trafficClass", "id"]
      .map((name) => `selectiveStreams.0.${name}`),
  ],
  [
    /SelectiveIDE#0 Sta: (\w+) RecvChkFail(\S)/,
    IDE,
    ["selectiveStreams.0.state", "selectiveStreams.0.failed"],
  ],
  [
    /SelectiveIDE#0 RID: Valid(\S) Base=(\w+) Limit=(\w+) SegBase=(\w+)/,
    IDE,
    ["valid", "first", "last", "segment"]
      .map((name) => `selectiveStreams.0.requesters.${name}`),
  ],
  [
    /SelectiveIDE#0 RID#0: Valid(\S) Base=(\w+) Limit=(\w+)/,
    IDE,
    ["valid", "start", "last"]
      .map((name) => `selectiveStreams.0.addresses.0.${name}`),
  ],
  [/Vendor=(\w+) ID=(\w+) Rev=(\d+) Len=(\d+)/, DVSEC, [
    "vendor",
    "id",
    "revision",
    "length",
  ]],
  [/HDMCount (\d+)/, DVSEC, ["capabilities.ranges"]],
  [
    /Range1: (\w+)-\w+ \[size=0x(\w+)\]\s+Valid(\S) Active(\S)/,
    DVSEC,
    ["base", "size", "valid", "active"].map((name) => `ranges.0.${name}`),
  ],
  [/Received FB Data: (\w+)/, DVSEC, ["received"]],
  [
    /Block1: BIR: bar(\d+), ID: ([^,]+), offset: (\w+)/,
    DVSEC,
    ["blocks.0.bar", "blocks.0.about", "blocks.0.offset"],
  ],
  [
    /Block2: BIR: bar(\d+), ID: ([^,]+), offset: (\w+)/,
    DVSEC,
    ["blocks.1.bar", "blocks.1.about", "blocks.1.offset"],
  ],
  [/GPF Phase 1 Timeout: (\w+)/, DVSEC, ["phase1"]],
  [/GPF Phase 2 (?:Timeout|Duration): (\w+)/, DVSEC, ["phase2"]],
  [/GPF Phase 2 Power: (\d+)mW/, DVSEC, ["phase2Milliwatts"]],
  [
    /Caps:\tLPEVC=(\d+)/,
    "Virtual Channel",
    ["lowPriority"],
  ],
  [
    /VC0:[^]*?Ctrl:\tEnable(\S) ID=(\d+) ArbSelect=Fixed TC\/VC=(\w+)\s+Status:\tNegoPending(\S) InProgress(\S)/,
    "Virtual Channel",
    ["enabled", "id", "trafficClasses", "negotiating", "loadingTable"]
      .map((name) => `channels.0.${name}`),
  ],
];
