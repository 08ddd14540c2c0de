// Kernels that end in a few sums: inner products and the rounds of sumchecks. A block writes its sums to
// out[block][words]; `add_partials` adds the blocks up. THREADS threads a block, THREADS shared words.
#pragma once
#include "grid.cuh"

// out[k] = sum over `count` of partials[.][k], for a grid of one block.
KERNEL add_partials(const u64 *partials, u64 count, u64 words, u64 *out) {
    SHARED_WORDS(shared);
    for (u64 k = 0; k < words; k++) {
        u64 sum = 0;
        for (u64 i = threadIdx.x; i < count; i += THREADS) sum = add(sum, partials[i * words + k]);
        block_sums(&sum, 1, shared);
        if (threadIdx.x == 0) out[k] = sum;
    }
}

// sum a_i b_i; b over K.
KERNEL inner_sums(const u64 *a, u64 planes, const u64 *b, u64 n, u64 *out) {
    SHARED_WORDS(shared);
    ExtProducts sum = no_ext_products();
    if (planes == 1) {
        EACH(i, n) add_base_product(sum, a[i], load(b, n, 3, i));
    } else {
        EACH(i, n) add_ext_product(sum, load(a, n, 3, i), load(b, n, 3, i));
    }
    u64 sums[3];
    put_sums(sums, 0, ext_reduced(sum));
    write_sums(sums, 3, shared, out);
}

// The sum of the first `count` entries of a table of n.
KERNEL total_sums(const u64 *a, u64 planes, u64 n, u64 count, u64 *out) {
    SHARED_WORDS(shared);
    Ext sum = ext(0, 0, 0);
    EACH(i, count) sum = ext_add(sum, load(a, n, planes, i));
    u64 sums[3];
    put_sums(sums, 0, sum);
    write_sums(sums, 3, shared, out);
}

// out[block] = the largest of a block's words.
KERNEL largest_words(const u64 *a, u64 n, u64 *out) {
    SHARED_WORDS(shared);
    u64 largest = 0;
    EACH(i, n) if (a[i] > largest) largest = a[i];
    shared[threadIdx.x] = largest;
    for (u32 step = THREADS / 2; step > 0; step /= 2) {
        __syncthreads();
        if (threadIdx.x < step && shared[threadIdx.x + step] > shared[threadIdx.x])
            shared[threadIdx.x] = shared[threadIdx.x + step];
    }
    if (threadIdx.x == 0) out[blockIdx.x] = shared[0];
}

// -- rounds of products -------------------------------------------------------------------------------

struct Line {
    Ext at, step;  // the value of lo + x (hi - lo), and hi - lo
};

__device__ inline Line line_of(const u64 *table, u64 planes, u64 h, u64 i) {
    Ext lo = load(table, 2 * h, planes, i);
    Line line = {lo, ext_sub(load(table, 2 * h, planes, i + h), lo)};
    return line;
}

__device__ inline void advance(Line &line) { line.at = ext_add(line.at, line.step); }

// s(0), s(2) of a product of two tables; the first may be over F.
KERNEL round_two(const u64 *a, u64 planes, const u64 *b, u64 h, u64 *out) {
    SHARED_WORDS(shared);
    ExtProducts s0 = no_ext_products(), s2 = no_ext_products();
    EACH(i, h) {
        Line x = line_of(a, planes, h, i), y = line_of(b, 3, h, i);
        if (planes == 1) {
            add_base_product(s0, x.at.c0, y.at);
            advance(x), advance(y), advance(x), advance(y);
            add_base_product(s2, x.at.c0, y.at);
        } else {
            add_ext_product(s0, x.at, y.at);
            advance(x), advance(y), advance(x), advance(y);
            add_ext_product(s2, x.at, y.at);
        }
    }
    u64 sums[6];
    put_sums(sums, 0, ext_reduced(s0));
    put_sums(sums, 1, ext_reduced(s2));
    write_sums(sums, 6, shared, out);
}

