// Kernels over plain integers: counts of table rows, and the arithmetic of training, whose products of matrices are made
// on float units. Integers have 64 bits and wrap; that nothing does is checked by whoever launches.
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

// -- elementwise --------------------------------------------------------------------------------------

enum IntegerOperation { PLUS, MINUS, TIMES, AND, LEFT, RIGHT };

__device__ inline u64 operated(u64 what, u64 a, u64 b) {
    switch (what) {
    case PLUS: return a + b;
    case MINUS: return a - b;
    case TIMES: return a * b;
    case AND: return a & b;
    case LEFT: return a << b;
    default: return (u64)((i64)a >> b);
    }
}

// out[i] = a[i] with b[i mod period]: b has the shape of a, or of its last axes.
KERNEL integer_operation(u64 what, const u64 *a, const u64 *b, u64 period, u64 n, u64 *out) {
    EACH(i, n) out[i] = operated(what, a[i], b[i % period]);
}

// out[i] = a[i] with b; shifts are by less than 64.
KERNEL integer_scalar(u64 what, const u64 *a, u64 b, u64 n, u64 *out) {
    EACH(i, n) out[i] = operated(what, a[i], b);
}

// a = 2^bits q + r - 2^(bits - 1) with 0 <= r < 2^bits; bits from 1 to 62.
KERNEL round_integers(const i64 *a, u64 bits, u64 n, i64 *q, i64 *r) {
    EACH(i, n) {
        u64 raised = (u64)a[i] + (1ULL << (bits - 1));
        q[i] = (i64)raised >> bits;
        r[i] = (i64)(raised & ((1ULL << bits) - 1));
    }
}

// out[i] = 1 where a[i] > 0, else 0.
KERNEL positive_integers(const i64 *a, u64 n, i64 *out) {
    EACH(i, n) out[i] = a[i] > 0;
}

// out[i][width] = values[places[i]][width], of `count` rows; zero where there is no such row.
KERNEL take_rows(const i64 *values, u64 count, u64 width, const u64 *places, u64 n, i64 *out) {
    EACH(i, n * width) {
        u64 place = places[i / width];
        out[i] = place < count ? values[place * width + i % width] : 0;
    }
}

// -- sums and extremes --------------------------------------------------------------------------------

// out[block][2] = the smallest and the largest of what a block's threads see, at least one entry each block; n > 0.
// THREADS threads, 2 * THREADS shared words.
KERNEL integer_extremes(const i64 *a, u64 n, i64 *out) {
    SHARED_WORDS(words);
    i64 *low = (i64 *)words, *high = low + THREADS;
    i64 least = a[0], most = a[0];
    EACH(i, n) {
        least = a[i] < least ? a[i] : least;
        most = a[i] > most ? a[i] : most;
    }
    low[threadIdx.x] = least, high[threadIdx.x] = most;
    for (u32 step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step) {
            u32 other = threadIdx.x + step;
            if (low[other] < low[threadIdx.x]) low[threadIdx.x] = low[other];
            if (high[other] > high[threadIdx.x]) high[threadIdx.x] = high[other];
        }
    }
    if (threadIdx.x == 0) out[2 * (u64)blockIdx.x] = low[0], out[2 * (u64)blockIdx.x + 1] = high[0];
}

// out[outer][n] = sum over the middle axis of squares, modulo 2^64.
KERNEL square_sums(const u64 *a, u64 outer, u64 middle, u64 n, u64 *out) {
    EACH(i, outer * n) {
        u64 sum = 0;
        for (u64 k = 0; k < middle; k++) {
            u64 value = a[(i / n * middle + k) * n + i % n];
            sum += value * value;
        }
        out[i] = sum;
    }
}

// out[i] = sum over `count` of shares[k] values[k][i], modulo 2^64.
KERNEL combine_integers(const u64 *shares, u64 count, const u64 *values, u64 n, u64 *out) {
    EACH(i, n) {
        u64 sum = 0;
        for (u64 k = 0; k < count; k++) sum += shares[k] * values[k * n + i];
        out[i] = sum;
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
