/**
 * `device_plugin.ts RESOURCE ADDRESS... [--iommufd]`: offers functions of this
 * host to the containers of a Kubernetes node.
 *
 * @module
 */

import { Host } from "../../lib/host/host.ts";
import { Devices } from "./devices.ts";
import { FOLDER, runPlugin } from "./plugin.ts";

const USAGE = `device_plugin.ts RESOURCE ADDRESS... [--iommufd]

Offers functions of this host to the containers of a Kubernetes node, as the
resource RESOURCE: example.com/gpu. They are bound to a VFIO driver before, by
passthru apply. With --iommufd a container gets /dev/iommu and the functions'
own nodes in place of the groups'.`;

/** How often the devices and the kubelet are looked at, in milliseconds. */
const INTERVAL = 5000;

if (import.meta.main) {
  const iommufd = Deno.args.includes("--iommufd");
  const words = Deno.args.filter((word) => word !== "--iommufd");
  const [resource = "", ...addresses] = words;
  const isName = /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?\/[A-Za-z0-9][\w.-]{0,62}$/;
  if (!isName.test(resource) || addresses.length === 0) {
    console.error(USAGE);
    Deno.exit(2);
  }
  const abort = new AbortController();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => abort.abort());
  }
  try {
    const devices = new Devices(new Host(), { resource, addresses, iommufd });
    await runPlugin(resource, devices, {
      folder: FOLDER,
      interval: INTERVAL,
      signal: abort.signal,
      log: console.log,
    });
    Deno.exit(0);
  } catch (error) {
    console.error(`device_plugin: ${(error as Error).message}`);
    Deno.exit(1);
  }
}
