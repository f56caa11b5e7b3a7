/**
 * `linux/pci_regs.h`: registers of extended capabilities, beyond those in
 * `pci_express_regs.ts`. Offsets count from a capability's start.
 *
 * @module
 */

// Advanced error reporting (AER)
export const PCI_ERR_UNCOR_STATUS = 0x04;
export const PCI_ERR_UNC_DLP = 0x00000010;
export const PCI_ERR_UNC_SURPDN = 0x00000020;
export const PCI_ERR_UNC_POISON_TLP = 0x00001000;
export const PCI_ERR_UNC_FCP = 0x00002000;
export const PCI_ERR_UNC_COMP_TIME = 0x00004000;
export const PCI_ERR_UNC_COMP_ABORT = 0x00008000;
export const PCI_ERR_UNC_UNX_COMP = 0x00010000;
export const PCI_ERR_UNC_RX_OVER = 0x00020000;
export const PCI_ERR_UNC_MALF_TLP = 0x00040000;
export const PCI_ERR_UNC_ECRC = 0x00080000;
export const PCI_ERR_UNC_UNSUP = 0x00100000;
export const PCI_ERR_UNC_ACSV = 0x00200000;
export const PCI_ERR_UNCOR_MASK = 0x08;
export const PCI_ERR_UNCOR_SEVER = 0x0c;
export const PCI_ERR_COR_STATUS = 0x10;
export const PCI_ERR_COR_RCVR = 0x00000001;
export const PCI_ERR_COR_BAD_TLP = 0x00000040;
export const PCI_ERR_COR_BAD_DLLP = 0x00000080;
export const PCI_ERR_COR_REP_ROLL = 0x00000100;
export const PCI_ERR_COR_REP_TIMER = 0x00001000;
export const PCI_ERR_COR_ADV_NFAT = 0x00002000;
export const PCI_ERR_COR_MASK = 0x14;
export const PCI_ERR_CAP = 0x18;
export const PCI_ERR_CAP_ECRC_GENC = 0x00000020;
export const PCI_ERR_CAP_ECRC_GENE = 0x00000040;
export const PCI_ERR_CAP_ECRC_CHKC = 0x00000080;
export const PCI_ERR_CAP_ECRC_CHKE = 0x00000100;
export const PCI_ERR_HEADER_LOG = 0x1c;

// Virtual channels
export const PCI_VC_PORT_CAP1 = 0x04;
export const PCI_VC_CAP1_EVCC = 0x00000007;
export const PCI_VC_CAP1_LPEVCC = 0x00000070;
export const PCI_VC_RES_CAP = 0x10;
export const PCI_VC_RES_CTRL = 0x14;
export const PCI_VC_RES_CTRL_ID = 0x07000000;
export const PCI_VC_RES_CTRL_ENABLE = 0x80000000;
export const PCI_VC_RES_STATUS = 0x1a;
export const PCI_VC_RES_STATUS_NEGO = 0x00000002;

// Latency tolerance reporting (LTR)
export const PCI_LTR_MAX_SNOOP_LAT = 0x4;
export const PCI_LTR_MAX_NOSNOOP_LAT = 0x6;
export const PCI_LTR_VALUE_MASK = 0x000003ff;
export const PCI_LTR_SCALE_MASK = 0x00001c00;

// L1 PM substates
export const PCI_L1SS_CAP = 0x04;
export const PCI_L1SS_CAP_PCIPM_L1_2 = 0x00000001;
export const PCI_L1SS_CAP_PCIPM_L1_1 = 0x00000002;
export const PCI_L1SS_CAP_ASPM_L1_2 = 0x00000004;
export const PCI_L1SS_CAP_ASPM_L1_1 = 0x00000008;
export const PCI_L1SS_CAP_L1_PM_SS = 0x00000010;
export const PCI_L1SS_CAP_CM_RESTORE_TIME = 0x0000ff00;
export const PCI_L1SS_CTL1 = 0x08;
export const PCI_L1SS_CTL1_PCIPM_L1_2 = 0x00000001;
export const PCI_L1SS_CTL1_PCIPM_L1_1 = 0x00000002;
export const PCI_L1SS_CTL1_ASPM_L1_2 = 0x00000004;
export const PCI_L1SS_CTL1_ASPM_L1_1 = 0x00000008;

