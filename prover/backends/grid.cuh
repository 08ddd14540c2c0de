// How kernels are declared and indexed, and the sums of a block.
//
// Every argument of a kernel is a pointer or a u64. Kernels step through their entries by the whole grid, so that
// any number of blocks computes the same; those that say so need THREADS threads a block. Nothing here depends on
// warps, and sums are exact: results do not depend on the order in which threads run.
#pragma once
#include "field.cuh"

#define THREADS 256

#ifndef KERNEL
#define KERNEL extern "C" __global__ void
#endif
// The shared memory of a block, of the size that the launch asks for.
#ifndef SHARED_WORDS
#define SHARED_WORDS(name) extern __shared__ u64 name[]
#endif

#define EACH(i, count) \
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < (count); i += (u64)gridDim.x * blockDim.x)

// sums[k] over all THREADS threads of the block, for k < count; uses THREADS shared words. Thread 0 ends up with
// the totals, the others with parts of them. All threads of the block must call it.
__device__ inline void block_sums(u64 *sums, u32 count, u64 *shared) {
    for (u32 k = 0; k < count; k++) {
        shared[threadIdx.x] = sums[k];
        for (u32 step = THREADS / 2; step > 0; step /= 2) {
            __syncthreads();
            if (threadIdx.x < step) shared[threadIdx.x] = add(shared[threadIdx.x], shared[threadIdx.x + step]);
        }
        // A thread overwrites its own entry next, which others read up to the last step but one.
        sums[k] = shared[threadIdx.x];
        __syncthreads();
    }
}

__device__ inline void put_sums(u64 *sums, u32 at, Ext value) {
    sums[3 * at] = value.c0;
    sums[3 * at + 1] = value.c1;
    sums[3 * at + 2] = value.c2;
}

// Writes the block's sums to out[block][count].
__device__ inline void write_sums(u64 *sums, u32 count, u64 *shared, u64 *out) {
    block_sums(sums, count, shared);
    if (threadIdx.x == 0)
        for (u32 k = 0; k < count; k++) out[(u64)blockIdx.x * count + k] = sums[k];
}
