// Reed–Solomon codes on position-major matrices [position][row]: number-theoretic transforms over all rows at once.
//
// A pass does up to 8 stages in shared memory: a block takes the 2^s positions that differ in the bits
// [low, low + s) and WIDTH neighbouring rows of the matrix. Interpolation (decimation in frequency) leaves
// coefficients in bit-reversed order, evaluation (decimation in time) takes them so: no permutation is ever made.
// The twiddle of half-length h at place j stands at h + j; on the coset g H it is g^(N / 2h) w_2h^j.
#pragma once
#include "grid.cuh"

#define WIDTH 16
#define TILE 32

__host__ __device__ inline u64 reversed(u64 x, u64 bits) {
    u64 out = 0;
    for (u64 k = 0; k < bits; k++) out |= (x >> k & 1) << (bits - 1 - k);
    return out;
}

// out[h + j] = shifts[k] * roots[k]^j with h = 2^k; out[0] is not used.
KERNEL twiddle_table(const u64 *shifts, const u64 *roots, u64 size, u64 *out) {
    EACH(i, size) {
        u64 k = 0;
        while (i >> (k + 1)) k++;
        out[i] = i == 0 ? 0 : mul(shifts[k], power(roots[k], i - (1ULL << k)));
    }
}

// out[n, R] = rows[R, n], by tiles of TILE x TILE; a block is TILE x 8 threads, TILE * (TILE + 1) shared words.
KERNEL transpose(const u64 *rows, u64 count, u64 n, u64 *out) {
    SHARED_WORDS(tile);
    u64 wide = (n + TILE - 1) / TILE, x = threadIdx.x % TILE, y = threadIdx.x / TILE;
    u64 left = blockIdx.x % wide * TILE, top = blockIdx.x / wide * TILE;
    for (u64 k = y; k < TILE; k += 8)
        if (top + k < count && left + x < n) tile[k * (TILE + 1) + x] = rows[(top + k) * n + left + x];
    __syncthreads();
    for (u64 k = y; k < TILE; k += 8)
        if (left + k < n && top + x < count) out[(left + k) * count + top + x] = tile[x * (TILE + 1) + k];
}

// The block's place: its columns [column, column + width) and the positions base + k 2^low.
struct Place {
    u64 column, width, base, within;
};

__device__ inline Place place_of(u64 block, u64 rows, u64 low, u64 stages) {
    u64 across = (rows + WIDTH - 1) / WIDTH, group = block / across;
    Place at;
    at.column = block % across * WIDTH;
    at.width = rows - at.column < WIDTH ? rows - at.column : WIDTH;
    at.within = group & ((1ULL << low) - 1);
    at.base = (group >> low) << (low + stages) | at.within;
    return at;
}

// One butterfly's place in the tile: `pair` of 2^(stages - 1), half-length 2^local. Returns the lower entry.
__device__ inline u64 lower_of(u64 pair, u64 local) {
    u64 half = 1ULL << local;
    return (pair >> local << (local + 1)) | (pair & (half - 1));
}

// One pass of interpolation on matrix[N][rows] in place: stages of half-lengths 2^(low + stages - 1) ... 2^low, then
// a multiplication by `factor`. Grid: N / 2^stages groups times the blocks across the rows.
KERNEL interpolate_pass(u64 *matrix, u64 rows, const u64 *twiddles, u64 low, u64 stages, u64 factor) {
    SHARED_WORDS(tile);
    Place at = place_of(blockIdx.x, rows, low, stages);
    u64 count = 1ULL << stages;
    for (u64 i = threadIdx.x; i < count * at.width; i += blockDim.x)
        tile[i] = matrix[(at.base + (i / at.width << low)) * rows + at.column + i % at.width];
    for (u64 local = stages; local-- > 0;) {
        __syncthreads();
        for (u64 i = threadIdx.x; i < count / 2 * at.width; i += blockDim.x) {
            u64 k = lower_of(i / at.width, local), l = i % at.width, other = k + (1ULL << local);
            u64 j = at.within + ((k & ((1ULL << local) - 1)) << low);
            u64 x = tile[k * at.width + l], y = tile[other * at.width + l];
            tile[k * at.width + l] = add(x, y);
            tile[other * at.width + l] = mul(sub(x, y), twiddles[(1ULL << (low + local)) + j]);
        }
    }
    __syncthreads();
    for (u64 i = threadIdx.x; i < count * at.width; i += blockDim.x)
        matrix[(at.base + (i / at.width << low)) * rows + at.column + i % at.width] = mul(tile[i], factor);
}

