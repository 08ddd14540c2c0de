// Kernels of fractional sums: layers of the tree, made of neighbours, and the rounds and folds of a layer.
//
// Of four neighbours 4y + 2b + child the bit b is bound. Rounds end in sums as those of gpu_sums.cuh do.
#pragma once
#include "grid.cuh"

// p' = p_0 q_1 + p_1 q_0 and q' = q_0 q_1 of neighbours, in tables of 2 h entries.
KERNEL fraction_layer(const u64 *p, const u64 *q, u64 *p_out, u64 *q_out, u64 h) {
    EACH(i, h) {
        Ext q0 = load(q, 2 * h, 3, 2 * i), q1 = load(q, 2 * h, 3, 2 * i + 1);
        ExtProducts sum = no_ext_products();
        add_ext_product(sum, load(p, 2 * h, 3, 2 * i), q1);
        add_ext_product(sum, load(p, 2 * h, 3, 2 * i + 1), q0);
        store(p_out, h, i, ext_reduced(sum));
        store(q_out, h, i, ext_mul(q0, q1));
    }
}

__device__ inline Ext times_entry(Ext k, Ext entry, u64 planes) {
    return planes == 1 ? ext_scale(k, entry.c0) : ext_mul(entry, k);
}

// The same layer of the leaves 1 / (constant - beta a): p' = q_0 + q_1.
KERNEL leaf_layer(const u64 *column, u64 planes, u64 h, u64 c0, u64 c1, u64 c2, u64 b0, u64 b1, u64 b2, u64 *p_out,
                  u64 *q_out) {
    Ext constant = ext(c0, c1, c2), beta = ext(b0, b1, b2);
    EACH(i, h) {
        Ext q0 = ext_sub(constant, times_entry(beta, load(column, 2 * h, planes, 2 * i), planes));
        Ext q1 = ext_sub(constant, times_entry(beta, load(column, 2 * h, planes, 2 * i + 1), planes));
        store(p_out, h, i, ext_add(q0, q1));
        store(q_out, h, i, ext_mul(q0, q1));
    }
}

// lo + r (hi - lo): 4 y entries to 2 y.
KERNEL fraction_fold(const u64 *table, u64 planes, u64 half, u64 r0, u64 r1, u64 r2, u64 *out) {
    Ext r = ext(r0, r1, r2);
    EACH(i, half) {
        u64 at = 4 * (i / 2) + i % 2;
        Ext lo = load(table, 2 * half, planes, at), hi = load(table, 2 * half, planes, at + 2);
        store(out, half, i, ext_add(lo, times_entry(r, ext_sub(hi, lo), planes)));
    }
}

// p_0 q_1 + p_1 q_0 + lam q_0 q_1 = p_0 q_1 + q_0 (p_1 + lam q_1).
__device__ inline Ext joined(const Ext *values, Ext lam) {
    ExtProducts sum = no_ext_products();
    add_ext_product(sum, values[0], values[3]);
    add_ext_product(sum, values[2], ext_add(values[1], ext_mul(lam, values[3])));
    return ext_reduced(sum);
}

// h(0), h(2) over tables of 4 `count` entries; weights [start, start + count) of n.
KERNEL fraction_round(const u64 *p, const u64 *q, u64 count, const u64 *weights, u64 n, u64 start, u64 l0, u64 l1,
                      u64 l2, u64 *out) {
    SHARED_WORDS(shared);
    Ext lam = ext(l0, l1, l2);
    ExtProducts s0 = no_ext_products(), s2 = no_ext_products();
    EACH(i, count) {
        Ext at[4], step[4];  // p_0, p_1, q_0, q_1 at X = 0, and by how much they grow with X
        for (u32 k = 0; k < 4; k++) {
            const u64 *table = k < 2 ? p : q;
            at[k] = load(table, 4 * count, 3, 4 * i + k % 2);
            step[k] = ext_sub(load(table, 4 * count, 3, 4 * i + 2 + k % 2), at[k]);
        }
        Ext weight = load(weights, n, 3, start + i);
        add_ext_product(s0, weight, joined(at, lam));
        for (u32 k = 0; k < 4; k++) at[k] = ext_add(ext_add(at[k], step[k]), step[k]);
        add_ext_product(s2, weight, joined(at, lam));
    }
    u64 sums[6];
    put_sums(sums, 0, ext_reduced(s0));
    put_sums(sums, 1, ext_reduced(s2));
    write_sums(sums, 6, shared, out);
}

// The sums for X = 0 and 2 of weights (a_0 - shift)(a_1 - shift).
KERNEL leaf_round(const u64 *column, u64 planes, u64 count, u64 h0, u64 h1, u64 h2, const u64 *weights, u64 n,
                  u64 start, u64 *out) {
    SHARED_WORDS(shared);
    Ext shift = ext(h0, h1, h2);
    ExtProducts s0 = no_ext_products(), s2 = no_ext_products();
    EACH(i, count) {
        Ext at[2], step[2];
        for (u32 k = 0; k < 2; k++) {
            Ext lo = load(column, 4 * count, planes, 4 * i + k);
            step[k] = ext_sub(load(column, 4 * count, planes, 4 * i + 2 + k), lo);
            at[k] = ext_sub(lo, shift);
        }
        Ext weight = load(weights, n, 3, start + i);
        add_ext_product(s0, weight, ext_mul(at[0], at[1]));
        for (u32 k = 0; k < 2; k++) at[k] = ext_add(ext_add(at[k], step[k]), step[k]);
        add_ext_product(s2, weight, ext_mul(at[0], at[1]));
    }
    u64 sums[6];
    put_sums(sums, 0, ext_reduced(s0));
    put_sums(sums, 1, ext_reduced(s2));
    write_sums(sums, 6, shared, out);
}
