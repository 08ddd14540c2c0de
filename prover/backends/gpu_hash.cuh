// SHA-256 (FIPS 180-4) of the columns of a codeword and of the nodes of a tree, one hash a thread.
#pragma once
#include "grid.cuh"

typedef unsigned char u8;

__device__ static const u32 ROUND_CONSTANTS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

BOTH u32 rotated(u32 x, u32 by) { return (x >> by) | (x << (32 - by)); }

BOTH u32 swapped(u32 x) { return (x >> 24) | (x >> 8 & 0xff00) | (x << 8 & 0xff0000) | (x << 24); }

__device__ inline void hash_start(u32 *state) {
    state[0] = 0x6a09e667, state[1] = 0xbb67ae85, state[2] = 0x3c6ef372, state[3] = 0xa54ff53a;
    state[4] = 0x510e527f, state[5] = 0x9b05688c, state[6] = 0x1f83d9ab, state[7] = 0x5be0cd19;
}

// One block of sixteen big-endian words; uses them up.
__device__ inline void hash_block(u32 *state, u32 *w) {
    u32 a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6], h = state[7];
#ifdef __CUDACC__
#pragma unroll
#endif
    for (u32 k = 0; k < 64; k++) {
        if (k >= 16) {
            u32 x = w[(k + 1) & 15], y = w[(k + 14) & 15];
            w[k & 15] += (rotated(x, 7) ^ rotated(x, 18) ^ (x >> 3)) + w[(k + 9) & 15] +
                         (rotated(y, 17) ^ rotated(y, 19) ^ (y >> 10));
        }
        u32 t = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + ROUND_CONSTANTS[k] +
                w[k & 15];
        u32 s = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
        h = g, g = f, f = e, e = d + t, d = c, c = b, b = a, a = t + s;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d;
    state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

__device__ inline void write_digest(const u32 *state, u32 *out) {
    for (u32 k = 0; k < 8; k++) out[k] = swapped(state[k]);
}

// A message: prefix, 32 bytes of salt, `words` little-endian 64-bit words.
struct Message {
    const u8 *prefix, *salt;
    const u32 *column;
    u64 head, length;  // bytes before the column, and in all
};

// Byte `at` of the padded message; the eight bytes of the bit length are its caller's.
__device__ inline u32 byte_of(const Message &m, u64 at) {
    if (at >= m.length) return at == m.length ? 0x80 : 0;
    if (at >= m.head) return m.column[(at - m.head) / 4] >> (at - m.head) % 4 * 8 & 0xff;
    return at + 32 >= m.head ? m.salt[at + 32 - m.head] : m.prefix[at];
}

// leaves[i] = SHA-256(prefix || salts[i] || codeword[i]); columns of `words` 64-bit words.
KERNEL hash_columns(const u64 *codeword, u64 words, u64 columns, const u8 *prefix, u64 prefix_bytes, const u8 *salts,
                    u32 *leaves) {
    EACH(i, columns) {
        Message m = {prefix, salts + 32 * i, (const u32 *)(codeword + words * i), prefix_bytes + 32, 0};
        m.length = m.head + 8 * words;
        u64 blocks = (m.length + 9 + 63) / 64;
        u32 shift = (4 - m.head % 4) % 4 * 8;  // bits of a column's word that belong to the word before
        u32 state[8], w[16];
        hash_start(state);
        for (u64 block = 0; block < blocks; block++) {
            u64 start = 64 * block;
            if (start >= m.head && start + 64 + 4 <= m.length) {
                // Inside the column: a word of the message is cut from two neighbouring words.
                const u32 *from = m.column + (start - m.head) / 4;
                u32 next = swapped(from[0]);
                for (u32 k = 0; k < 16; k++) {
                    u32 here = next;
                    if (shift == 0) {
                        w[k] = swapped(from[k]);
                    } else {
                        next = swapped(from[k + 1]);
                        w[k] = (here << shift) | (next >> (32 - shift));
                    }
                }
            } else {
                for (u32 k = 0; k < 16; k++) {
                    u64 at = start + 4 * k;
                    w[k] = byte_of(m, at) << 24 | byte_of(m, at + 1) << 16 | byte_of(m, at + 2) << 8 | byte_of(m, at + 3);
                }
                if (block == blocks - 1) {
                    w[14] = (u32)(8 * m.length >> 32);
                    w[15] = (u32)(8 * m.length);
                }
            }
            hash_block(state, w);
        }
        write_digest(state, leaves + 8 * i);
    }
}

// SHA-256(01 || left || right): 65 bytes, two blocks.
__device__ inline void hash_node(const u32 *children, u32 *out) {
    u32 state[8], w[16], last = 0x01;
    hash_start(state);
    for (u32 k = 0; k < 16; k++) {
        u32 word = swapped(children[k]);
        w[k] = last << 24 | word >> 8;
        last = word & 0xff;
    }
    hash_block(state, w);
    for (u32 k = 0; k < 16; k++) w[k] = 0;
    w[0] = last << 24 | 0x800000;
    w[15] = 65 * 8;
    hash_block(state, w);
    write_digest(state, out);
}

// The next level of a tree: `nodes` nodes of eight words from twice as many.
KERNEL merkle_level(const u32 *children, u32 *out, u64 nodes) {
    EACH(i, nodes) hash_node(children + 16 * i, out + 8 * i);
}

// All levels above `nodes` children, one after the other: nodes / 2 + nodes / 4 + ... + 1 nodes, by one block.
KERNEL merkle_top(const u32 *children, u32 *out, u64 nodes) {
    for (u64 count = nodes / 2; count > 0; count /= 2) {
        for (u64 i = threadIdx.x; i < count; i += blockDim.x) hash_node(children + 16 * i, out + 8 * i);
        __syncthreads();
        children = out;
        out += 8 * count;
    }
}
