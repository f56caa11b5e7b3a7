import type { Ioctl, StructLayout } from "../uapi/ioctl.ts";
import { KernelError } from "./errno.ts";
import { intercept, type KernelCall } from "./intercept.ts";
import type { Kernel } from "./kernel.ts";

/**
 * A VF token in the string of VFIO_GROUP_GET_DEVICE_FD: it is a secret. That of
 * VFIO_DEVICE_FEATURE is not decoded.
 */
const TOKEN = /(\bvf_token=)\S*/g;

/**
 * Members of structs that are not printed: physical addresses, which the kernel
 * hides from most processes.
 */
const HIDDEN: ReadonlySet<string> = new Set(["out_phys"]);

/**
 * A kernel that prints each call, its decoded struct before and after, and its
 * result, in the manner of `strace`.
 *
 * @param kernel The kernel that is asked.
 * @param print Takes one line; standard error by default. What it throws is
 * dropped: the call was made, and its result counts.
 */
export function traced(
  kernel: Kernel,
  print: (line: string) => void = (line) => console.error(line),
): Kernel {
  return intercept(kernel, (call, proceed) => {
    const asked = describeCall(call);
    const write = (line: string) => {
      try {
        print(line);
      } catch {
        // A descriptor that the call has opened would be lost.
      }
    };
    const done = (result: unknown) => {
      write(`${asked} = ${describeResult(call, result)}`);
      return result;
    };
    const failed = (error: unknown) => {
      write(`${asked} = ${describeError(error)}`);
      throw error;
    };
    try {
      const result = proceed();
      return result instanceof Promise
        ? result.then(done, failed)
        : done(result);
    } catch (error) {
      return failed(error);
    }
  });
}

function describeCall({ method, args }: KernelCall): string {
  if (method === "ioctl" || method === "ioctlAsync") {
    const [fd, operation, argument] = args as IoctlArguments;
    const value = describeArgument(operation, argument);
    return `${method}(${fd}, ${operation.name}${value && `, ${value}`})`;
  }
  return `${method}(${args.map(describeValue).join(", ")})`;
}

type IoctlArguments = [
  fd: number,
  operation: Ioctl,
  argument?: Uint8Array | bigint,
];

function describeArgument(
  operation: Ioctl,
  argument: Uint8Array | bigint | undefined,
): string {
  if (!(argument instanceof Uint8Array)) return argument?.toString() ?? "";
  if (operation.decode !== undefined) {
    return describeValue(operation.decode(argument));
  }
  const view = new DataView(argument.buffer, argument.byteOffset);
  switch (operation.argument) {
    case "fd":
      return `[${view.getInt32(0, true)}]`;
    case "u32":
      return `[${view.getUint32(0, true)}]`;
    case "string":
      return JSON.stringify(
        new TextDecoder().decode(argument).replace(/\0.*$/s, "")
          .replace(TOKEN, "$1…"),
      );
    default:
      return operation.struct === undefined
        ? describeValue(argument)
        : describeStruct(operation.struct, whole(operation, argument));
  }
}

function describeStruct(struct: StructLayout, bytes: Uint8Array): string {
  return describeValue({
    ...struct.decode(bytes),
    ...struct.decodeTail?.(bytes),
  });
}

// A caller sends the smallest struct that its flags need: what is left out
// reads as 0, as the kernel takes it.
function whole(operation: Ioctl, argument: Uint8Array): Uint8Array {
  const size = operation.struct!.size;
  if (argument.length >= size) return argument;
  const bytes = new Uint8Array(size);
  bytes.set(argument);
  return bytes;
}

function describeResult({ method, args }: KernelCall, result: unknown): string {
  if (method === "ioctl" || method === "ioctlAsync") {
    const [, operation, argument] = args as IoctlArguments;
    const after = operation.argument === "struct"
      ? ` ${describeArgument(operation, argument)}`
      : "";
    return `${result}${after}`;
  }
  return describeValue(result);
}

function describeError(error: unknown): string {
  return error instanceof KernelError ? `-1 ${error.code}` : String(error);
}

function describeValue(value: unknown): string {
  switch (typeof value) {
    case "undefined":
      return "0";
    case "string":
      return JSON.stringify(value);
    case "bigint":
      return `0x${value.toString(16)}`;
    case "object":
      break;
    default:
      return String(value);
  }
  if (value instanceof Uint8Array) return `[${value.length} bytes]`;
  if (value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (Array.isArray(value)) return `[${value.map(describeValue).join(", ")}]`;
  const members = Object.entries(value as object)
    .map(([name, member]) =>
      `${name}=${HIDDEN.has(name) ? "…" : describeValue(member)}`
    );
  return `{${members.join(", ")}}`;
}
