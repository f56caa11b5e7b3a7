/**
 * The admin commands of NVMe (Base Specification 2.0, section 5).
 *
 * @module
 */
import type { VfioDevice } from "../../mod.ts";
import {
  decodeController,
  decodeHealth,
  decodeList,
  decodeNamespace,
  type Health,
  type Identity,
  type Namespace,
} from "./identity.ts";
import type { QueuePair } from "./queue_pair.ts";
import { type Command, PAGE } from "./queue_shape.ts";
import type { Requests } from "./requests.ts";

// Opcodes
const DELETE_SUBMISSION_QUEUE = 0x00;
const CREATE_SUBMISSION_QUEUE = 0x01;
const GET_LOG_PAGE = 0x02;
const DELETE_COMPLETION_QUEUE = 0x04;
const CREATE_COMPLETION_QUEUE = 0x05;
const IDENTIFY = 0x06;
const ABORT = 0x08;
const SET_FEATURES = 0x09;
const DOORBELL_BUFFER_CONFIG = 0x7c;

const IDENTIFY_NAMESPACE = 0;
const IDENTIFY_CONTROLLER = 1;
const IDENTIFY_ACTIVE_NAMESPACES = 2;
const NUMBER_OF_QUEUES = 7;
const HEALTH = 2;
const ALL_NAMESPACES = 0xffff_ffff;
const CONTIGUOUS = 1;
const INTERRUPTS = 2;

/** How many queues are asked for. */
const MOST_QUEUES = 64;

/** The admin queue's commands. */
export class Admin {
  readonly #device: VfioDevice;
  readonly #requests: Requests;

  /**
   * @param device The controller.
   * @param requests The admin queue.
   */
  constructor(device: VfioDevice, requests: Requests) {
    this.#device = device;
    this.#requests = requests;
  }

  /** Identifies the controller. */
  async identify(): Promise<Identity> {
    return decodeController(await this.#identify(IDENTIFY_CONTROLLER));
  }

  /** Reads what a namespace is. */
  async namespace(id: number): Promise<Namespace> {
    const data = await this.#identify(IDENTIFY_NAMESPACE, id);
    return decodeNamespace(this.#device.name, id, data);
  }

  /** The numbers of the active namespaces, 1,024 at most. */
  async namespaces(): Promise<number[]> {
    return decodeList(await this.#identify(IDENTIFY_ACTIVE_NAMESPACES));
  }

  /** Reads how the drive is. */
  async health(): Promise<Health> {
    return decodeHealth(await this.logPage(HEALTH, 512));
  }

  /** Reads a log page. */
  async logPage(page: number, bytes: number): Promise<Uint8Array> {
    if (!(bytes > 0 && bytes <= PAGE && bytes % 4 === 0)) {
      throw new RangeError(
        `Cannot read ${bytes} bytes of a log page: expected a multiple of 4 ` +
          `up to ${PAGE}`,
      );
    }
    const data = await this.#read({
      opcode: GET_LOG_PAGE,
      namespace: ALL_NAMESPACES,
      dwords: [page | (bytes / 4 - 1) << 16],
    });
    return data.subarray(0, bytes);
  }

  /**
   * Asks for queues.
   *
   * @returns How many pairs there can be.
   */
  async allowQueues(): Promise<number> {
    const count = MOST_QUEUES - 1;
    const result = await this.#requests.run({
      opcode: SET_FEATURES,
      dwords: [NUMBER_OF_QUEUES, count << 16 | count],
    });
    // One less than there are, of each kind.
    return Math.min(MOST_QUEUES, result & 0xffff, result >>> 16) + 1;
  }

  /**
   * Makes a queue pair.
   *
   * @param pair The rings.
   * @param vector Its vector, if it interrupts.
   */
  async createQueue(
    { id, sizes, commands, completions }: QueuePair,
    vector: number | undefined,
  ): Promise<void> {
    const flags = vector === undefined ? 0 : vector << 16 | INTERRUPTS;
    await this.#requests.run({
      opcode: CREATE_COMPLETION_QUEUE,
      dwords: [(sizes.completions - 1) << 16 | id, flags | CONTIGUOUS],
    }, { iova: Number(completions), bytes: PAGE });
    try {
      await this.#requests.run({
        opcode: CREATE_SUBMISSION_QUEUE,
        dwords: [(sizes.entries - 1) << 16 | id, id << 16 | CONTIGUOUS],
      }, { iova: Number(commands), bytes: PAGE });
    } catch (error) {
      const opcode = DELETE_COMPLETION_QUEUE;
      await this.#requests.run({ opcode, dwords: [id] }).catch(() => {});
      throw error;
    }
  }

  /** Deletes a queue pair. The controller ends its commands before. */
  async deleteQueue(id: number): Promise<void> {
    const dwords = [id];
    await this.#requests.run({ opcode: DELETE_SUBMISSION_QUEUE, dwords });
    await this.#requests.run({ opcode: DELETE_COMPLETION_QUEUE, dwords });
  }

  /** Aborts a command of a queue. */
  async abort(queue: number, id: number): Promise<void> {
    await this.#requests.run({ opcode: ABORT, dwords: [id << 16 | queue] });
  }

  /** Has the controller read doorbells from memory. */
  async useShadow([doorbells, events]: readonly [bigint, bigint]) {
    // Two pages side by side: their addresses are the command's two pointers.
    const bytes = Number(events - doorbells) + PAGE;
    const data = { iova: Number(doorbells), bytes };
    await this.#requests.run({ opcode: DOORBELL_BUFFER_CONFIG }, data);
  }

  #identify(what: number, namespace = 0): Promise<Uint8Array> {
    return this.#read({ opcode: IDENTIFY, namespace, dwords: [what] });
  }

  /** Runs a command that answers with a page. */
  async #read(command: Command): Promise<Uint8Array> {
    using memory = this.#device.space.allocate(PAGE);
    const data = { iova: Number(memory.iova), bytes: PAGE };
    await this.#requests.run(command, data);
    return memory.bytes.slice();
  }
}
