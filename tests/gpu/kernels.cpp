// The kernels for the host, and how to call each by its name; KERNEL_NAMES lists them as ENTRY(name).
#include "emulation.h"
#include KERNEL_SOURCE

#include <cstring>
#include <utility>

template <typename T> static T argument(u64 word) {
    T value;
    static_assert(sizeof value == sizeof word, "an argument of a kernel is a pointer or a u64");
    std::memcpy(&value, &word, sizeof value);
    return value;
}

template <typename... T, std::size_t... I>
static void call(void (*kernel)(T...), const u64 *words, std::index_sequence<I...>) {
    kernel(argument<T>(words[I])...);
}

template <typename... T> static void call(void (*kernel)(T...), const u64 *words) {
    call(kernel, words, std::index_sequence_for<T...>());
}

template <typename... T> static constexpr unsigned count(void (*)(T...)) { return sizeof...(T); }

struct Entry {
    const char *name;
    unsigned arguments;
    void (*call)(const u64 *words);
};

#define ENTRY(kernel) {#kernel, count(kernel), [](const u64 *words) { call(kernel, words); }},
extern const Entry entries[];
extern const unsigned entry_count;
const Entry entries[] = {
#include KERNEL_NAMES
};
const unsigned entry_count = sizeof entries / sizeof entries[0];

// The arithmetic of field.cuh on arrays, for its own tests: operands and results of three words.
extern "C" void field_operation(unsigned what, const u64 *a, const u64 *b, u64 *out, u64 count) {
    for (u64 i = 0; i < count; i++) {
        Ext x = ext(a[3 * i], a[3 * i + 1], a[3 * i + 2]), y = ext(b[3 * i], b[3 * i + 1], b[3 * i + 2]), z = x;
        switch (what) {
        case 0: z = ext_add(x, y); break;
        case 1: z = ext_sub(x, y); break;
        case 2: z = ext_mul(x, y); break;
        case 3: z = ext_scale(x, y.c0); break;
        case 4: z = ext(mul(x.c0, y.c0), mul(x.c1, y.c1), mul(x.c2, y.c2)); break;
        case 5: z = ext(power(x.c0, y.c0), power(x.c1, y.c1), power(x.c2, y.c2)); break;
        case 6: z = ext(reduce(x.c0, y.c0), reduce(x.c1, y.c1), reduce(x.c2, y.c2)); break;
        }
        out[3 * i] = z.c0, out[3 * i + 1] = z.c1, out[3 * i + 2] = z.c2;
    }
}

// out = sum a_i b_i of elements of K (b's first word alone where base is set), in one unreduced sum.
extern "C" void field_sum(unsigned base, const u64 *a, const u64 *b, u64 *out, u64 count) {
    ExtProducts sum = no_ext_products();
    for (u64 i = 0; i < count; i++) {
        Ext x = ext(a[3 * i], a[3 * i + 1], a[3 * i + 2]);
        if (base)
            add_base_product(sum, b[3 * i], x);
        else
            add_ext_product(sum, x, ext(b[3 * i], b[3 * i + 1], b[3 * i + 2]));
    }
    Ext z = ext_reduced(sum);
    out[0] = z.c0, out[1] = z.c1, out[2] = z.c2;
}
