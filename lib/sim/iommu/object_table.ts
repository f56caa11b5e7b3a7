import { Numbers } from "../machine/numbers.ts";

/** The objects of an iommufd, by number. */
export class ObjectTable<T> {
  readonly #objects = new Map<number, T>();
  readonly #ids = new Numbers();

  constructor() {
    // No object has number 0.
    this.#ids.reserve(0);
  }

  /** Whether there are none. */
  get empty(): boolean {
    return this.#objects.size === 0;
  }

  /** The object of a number. */
  get(id: number): T | undefined {
    return this.#objects.get(id);
  }

  /** Gives an object the lowest free number. */
  add(object: T): number {
    const id = this.#ids.take();
    this.#objects.set(id, object);
    return id;
  }

  /** Frees a number. */
  remove(id: number): void {
    this.#objects.delete(id);
    this.#ids.give(id);
  }

  /** The objects and their numbers. */
  [Symbol.iterator](): Iterator<[number, T]> {
    return this.#objects.entries();
  }

  /** Forgets all. */
  clear(): void {
    this.#objects.clear();
  }
}

/** The objects of an iommufd, of whichever kind. */
export type Objects = ObjectTable<object>;
