/**
 * The flags that `lspci -vvv` writes of config space, and where `decodeConfigSpace` has
 * the same.
 *
 * @module
 */

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

const BRIDGE = {
  Parity: "parityError",
  SERR: "systemError",
  VGA: "vga",
  MAbort: "masterAbort",
  "16bInt": "interruptOf16BitCards",
  PostWrite: "postedWrites",
};
const ENCRYPTION = {
  FlowThru: "flowThrough",
  PartHdr: "partialHeader",
  Aggr: "aggregation",
  IDE_KM: "keyManagement",
  TeeLim: "teeLimited",
};
const DATA_OBJECTS = {
  Busy: "busy",
  IntSta: "interrupt",
  Error: "error",
  ObjectReady: "ready",
};
const EQUALIZATION = {
  LnkEquIntrruptEn: "equalizationInterrupt",
  PerformEqu: "performEqualization",
};
const CXL = {
  Cache: "cache",
  IO: "io",
  Mem: "memory",
  MemHWInit: "memoryInitializes",
  Viral: "viral",
};
const CXL_STATUS = {
  ResetComplete: "resetComplete",
  ResetError: "resetError",
  PMComplete: "powerManaged",
};
const FLEX_BUS = {
  Cache: "cache",
  IO: "io",
  Mem: "memory",
  "68BFlit": "flit68",
  MltLogDev: "logicalDevices",
};
const PCI_X_COMMAND = { DPERE: "recoversDataParity", ERO: "relaxedOrdering" };
const PCI_X_STATUS = {
  "64bit": "64bit",
  "133MHz": "133MHz",
  SCD: "splitDiscarded",
  USC: "unexpectedSplit",
  SCO: "splitOverrun",
  SRD: "splitDelayed",
  RSCEM: "splitError",
  "266MHz": "266MHz",
  "533MHz": "533MHz",
};
const HT_COMMAND = {
  MastHost: "masterHost",
  DefDir: "defaultDirection",
  DUL: "dropUninitialized",
  WarmRst: "warmReset",
  DblEnd: "doubleEnded",
  HostHide: "hidden",
  Slave: "slave",
};
const HT_LINK = {
  "<LkFail": "failed",
  Init: "initialized",
  EOC: "endOfChain",
  TXO: "transmitterOff",
  "64b": "64bit",
};

/**
 * Lines of flags: the beginning of each, its place in the dump, and the names.
 */
export const FLAGS: readonly (readonly [
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
  ["BridgeCtl:", undefined, "bridgeControl", BRIDGE],
  ["IDECap:", "Integrity and Data Encryption", "", ENCRYPTION],
  ["DOECtl:", "Data Object Exchange", "control", { IntEn: "interrupt" }],
  ["DOESta:", "Data Object Exchange", "status", DATA_OBJECTS],
  ["LnkCtl3:", "Secondary PCI Express", "linkControl3", EQUALIZATION],
  ["CXLCap:", "Designated Vendor-Specific", "capabilities", CXL],
  ["CXLCtl:", "Designated Vendor-Specific", "control", CXL],
  ["CXLSta:", "Designated Vendor-Specific", "status", CXL],
  ["CXLSta2:", "Designated Vendor-Specific", "status", CXL_STATUS],
  ["FBCap:", "Designated Vendor-Specific", "capabilities", FLEX_BUS],
  ["FBCtl:", "Designated Vendor-Specific", "control", FLEX_BUS],
  ["FBSta:", "Designated Vendor-Specific", "status", FLEX_BUS],
  ["Command:", "PCI-X", "command", PCI_X_COMMAND],
  ["Secondary Status:", "PCI-X", "secondaryStatus", PCI_X_STATUS],
  ["Status:", "PCI-X", "status", PCI_X_STATUS],
  ["Command:", "HyperTransport", "command", HT_COMMAND],
  ["Link Control 0:", "HyperTransport", "link0", HT_LINK],
  ["Link Control 1:", "HyperTransport", "link1", HT_LINK],
  ["Link Control:", "HyperTransport", "link", HT_LINK],
];
