// Convolutions and dense layers in whole numbers: products of 16 bits, summed in pairs to 32 bits, which hold every sum that there can be.
//
// As in convolution.h, but for this: the weights have 8 bits, so that those of a block for the whole depth fit the second cache, and a
// tile's sums never leave the registers. Every level of x86-64 computes the same sums.
#pragma once
#include "convolution.h"

namespace {

typedef short ShortPairs __attribute__((vector_size(LANES * 4)));

// Pairs of input numbers: their weights lie side by side. Of an odd number of them the last one's neighbour has the weight 0.
struct IntegerConvolution {
    Image in, out;
    int stride_h, stride_w, pad_h, pad_w;
    int groups, group_in, group_out;
    int depth, segments, positions;  // the depth in pairs
    float low, high;
    const Segment *segment;  // lengths in pairs
};

// One group's numbers.
template <typename Out>
struct IntegerGroup {
    const short *in;
    Out *out;
    const signed char *weights;
    const int *bias;
    const float *scales;
};

// Sums of two products each; and signed bytes as numbers of 16 bits.
#if defined(__AVX512F__)
typedef char Bytes __attribute__((vector_size(32)));
inline Integers products(ShortPairs a, ShortPairs b) { return __builtin_ia32_pmaddwd512_mask(a, b, Integers{}, first(LANES)); }
inline ShortPairs widened(Bytes numbers) { return __builtin_ia32_pmovsxbw512_mask(numbers, ShortPairs{}, 0xffffffff); }
#elif defined(__AVX2__)
typedef char Bytes __attribute__((vector_size(16)));
inline Integers products(ShortPairs a, ShortPairs b) { return __builtin_ia32_pmaddwd256(a, b); }
inline ShortPairs widened(Bytes numbers) { return __builtin_ia32_pmovsxbw256(numbers); }
#else
typedef long Bytes __attribute__((vector_size(16)));  // 8 of them, in the first number
typedef char AllBytes __attribute__((vector_size(16)));
inline Integers products(ShortPairs a, ShortPairs b) { return __builtin_ia32_pmaddwd128(a, b); }
inline ShortPairs widened(Bytes numbers) { return __builtin_ia32_pmovsxbw128((AllBytes)numbers); }
#endif

inline ShortPairs load_bytes(const signed char *from) {
    Bytes made{};
    memcpy(&made, from, LANES * 2);
    return widened(made);
}

inline ShortPairs spread_pair(const short *from) {
    int pair;
    memcpy(&pair, from, sizeof pair);
    return (ShortPairs)(pair - Integers{});
}

// `POSITIONS` positions by `BLOCKS` blocks of channels, of which `channels` exist.
template <int POSITIONS, int BLOCKS, typename Out>
__attribute__((noinline)) void integer_tile(const IntegerConvolution &of, int channels, const int *in_at, const int *out_at,
                                            const IntegerGroup<Out> &at) {
    constexpr int WIDTH = BLOCKS * PER_BLOCK;
    const long next_block = (long)of.depth * 2 * BLOCK;
    const signed char *weights = at.weights;
    Integers sums[POSITIONS][WIDTH];
#pragma GCC unroll 16
    for (int j = 0; j < WIDTH; j++) {
        memcpy(&sums[0][j], at.bias + j * LANES, sizeof sums[0][j]);
#pragma GCC unroll 16
        for (int i = 1; i < POSITIONS; i++) sums[i][j] = sums[0][j];
    }
    const Segment *segment = of.segment;
    for (int number = 0; number < of.segments; number++, segment++) {
        const short *from[POSITIONS];
#pragma GCC unroll 16
        for (int i = 0; i < POSITIONS; i++) from[i] = at.in + in_at[i] + segment->offset;
        const long length = segment->length;
        for (long k = 0; k < length; k++, weights += 2 * BLOCK) {
            ShortPairs row[WIDTH];
#pragma GCC unroll 16
            for (int j = 0; j < WIDTH; j++) row[j] = load_bytes(weights + j / PER_BLOCK * next_block + j % PER_BLOCK * 2 * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < POSITIONS; i++) {
                const ShortPairs pair = spread_pair(from[i] + 2 * k);
#pragma GCC unroll 16
                for (int j = 0; j < WIDTH; j++) sums[i][j] += products(pair, row[j]);
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < POSITIONS; i++) {
        Out *to = at.out + out_at[i];
#pragma GCC unroll 16
        for (int j = 0; j < WIDTH; j++) {
            const int count = channels - j * LANES;
            const Vector scaled = __builtin_convertvector(sums[i][j], Vector) * load(at.scales + j * LANES);
            const Vector kept = kept_between(scaled, of.low, of.high);
            if (count >= LANES)
                store(to + j * LANES, kept);
            else if (count > 0)
                store(to + j * LANES, kept, count);
        }
    }
}

template <int MOST, int BLOCKS, typename Out>
inline void integer_tiles(const IntegerConvolution &of, int channels, const Positions &positions, const IntegerGroup<Out> &at) {
    // All tiles have the same number of positions, or one less.
    const int number = (positions.count + MOST - 1) / MOST;
    int start = 0;
    for (int one = 0; one < number; one++) {
        const int count = (positions.count - start) / (number - one);
        with_count<MOST>(count, [&]<int COUNT>() {
            integer_tile<COUNT, BLOCKS>(of, channels, positions.in + start, positions.out + start, at);
        });
        start += count;
    }
}

// All blocks of one group's channels at the positions, `BLOCKS` at a time.
template <int MOST, int BLOCKS, typename Out>
inline void integer_blocks(const IntegerConvolution &of, const Positions &positions, IntegerGroup<Out> at) {
    for (int left = of.group_out; left > 0;) {
        const int together = left > (BLOCKS - 1) * BLOCK ? BLOCKS : 1, done = together * BLOCK;
        if (together == BLOCKS)
            integer_tiles<MOST, BLOCKS>(of, left, positions, at);
        else
            integer_tiles<MOST, 1>(of, left, positions, at);
        at = {at.in, at.out + done, at.weights + (long)done * of.depth * 2, at.bias + done, at.scales + done};
        left -= done;
    }
}

template <typename Out>
KERNEL void integer_convolution(const IntegerConvolution &of, int samples, const short *in, const signed char *weights, const int *bias,
                                const float *scales, Out *out) {
    const int padded = (of.group_out + BLOCK - 1) / BLOCK * BLOCK;
    by_positions(of, of.out, samples, [&](const Positions &positions) {
        for (int group = 0; group < of.groups; group++) {
            const IntegerGroup<Out> at{in + group * of.group_in, out + group * of.group_out, weights + (long)group * padded * of.depth * 2,
                                       bias + group * padded, scales + group * padded};
            if (positions.count == 1)
                integer_blocks<1, 8 / PER_BLOCK>(of, positions, at);
            else if (positions.count <= 3 && LANES > 4)
                integer_blocks<3, 4 / PER_BLOCK>(of, positions, at);
            else
                integer_blocks<TILE, WIDE>(of, positions, at);
        }
    });
}

}  // namespace
