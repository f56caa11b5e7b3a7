import type { DeviceKind } from "./model.ts";

/** A function that does nothing: config space and no BAR. */
export const plain: DeviceKind = {
  name: "plain",
  id: "1b36:0005",
  class: 0x00ff00,
  conventional: true,
  resets: [],
  create: () => ({
    bars: [],
    msi: 0,
    msix: 0,
    intx: false,
    reset() {},
  }),
};
