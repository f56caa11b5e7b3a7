import { VfioError } from "../../lib/errors.ts";
import type { Fd } from "../../lib/kernel/fd.ts";
import { ignoreErrors } from "../teardown.ts";
import { attachTo, detachFrom } from "./attach.ts";
import type { AttachedDevice } from "./attached_device.ts";
import {
  type Attachable,
  type DevicePort,
  IommufdDevice,
} from "./core/device.ts";
import { IommufdObject } from "./core/object.ts";
import { Ioas } from "./ioas/ioas.ts";
import type { Iommufd } from "./iommufd.ts";

/** A device of an address space, as `VfioDevice` is one. */
export interface SpaceDevice {
  /** Its name. */
  readonly name: string;
  /** Its number in the iommufd. */
  readonly deviceId: number | undefined;
}

/**
 * What an address space is in the kernel, with iommufd. It goes with the last
 * device of the space, and what was made of its IOAS before that.
 */
export class SpaceIommufd {
  /** The iommufd that the space lives in. */
  readonly iommufd: Iommufd;
  /**
   * The space's IOAS. What is mapped in it behind the space's back is not known
   * to the space.
   */
  readonly ioas: Ioas;
  /** Whether nobody else has the iommufd. */
  readonly #owned: boolean;
  readonly #devices = new Map<number, IommufdDevice>();

  /** Made by an address space. */
  constructor(iommufd: Iommufd, ioas: number, owned: boolean) {
    this.iommufd = iommufd;
    this.ioas = new Ioas(iommufd, ioas);
    this.#owned = owned;
    this.ioas.keep(SPACE);
    iommufd.keep(SPACE);
  }

  /**
   * A device of the space, as its iommufd has it.
   *
   * @param device The device.
   * @throws {VfioError} `DETACHED` if it is not attached to this space.
   */
  find = (device: SpaceDevice): IommufdDevice => {
    const found = device.deviceId === undefined
      ? undefined
      : this.#devices.get(device.deviceId);
    if (found !== undefined && found.name === device.name) return found;
    throw new VfioError("DETACHED", {
      device: device.name,
      problem: "the device is not attached to this address space",
      hint: "attach it to this one: VfioDevice.attach(device, space)",
    });
  };

  /** @ignore */
  enter({ id, name, group, fd, table }: AttachedDevice): void {
    const attachedTo = table === undefined ? this.ioas : table as Attachable;
    const device = new IommufdDevice(
      this.iommufd,
      { id, name, group },
      new CdevPort(fd),
      attachedTo,
    );
    this.#devices.set(id, device);
  }

  /** @ignore */
  hasMoved(id: number): boolean {
    const device = this.#devices.get(id);
    return device !== undefined && device.attachedTo !== this.ioas;
  }

  /** @ignore */
  moves(id: number): number {
    return this.#devices.get(id)?.moves ?? 0;
  }

  /** @ignore */
  leaving(id: number): void {
    ignoreErrors(() => this.#devices.get(id)?.detachPasids());
  }

  /** @ignore */
  left(id: number): void {
    ignoreErrors(() => this.#devices.get(id)?.leave());
    this.#devices.delete(id);
  }

  /** @ignore */
  close(): void {
    this.iommufd.letGo(SPACE);
    this.ioas.letGo(SPACE);
    const objects = this.#owned ? this.iommufd.owned : this.#keepers(this.ioas);
    for (const object of [...objects].reverse()) {
      if (object !== this.ioas) ignoreErrors(() => object.destroy());
    }
    this.ioas.abandon();
  }

  /** What needs an object, and what needs that, in an order to be reversed. */
  #keepers(object: IommufdObject): IommufdObject[] {
    const found = new Set<IommufdObject>();
    const visit = (object: IommufdObject) => {
      for (const user of object.keepers) {
        if (!(user instanceof IommufdObject)) continue;
        // Behind what was found before, as it may need that too.
        found.delete(user);
        found.add(user);
        visit(user);
      }
    };
    visit(object);
    return [...found];
  }
}

/** What keeps the IOAS of an address space. */
const SPACE = { name: "its address space" };

/** Moves a device by its own descriptor. */
class CdevPort implements DevicePort {
  readonly #fd: Fd;

  constructor(fd: Fd) {
    this.#fd = fd;
  }

  attach(id: number, pasid: number | undefined): number {
    return attachTo(this.#fd, id, pasid);
  }

  detach(pasid: number | undefined): void {
    detachFrom(this.#fd, pasid);
  }
}
