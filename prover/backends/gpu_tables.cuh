// Kernels over tables: elementwise arithmetic, multilinear folds, eq tables, outer products.
#pragma once
#include "grid.cuh"

// -- elementwise --------------------------------------------------------------------------------------

// Over all words of two tables of one kind.
KERNEL add_words(const u64 *a, const u64 *b, u64 *out, u64 words) {
    EACH(i, words) out[i] = add(a[i], b[i]);
}

KERNEL sub_words(const u64 *a, const u64 *b, u64 *out, u64 words) {
    EACH(i, words) out[i] = sub(a[i], b[i]);
}

KERNEL mul_words(const u64 *a, const u64 *b, u64 *out, u64 words) {
    EACH(i, words) out[i] = mul(a[i], b[i]);
}

// A table over F or K by one over K.
KERNEL mul_tables(const u64 *a, u64 planes, const u64 *b, u64 *out, u64 n) {
    EACH(i, n) {
        Ext y = load(b, n, 3, i);
        store(out, n, i, planes == 1 ? ext_scale(y, a[i]) : ext_mul(load(a, n, 3, i), y));
    }
}

KERNEL scale_table(const u64 *a, u64 planes, u64 k0, u64 k1, u64 k2, u64 *out, u64 n) {
    Ext k = ext(k0, k1, k2);
    EACH(i, n) store(out, n, i, planes == 1 ? ext_scale(k, a[i]) : ext_mul(load(a, n, 3, i), k));
}

// Signed integers of magnitude below p.
KERNEL to_field(const i64 *values, u64 *out, u64 n) {
    EACH(i, n) out[i] = values[i] < 0 ? (u64)values[i] + MODULUS : (u64)values[i];
}

// -- multilinear tables -------------------------------------------------------------------------------

// 2 h entries to h: lo + r (hi - lo).
KERNEL fold_table(const u64 *table, u64 planes, u64 h, u64 r0, u64 r1, u64 r2, u64 *out) {
    Ext r = ext(r0, r1, r2);
    EACH(i, h) {
        Ext lo = load(table, 2 * h, planes, i), hi = load(table, 2 * h, planes, i + h);
        Ext step = planes == 1 ? ext_scale(r, sub(hi.c0, lo.c0)) : ext_mul(ext_sub(hi, lo), r);
        store(out, h, i, ext_add(lo, step));
    }
}

// The eq table of a short point, every entry on its own; point[m][3], the first coordinate meets the top bit.
KERNEL eq_entries(const u64 *point, u64 m, u64 *out) {
    u64 n = 1ULL << m;
    EACH(i, n) {
        Ext value = ext(1, 0, 0);
        for (u64 k = 0; k < m; k++) {
            Ext x = ext(point[3 * k], point[3 * k + 1], point[3 * k + 2]);
            value = ext_mul(value, i >> (m - 1 - k) & 1 ? x : ext_sub(ext(1, 0, 0), x));
        }
        store(out, n, i, value);
    }
}

// out[i n + j] += a_i b_j.
KERNEL outer_accumulate(u64 *out, const u64 *a, u64 m, const u64 *b, u64 n) {
    EACH(i, m * n) {
        Ext product = ext_mul(load(a, m, 3, i / n), load(b, n, 3, i % n));
        store(out, m * n, i, ext_add(load(out, m * n, 3, i), product));
    }
}

// out[i n + j] = a_i b_j.
KERNEL outer_table(u64 *out, const u64 *a, u64 m, const u64 *b, u64 n) {
    EACH(i, m * n) store(out, m * n, i, ext_mul(load(a, m, 3, i / n), load(b, n, 3, i % n)));
}

// out[i] += k tensor[i].
KERNEL accumulate(u64 *out, u64 k0, u64 k1, u64 k2, const u64 *tensor, u64 n) {
    Ext k = ext(k0, k1, k2);
    EACH(i, n) store(out, n, i, ext_add(load(out, n, 3, i), ext_scale(k, tensor[i])));
}
