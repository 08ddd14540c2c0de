// Kernels with faults, so that a test sees the checkers find them.
#include "grid.cuh"

KERNEL sound(u64 *out, u64 n) {
    SHARED_WORDS(shared);
    shared[threadIdx.x] = threadIdx.x;
    __syncthreads();
    EACH(i, n) out[i] = shared[(threadIdx.x + 1) % blockDim.x];
}

KERNEL without_barrier(u64 *out, u64 n) {
    SHARED_WORDS(shared);
    shared[threadIdx.x] = threadIdx.x;
    EACH(i, n) out[i] = shared[(threadIdx.x + 1) % blockDim.x];
}

KERNEL beyond_the_end(u64 *out, u64 n) {
    EACH(i, n + 1) out[i] = i;
}

KERNEL beyond_shared(u64 *out, u64 n) {
    SHARED_WORDS(shared);
    shared[threadIdx.x + 1] = 0;
    EACH(i, n) out[i] = i;
}

KERNEL same_word(u64 *out, u64 n) {
    EACH(i, n) out[0] = i;
}

KERNEL not_all_wait(u64 *out, u64 n) {
    if (threadIdx.x % 2) __syncthreads();
    EACH(i, n) out[i] = i;
}

KERNEL shifted_too_far(u64 *out, u64 n) {
    EACH(i, n) out[i] = 1ULL << (64 + i);
}
