import type { System } from "./bench.ts";
export function simulatedSystems(): readonly System[] {
  return [];
}