// The product of three values of which the first `bases` are in F.
__device__ inline void add_triple(ExtProducts &sum, u64 bases, Ext x, Ext y, Ext z) {
    if (bases == 2)
        add_base_product(sum, mul(x.c0, y.c0), z);
    else
        add_ext_product(sum, bases == 1 ? ext_scale(y, x.c0) : ext_mul(x, y), z);
}

// s(0), s(2), s(3) of a product of three tables; the first `bases` <= 2 are over F, the others over K.
KERNEL round_three(const u64 *a, const u64 *b, const u64 *c, u64 bases, u64 h, u64 *out) {
    SHARED_WORDS(shared);
    ExtProducts s0 = no_ext_products(), s2 = no_ext_products(), s3 = no_ext_products();
    EACH(i, h) {
        Line x = line_of(a, bases > 0 ? 1 : 3, h, i), y = line_of(b, bases > 1 ? 1 : 3, h, i), z = line_of(c, 3, h, i);
        add_triple(s0, bases, x.at, y.at, z.at);
        advance(x), advance(y), advance(z), advance(x), advance(y), advance(z);
        add_triple(s2, bases, x.at, y.at, z.at);
        advance(x), advance(y), advance(z);
        add_triple(s3, bases, x.at, y.at, z.at);
    }
    u64 sums[9];
    put_sums(sums, 0, ext_reduced(s0));
    put_sums(sums, 1, ext_reduced(s2));
    put_sums(sums, 2, ext_reduced(s3));
    write_sums(sums, 9, shared, out);
}

// -- contractions -------------------------------------------------------------------------------------

// out[part][3][n] = sum of w_r rows[r][.] over the rows r of a part: blockIdx.y is the part, of `chunk` rows.
KERNEL combine_rows(const u64 *weights, const u64 *rows, u64 count, u64 n, u64 chunk, u64 *out) {
    u64 first = blockIdx.y * chunk, last = first + chunk < count ? first + chunk : count;
    EACH(i, n) {
        ExtProducts sum = no_ext_products();
        for (u64 r = first; r < last; r++) add_base_product(sum, rows[r * n + i], load(weights, count, 3, r));
        store(out + blockIdx.y * 3 * n, n, i, ext_reduced(sum));
    }
}

// out[i] = sum over `parts` of parts[.][i].
KERNEL add_parts(const u64 *parts, u64 count, u64 words, u64 *out) {
    EACH(i, words) {
        u64 sum = 0;
        for (u64 k = 0; k < count; k++) sum = add(sum, parts[k * words + i]);
        out[i] = sum;
    }
}

// out[m] = sum_i T[m, i] w_i; a block takes rows blockIdx.x, blockIdx.x + gridDim.x, ...
KERNEL contract_last(const u64 *tensor, u64 rows, u64 n, const u64 *weights, u64 *out) {
    SHARED_WORDS(shared);
    for (u64 row = blockIdx.x; row < rows; row += gridDim.x) {
        ExtProducts sum = no_ext_products();
        for (u64 i = threadIdx.x; i < n; i += THREADS) add_base_product(sum, tensor[row * n + i], load(weights, n, 3, i));
        u64 sums[3];
        put_sums(sums, 0, ext_reduced(sum));
        block_sums(sums, 3, shared);
        if (threadIdx.x == 0) store(out, rows, row, ext(sums[0], sums[1], sums[2]));
    }
}

// out[a, i] = sum_b T[a, b, i] w[a, b].
KERNEL contract_middle(const u64 *tensor, u64 outer, u64 middle, u64 n, const u64 *weights, u64 *out) {
    EACH(at, outer * n) {
        u64 a = at / n, i = at % n;
        ExtProducts sum = no_ext_products();
        for (u64 b = 0; b < middle; b++)
            add_base_product(sum, tensor[(a * middle + b) * n + i], load(weights, outer * middle, 3, a * middle + b));
        store(out, outer * n, at, ext_reduced(sum));
    }
}
