// What the kernels need of CUDA, for the host: included before them when they are compiled by a C++ compiler.
#pragma once

struct Index {
    unsigned x, y;
};

Index emulated_thread();
Index emulated_block();
Index emulated_threads();
Index emulated_blocks();
unsigned long long *emulated_shared();
void emulated_barrier();

#define threadIdx emulated_thread()
#define blockIdx emulated_block()
#define blockDim emulated_threads()
#define gridDim emulated_blocks()
#define __device__
#define __host__
#define __syncthreads() emulated_barrier()
#define KERNEL static void
#define SHARED_WORDS(name) u64 *name = emulated_shared()

static inline unsigned long long atomicAdd(unsigned long long *at, unsigned long long value) {
    return __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}

static inline unsigned long long atomicExch(unsigned long long *at, unsigned long long value) {
    return __atomic_exchange_n(at, value, __ATOMIC_RELAXED);
}
