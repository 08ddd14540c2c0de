// Goldilocks F and its cubic extension K = F[X]/(X^3 - 2), for device and host alike.
//
// Every word in memory and every result of a function here is canonical, below p = 2^64 - 2^32 + 1, unless said
// otherwise. Sums of products are kept unreduced in 192 bits (Products), and reduced once.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long i64;

#ifdef __CUDACC__
#define BOTH __host__ __device__ __forceinline__
#else
#define BOTH static inline
#endif

#define MODULUS 0xffffffff00000001ULL
#define EPSILON 0xffffffffULL  // 2^64 - p

// -- F ------------------------------------------------------------------------------------------------

BOTH u64 high_half(u64 a, u64 b) {
#ifdef __CUDA_ARCH__
    return __umul64hi(a, b);
#else
    return (u64)(((unsigned __int128)a * b) >> 64);
#endif
}

// Without a carry the sum is below 2p; with one, adding 2^64 - p to the low word takes p off.
BOTH u64 add(u64 a, u64 b) {
    u64 sum = a + b;
    if (sum < a) return sum + EPSILON;
    return sum >= MODULUS ? sum - MODULUS : sum;
}

BOTH u64 sub(u64 a, u64 b) {
    u64 difference = a - b;
    return a < b ? difference - EPSILON : difference;
}

// low + 2^64 (h0 + 2^32 h1) = low - h1 + (2^32 - 1) h0: neither correction can carry a second time.
BOTH u64 reduce(u64 low, u64 high) {
    u64 h1 = high >> 32, h0 = high & EPSILON;
    u64 word = low - h1;
    if (low < h1) word -= EPSILON;
    u64 middle = (h0 << 32) - h0;
    u64 sum = word + middle;
    if (sum < middle) sum += EPSILON;
    return sum >= MODULUS ? sum - MODULUS : sum;
}

BOTH u64 mul(u64 a, u64 b) { return reduce(a * b, high_half(a, b)); }

BOTH u64 power(u64 base, u64 exponent) {
    u64 value = 1;
    for (; exponent; exponent >>= 1) {
        if (exponent & 1) value = mul(value, base);
        base = mul(base, base);
    }
    return value;
}

// -- sums of products ---------------------------------------------------------------------------------

// low + 2^64 high + 2^128 top; holds up to 2^32 products.
struct Products {
    u64 low, high, top;
};

BOTH Products no_products() {
    Products sum = {0, 0, 0};
    return sum;
}

BOTH void add_product(Products &sum, u64 a, u64 b) {
    u64 low = a * b, high = high_half(a, b);
    sum.low += low;
    high += sum.low < low;  // the high half of a product is at most 2^64 - 2
    sum.high += high;
    sum.top += sum.high < high;
}

// 2^128 = -2^32, and top < 2^32.
BOTH u64 reduced(const Products &sum) { return sub(reduce(sum.low, sum.high), sum.top << 32); }

// -- K ------------------------------------------------------------------------------------------------

struct Ext {
    u64 c0, c1, c2;
};

BOTH Ext ext(u64 c0, u64 c1, u64 c2) {
    Ext value = {c0, c1, c2};
    return value;
}

BOTH Ext ext_add(Ext a, Ext b) { return ext(add(a.c0, b.c0), add(a.c1, b.c1), add(a.c2, b.c2)); }

BOTH Ext ext_sub(Ext a, Ext b) { return ext(sub(a.c0, b.c0), sub(a.c1, b.c1), sub(a.c2, b.c2)); }

BOTH Ext ext_scale(Ext a, u64 b) { return ext(mul(a.c0, b), mul(a.c1, b), mul(a.c2, b)); }

struct ExtProducts {
    Products c0, c1, c2;
};

BOTH ExtProducts no_ext_products() {
    ExtProducts sum = {no_products(), no_products(), no_products()};
    return sum;
}

// X^3 = 2: products of degree 3 and 4 come back doubled. Each coordinate gains three products.
BOTH void add_ext_product(ExtProducts &sum, Ext a, Ext b) {
    u64 d1 = add(b.c1, b.c1), d2 = add(b.c2, b.c2);
    add_product(sum.c0, a.c0, b.c0);
    add_product(sum.c0, a.c1, d2);
    add_product(sum.c0, a.c2, d1);
    add_product(sum.c1, a.c0, b.c1);
    add_product(sum.c1, a.c1, b.c0);
    add_product(sum.c1, a.c2, d2);
    add_product(sum.c2, a.c0, b.c2);
    add_product(sum.c2, a.c1, b.c1);
    add_product(sum.c2, a.c2, b.c0);
}

BOTH void add_base_product(ExtProducts &sum, u64 a, Ext b) {
    add_product(sum.c0, a, b.c0);
    add_product(sum.c1, a, b.c1);
    add_product(sum.c2, a, b.c2);
}

BOTH Ext ext_reduced(const ExtProducts &sum) { return ext(reduced(sum.c0), reduced(sum.c1), reduced(sum.c2)); }

BOTH Ext ext_mul(Ext a, Ext b) {
    ExtProducts sum = no_ext_products();
    add_ext_product(sum, a, b);
    return ext_reduced(sum);
}

// -- tables -------------------------------------------------------------------------------------------

// Entry i of a table of n entries, one plane a coordinate; with one plane an element of F.
BOTH Ext load(const u64 *table, u64 n, u64 planes, u64 i) {
    return planes == 1 ? ext(table[i], 0, 0) : ext(table[i], table[n + i], table[2 * n + i]);
}

BOTH void store(u64 *table, u64 n, u64 i, Ext value) {
    table[i] = value.c0;
    table[n + i] = value.c1;
    table[2 * n + i] = value.c2;
}
