import { VfioError } from "../../../lib/errors.ts";
import type { IommufdFile, Owned, User } from "./iommufd_file.ts";

/**
 * An object of an iommufd. It knows what keeps it: what must be destroyed first.
 */
export abstract class IommufdObject implements Owned, User, Disposable {
  /** The iommufd that it lives in. */
  readonly iommufd: IommufdFile;
  readonly #kind: string;
  readonly #id: number;
  readonly #uses: readonly IommufdObject[];
  readonly #users = new Set<User>();
  #destroyed = false;

  /**
   * Made by the `allocate` of each kind.
   *
   * @param iommufd The iommufd.
   * @param kind What errors call it: "page table".
   * @param id Its number.
   * @param uses What it keeps.
   */
  constructor(
    iommufd: IommufdFile,
    kind: string,
    id: number,
    uses: readonly IommufdObject[] = [],
  ) {
    this.iommufd = iommufd;
    this.#kind = kind;
    this.#id = id;
    this.#uses = uses;
    for (const used of uses) used.keep(this);
    iommufd.own(this);
  }

  /**
   * Its number in the iommufd. The kernel gives it to another object once this
   * one is destroyed.
   *
   * @throws {VfioError} `DETACHED` once it is destroyed.
   */
  get id(): number {
    this.assertThere();
    return this.#id;
  }

  /** What errors call it. */
  get name(): string {
    return `${this.#kind} ${this.#id}`;
  }

  /** Whether it was destroyed. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /** What keeps it, by name: that must be destroyed or detached first. */
  get users(): readonly string[] {
    return Array.from(this.#users, ({ name }) => name);
  }

  /** @ignore What keeps it. */
  get keepers(): ReadonlySet<User> {
    return this.#users;
  }

  /** @ignore Says that something needs it. */
  keep(user: User): void {
    this.#users.add(user);
  }

  /** @ignore Takes that back. */
  letGo(user: User): void {
    this.#users.delete(user);
  }

  /** @ignore */
  assertThere(): void {
    this.iommufd.assertOpen();
    if (this.#destroyed) {
      throw new VfioError("DETACHED", {
        problem: `${this.name} was destroyed`,
        hint: "make another one",
      });
    }
  }

  /** @ignore Refuses objects of another iommufd. */
  assertIn(iommufd: IommufdFile): void {
    if (this.iommufd === iommufd) return;
    throw new TypeError(`Cannot use ${this.name} in another iommufd`);
  }

  /**
   * Destroys it. Does nothing once it is destroyed, also with its iommufd.
   *
   * @throws {VfioError} `IN_USE` while something keeps it, by name; `KERNEL`.
   */
  destroy(): void {
    if (this.#destroyed) return;
    const users = this.users;
    if (users.length > 0 && !this.iommufd.closed) {
      throw new VfioError("IN_USE", {
        problem: `${this.name} is kept by ${users.join(", ")}`,
        hint: "destroy or detach that first",
      });
    }
    this.release();
    this.iommufd.destroy(this.#id, this.name);
    this.abandon();
  }

  /** @ignore Forgets it, as somebody else destroys it. */
  abandon(): void {
    this.#destroyed = true;
    for (const used of this.#uses) used.letGo(this);
    this.iommufd.disown(this);
  }

  /** Gives up what it has beside its number, before it is destroyed. */
  protected release(): void {}

  /** The same as {@linkcode IommufdObject.destroy}. */
  [Symbol.dispose](): void {
    this.destroy();
  }
}