// One pass of evaluation, source[N][rows] to out[N][rows] (which may be the same): half-lengths 2^low ...
// 2^(low + stages - 1). With `extra` > 0, factor * blinds[row][j] is added to the coefficients j < extra on the way
// in: only for low = 0, where positions are coefficients in bit-reversed order of `bits` bits.
KERNEL evaluate_pass(const u64 *source, u64 *out, u64 rows, const u64 *twiddles, u64 low, u64 stages,
                     const u64 *blinds, u64 extra, u64 factor, u64 bits) {
    SHARED_WORDS(tile);
    Place at = place_of(blockIdx.x, rows, low, stages);
    u64 count = 1ULL << stages;
    for (u64 i = threadIdx.x; i < count * at.width; i += blockDim.x) {
        u64 position = at.base + (i / at.width << low), row = at.column + i % at.width;
        u64 value = source[position * rows + row];
        if (extra > 0) {
            u64 j = reversed(position, bits);
            if (j < extra) value = add(value, mul(blinds[row * extra + j], factor));
        }
        tile[i] = value;
    }
    for (u64 local = 0; local < stages; local++) {
        __syncthreads();
        for (u64 i = threadIdx.x; i < count / 2 * at.width; i += blockDim.x) {
            u64 k = lower_of(i / at.width, local), l = i % at.width, other = k + (1ULL << local);
            u64 j = at.within + ((k & ((1ULL << local) - 1)) << low);
            u64 x = tile[k * at.width + l];
            u64 y = mul(tile[other * at.width + l], twiddles[(1ULL << (low + local)) + j]);
            tile[k * at.width + l] = add(x, y);
            tile[other * at.width + l] = sub(x, y);
        }
    }
    __syncthreads();
    for (u64 i = threadIdx.x; i < count * at.width; i += blockDim.x)
        out[(at.base + (i / at.width << low)) * rows + at.column + i % at.width] = tile[i];
}

// out[reversed(k)][row] = sum_m coefficients[row][m N + k] z^m: polynomials of any length modulo X^N - z.
KERNEL wrap_coefficients(const u64 *coefficients, u64 rows, u64 length, u64 bits, u64 z, u64 *out) {
    u64 size = 1ULL << bits;
    EACH(i, size * rows) {
        u64 k = reversed(i / rows, bits), row = i % rows, sum = 0, scale = 1;
        for (u64 at = k; at < length; at += size) {
            sum = add(sum, mul(coefficients[row * length + at], scale));
            scale = mul(scale, z);
        }
        out[i] = sum;
    }
}

// out[row][N + extra]: interpolant + (X^N - 1) sum_j blinds[row][j] X^j, low order first; extra <= N.
KERNEL natural_coefficients(const u64 *matrix, u64 rows, u64 bits, const u64 *blinds, u64 extra, u64 *out) {
    u64 size = 1ULL << bits, length = size + extra;
    EACH(i, rows * length) {
        u64 row = i / length, k = i % length;
        if (k >= size) {
            out[i] = blinds[row * extra + k - size];
        } else {
            u64 value = matrix[reversed(k, bits) * rows + row];
            out[i] = k < extra ? sub(value, blinds[row * extra + k]) : value;
        }
    }
}

// out[k][row] = matrix[positions[k]][row]: the columns that are opened.
KERNEL gather_columns(const u64 *matrix, u64 rows, const u64 *positions, u64 count, u64 *out) {
    EACH(i, count * rows) out[i] = matrix[positions[i / rows] * rows + i % rows];
}
