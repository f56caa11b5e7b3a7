import type { OpenFile } from "../fs/file.ts";
import type { Pages } from "../process/memory.ts";
import { refuse } from "../process/refusal.ts";

/**
 * The dma-buf of a plane of `mbochs`. It cannot be mapped: the sample opens it
 * for reading, where the kernel makes no mapping that it takes for a shared one
 * (`mbochs_mmap_dmabuf()`).
 */
export class PlaneFile implements OpenFile {
  readonly linkText = "/dmabuf:";

  mmap(): Pages {
    return refuse("EINVAL");
  }

  close(): void {}
}
