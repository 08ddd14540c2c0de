// Kernels over plain integers: counts of table rows, and exact products of integer matrices on float units.
#pragma once
#include "grid.cuh"

// counts[v] += 1 for every value; one outside 0 .. size - 1 sets *outside instead.
KERNEL count_values(const i64 *values, u64 n, u64 *counts, u64 size, u64 *outside) {
    EACH(i, n) {
        u64 value = (u64)values[i];
        if (value < size)
            atomicAdd(&counts[value], 1ULL);
        else
            atomicExch(outside, 1ULL);
    }
}

// -- exact products -----------------------------------------------------------------------------------

#define BLOCK 64   // rows and columns of the result that a block computes
#define DEPTH 16   // of the contracted axis, at a time
#define CELL 4     // rows and columns of the result that a thread computes

// Limb `number` of a signed integer: its bits [number bits, (number + 1) bits); the last one keeps the sign.
__device__ inline double limb_of(i64 value, u64 number, u64 limbs, u64 bits) {
    i64 shifted = value >> (number * bits);
    return (double)(number + 1 < limbs ? shifted & ((1LL << bits) - 1) : shifted);
}

// out[m, n] = sum_k a[m, k] b[k, n] modulo 2^64; a[i, k] stands at a[i * a_row + k * a_column], b alike.
//
// a is cut into `a_limbs` limbs of `a_bits` bits, b into `b_limbs`, so that every limb's magnitude is at most 2^bits;
// inner * 2^a_bits * 2^b_bits <= 2^53 is the caller's to keep: then every sum is exact in double.
// THREADS threads, BLOCK * DEPTH * 2 shared words. Grid: blocks of BLOCK x BLOCK, row by row.
KERNEL exact_product(const i64 *a, u64 a_row, u64 a_column, u64 a_limbs, u64 a_bits, const i64 *b, u64 b_row,
                     u64 b_column, u64 b_limbs, u64 b_bits, u64 rows, u64 columns, u64 inner, i64 *out) {
    SHARED_WORDS(words);
    double *left = (double *)words, *right = left + BLOCK * DEPTH;
    u64 across = (columns + BLOCK - 1) / BLOCK;
    u64 top = blockIdx.x / across * BLOCK, first = blockIdx.x % across * BLOCK;
    u32 y = threadIdx.x / (BLOCK / CELL), x = threadIdx.x % (BLOCK / CELL);
    u64 result[CELL][CELL] = {};
    for (u64 pair = 0; pair < a_limbs * b_limbs; pair++) {
        u64 i = pair / b_limbs, j = pair % b_limbs;
        double sums[CELL][CELL] = {};
        for (u64 k = 0; k < inner; k += DEPTH) {
            __syncthreads();  // the tiles of the turn before have been read
            for (u32 at = threadIdx.x; at < BLOCK * DEPTH; at += THREADS) {
                u64 row = top + at / DEPTH, column = first + at % BLOCK, ka = k + at % DEPTH, kb = k + at / BLOCK;
                left[at] = row < rows && ka < inner ? limb_of(a[row * a_row + ka * a_column], i, a_limbs, a_bits) : 0;
                right[at] =
                    column < columns && kb < inner ? limb_of(b[kb * b_row + column * b_column], j, b_limbs, b_bits) : 0;
            }
            __syncthreads();
            for (u32 d = 0; d < DEPTH; d++)
                for (u32 r = 0; r < CELL; r++)
                    for (u32 c = 0; c < CELL; c++)
                        sums[r][c] += left[(y * CELL + r) * DEPTH + d] * right[d * BLOCK + x * CELL + c];
        }
        for (u32 r = 0; r < CELL; r++)
            for (u32 c = 0; c < CELL; c++) result[r][c] += (u64)(i64)sums[r][c] << (i * a_bits + j * b_bits);
    }
    for (u32 r = 0; r < CELL; r++)
        for (u32 c = 0; c < CELL; c++) {
            u64 row = top + y * CELL + r, column = first + x * CELL + c;
            if (row < rows && column < columns) out[row * columns + column] = (i64)result[r][c];
        }
}
