/**
 * The tests of `lib/dma/`, in one module: to start a module costs
 * more than most of its tests take.
 */
import "./dma/address_space.ts";
import "./dma/claims.ts";
import "./dma/iova_allocator.ts";
import "./dma/iova_space.ts";