// Precision time measurement (PTM)
export const PCI_PTM_CAP = 0x04;
export const PCI_PTM_CAP_REQ = 0x00000001;
export const PCI_PTM_CAP_ROOT = 0x00000004;
export const PCI_PTM_GRANULARITY_MASK = 0x0000ff00;
export const PCI_PTM_CTRL = 0x08;
export const PCI_PTM_CTRL_ENABLE = 0x00000001;
export const PCI_PTM_CTRL_ROOT = 0x00000002;

// Downstream port containment (DPC)
export const PCI_EXP_DPC_CAP = 0x04;
export const PCI_EXP_DPC_IRQ = 0x001f;
export const PCI_EXP_DPC_CAP_RP_EXT = 0x0020;
export const PCI_EXP_DPC_CAP_POISONED_TLP = 0x0040;
export const PCI_EXP_DPC_CAP_SW_TRIGGER = 0x0080;
export const PCI_EXP_DPC_CAP_DL_ACTIVE = 0x1000;
export const PCI_EXP_DPC_CTL = 0x06;
export const PCI_EXP_DPC_CTL_EN_FATAL = 0x0001;
export const PCI_EXP_DPC_CTL_EN_NONFATAL = 0x0002;
export const PCI_EXP_DPC_CTL_INT_EN = 0x0008;
export const PCI_EXP_DPC_STATUS = 0x08;
export const PCI_EXP_DPC_STATUS_TRIGGER = 0x0001;
export const PCI_EXP_DPC_STATUS_TRIGGER_RSN = 0x0006;
export const PCI_EXP_DPC_STATUS_INTERRUPT = 0x0008;
export const PCI_EXP_DPC_RP_BUSY = 0x0010;
export const PCI_EXP_DPC_SOURCE_ID = 0x0a;

// Vendor-specific, of one vendor and of several (DVSEC)
export const PCI_VNDR_HEADER = 4;
export const PCI_DVSEC_HEADER1 = 0x4;
export const PCI_DVSEC_HEADER2 = 0x8;

// Virtual channels: arbitration
export const PCI_VC_PORT_CAP2 = 0x08;
export const PCI_VC_PORT_STATUS = 0x0e;
export const PCI_VC_PORT_STATUS_TABLE = 0x00000001;
export const PCI_VC_RES_CTRL_ARB_SELECT = 0x000e0000;
export const PCI_VC_RES_STATUS_TABLE = 0x00000001;

// Transaction processing hints (TPH)
export const PCI_TPH_CAP = 4;
export const PCI_TPH_CAP_ST_NS = 0x00000001;
export const PCI_TPH_CAP_ST_IV = 0x00000002;
export const PCI_TPH_CAP_ST_DS = 0x00000004;
export const PCI_TPH_CAP_EXT_TPH = 0x00000100;
/** Where the steering table is: PCI_TPH_LOC_*. */
export const PCI_TPH_CAP_LOC_MASK = 0x00000600;
/** The size of the steering table less one. */
export const PCI_TPH_CAP_ST_MASK = 0x07FF0000;
export const PCI_TPH_CTRL = 8;
export const PCI_TPH_CTRL_MODE_SEL_MASK = 0x00000007;
export const PCI_TPH_CTRL_REQ_EN_MASK = 0x00000300;

// Data object exchange (DOE)
export const PCI_DOE_CAP = 0x04;
export const PCI_DOE_CAP_INT_SUP = 0x00000001;
export const PCI_DOE_CAP_INT_MSG_NUM = 0x00000ffe;
export const PCI_DOE_CTRL = 0x08;
export const PCI_DOE_CTRL_INT_EN = 0x00000002;
export const PCI_DOE_STATUS = 0x0c;
export const PCI_DOE_STATUS_BUSY = 0x00000001;
export const PCI_DOE_STATUS_INT_STATUS = 0x00000002;
export const PCI_DOE_STATUS_ERROR = 0x00000004;
export const PCI_DOE_STATUS_DATA_OBJECT_READY = 0x80000000;
