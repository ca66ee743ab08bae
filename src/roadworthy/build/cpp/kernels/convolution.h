// Convolutions and dense layers: products of pixels, as they lie in the image, with weights in blocks of 16 output channels.
//
// A tile of TILE output positions by some blocks of channels is kept in registers. The sum over the kernel and the input channels is taken
// in chunks whose weights fit the first cache; all positions go by a chunk before the next one begins, with partial sums in the output.
#pragma once
#include "vectors.h"

namespace {

constexpr int BLOCK = 16, PER_BLOCK = BLOCK / LANES, CHUNK_POSITIONS = 1024;
#if defined(__AVX512F__)
constexpr int TILE = 8, WIDE = 2;
#elif defined(__AVX2__)
constexpr int TILE = 6, WIDE = 1;
#else
constexpr int TILE = 3, WIDE = 1;
#endif

// `length` numbers of an image that lie side by side, `offset` behind the first number under the kernel.
struct Segment {
    int offset, length;
};

// Segments from `first` to `first + count`, over which a sum is taken at once; they have `depth` numbers in all.
struct Chunk {
    int first, count, depth;
};

struct Convolution {
    Image in, out;
    int stride_h, stride_w, pad_h, pad_w;
    int groups, group_in, group_out;
    int depth, chunks, positions;
    Image added;  // what is added to the result: an image of the output's sizes
    float low, high;
    const Segment *segment;
    const Chunk *chunk;
};

// Output positions that are computed together: where each one's numbers begin.
struct Positions {
    int count;
    int in[CHUNK_POSITIONS], out[CHUNK_POSITIONS], added[CHUNK_POSITIONS];
};

// How one chunk's sums begin and end.
struct Pass {
    const Convolution &of;
    const Chunk &chunk;
    bool begins, ends;
    int channels;     // of the output, from the first block on
    long next_block;  // from one block's weights to the next one's
};

// Where one tile's numbers are: of each position in the input, in the output, and of what is added, if anything.
struct Places {
    const float *in;
    const int *in_at;
    float *out;
    const int *out_at;
    const float *added;
    const int *added_at;
};

template <int POSITIONS, int BLOCKS>
__attribute__((noinline)) void tile(const Pass &pass, const Places &at, const float *weights, const float *bias) {
    constexpr int WIDTH = BLOCKS * PER_BLOCK;
    Vector sums[POSITIONS][WIDTH];
#pragma GCC unroll 16
    for (int i = 0; i < POSITIONS; i++) {
        const float *from = pass.begins ? bias : at.out + at.out_at[i];
#pragma GCC unroll 16
        for (int j = 0; j < WIDTH; j++) sums[i][j] = load(from + j * LANES);
    }
    const Segment *segment = pass.of.segment + pass.chunk.first;
    for (int number = 0; number < pass.chunk.count; number++, segment++) {
        const float *from[POSITIONS];
#pragma GCC unroll 16
        for (int i = 0; i < POSITIONS; i++) from[i] = at.in + at.in_at[i] + segment->offset;
        const long length = segment->length;
        for (long k = 0; k < length; k++, weights += BLOCK) {
            Vector row[WIDTH];
#pragma GCC unroll 16
            for (int j = 0; j < WIDTH; j++) row[j] = load(weights + j / PER_BLOCK * pass.next_block + j % PER_BLOCK * LANES);
#pragma GCC unroll 16
            for (int i = 0; i < POSITIONS; i++) {
                const Vector pixel = spread(from[i][k]);
#pragma GCC unroll 16
                for (int j = 0; j < WIDTH; j++) sums[i][j] += pixel * row[j];
            }
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < POSITIONS; i++) {
        float *to = at.out + at.out_at[i];
#pragma GCC unroll 16
        for (int j = 0; j < WIDTH; j++) {
            Vector sum = sums[i][j];
            if (pass.ends) {
                if (at.added) sum += load(at.added + at.added_at[i] + j * LANES);
                sum = kept_between(sum, pass.of.low, pass.of.high);
            }
            store(to + j * LANES, sum);
        }
    }
}

// Calls `work` with `count`, which is at most MOST, as a constant.
template <int MOST, typename Work>
inline __attribute__((always_inline)) void with_count(int count, const Work &work) {
    switch (count) {
        case 1: return work.template operator()<1>();
        case 2: if constexpr (MOST >= 2) return work.template operator()<2>(); break;
        case 3: if constexpr (MOST >= 3) return work.template operator()<3>(); break;
        case 4: if constexpr (MOST >= 4) return work.template operator()<4>(); break;
        case 5: if constexpr (MOST >= 5) return work.template operator()<5>(); break;
        case 6: if constexpr (MOST >= 6) return work.template operator()<6>(); break;
        case 7: if constexpr (MOST >= 7) return work.template operator()<7>(); break;
        case 8: if constexpr (MOST >= 8) return work.template operator()<8>(); break;
    }
}

template <int MOST, int BLOCKS>
inline void tile_of(int count, const Pass &pass, const Places &at, const float *weights, const float *bias) {
    with_count<MOST>(count, [&]<int COUNT>() { tile<COUNT, BLOCKS>(pass, at, weights, bias); });
}

// A tile whose last block has channels that the output lacks: it works on copies.
template <int MOST, int BLOCKS>
__attribute__((noinline)) void edge(int count, const Pass &pass, const Places &at, const float *weights, const float *bias) {
    constexpr int WIDTH = BLOCKS * BLOCK;
    float out[MOST * WIDTH] = {}, added[MOST * WIDTH] = {};
    int places[MOST];
    for (int i = 0; i < count; i++) {
        places[i] = i * WIDTH;
        memcpy(out + places[i], at.out + at.out_at[i], pass.channels * sizeof(float));
        if (at.added) memcpy(added + places[i], at.added + at.added_at[i], pass.channels * sizeof(float));
    }
    const Places copies{at.in, at.in_at, out, places, at.added ? added : nullptr, places};
    tile_of<MOST, BLOCKS>(count, pass, copies, weights, bias);
    for (int i = 0; i < count; i++) memcpy(at.out + at.out_at[i], out + places[i], pass.channels * sizeof(float));
}

template <int MOST, int BLOCKS>
void tiles(const Pass &pass, const Positions &of, const float *in, float *out, const float *added, const float *weights,
           const float *bias) {
    // All tiles have the same number of positions, or one less.
    const int number = (of.count + MOST - 1) / MOST;
    const bool whole = pass.channels >= BLOCKS * BLOCK;
    int start = 0;
    for (int one = 0; one < number; one++) {
        const int count = (of.count - start) / (number - one);
        const Places at{in, of.in + start, out, of.out + start, added, of.added + start};
        if (whole)
            tile_of<MOST, BLOCKS>(count, pass, at, weights, bias);
        else
            edge<MOST, BLOCKS>(count, pass, at, weights, bias);
        start += count;
    }
}

// All blocks of one group's channels at the positions, `BLOCKS` at a time.
template <int MOST, int BLOCKS>
inline void blocks(const Convolution &of, const Positions &at, const float *in, float *out, const float *added, const float *weights,
                   const float *bias) {
    const int count = (of.group_out + BLOCK - 1) / BLOCK;
    const long next_block = (long)of.depth * BLOCK;
    for (int block = 0; block < count;) {
        const int together = count - block >= BLOCKS ? BLOCKS : 1;
        const float *chunk_weights = weights + block * next_block;
        for (int number = 0; number < of.chunks; number++) {
            const Chunk &chunk = of.chunk[number];
            const int done = block * BLOCK;
            const Pass pass{of, chunk, number == 0, number == of.chunks - 1, of.group_out - done, next_block};
            const float *plus = added ? added + done : nullptr;
            if (together == BLOCKS)
                tiles<MOST, BLOCKS>(pass, at, in, out + done, plus, chunk_weights, bias + done);
            else
                tiles<MOST, 1>(pass, at, in, out + done, plus, chunk_weights, bias + done);
            chunk_weights += (long)chunk.depth * BLOCK;
        }
        block += together;
    }
}

// Gives `work` the positions of all samples, at most `of.positions` at a time.
template <typename Of, typename Work>
inline __attribute__((always_inline)) void by_positions(const Of &of, const Image &added, int samples, const Work &work) {
    const Image &from = of.in, &to = of.out;
    const int corner = from.origin() - of.pad_h * from.row() - of.pad_w * from.channels;
    int sample = 0, y = 0, x = 0;
    while (sample < samples) {
        Positions at;
        at.count = 0;
        while (at.count < of.positions && sample < samples) {
            const int end = least(to.width, x + of.positions - at.count);
            int in_at = sample * from.size() + corner + y * of.stride_h * from.row() + x * of.stride_w * from.channels;
            int out_at = sample * to.size() + to.origin() + y * to.row() + x * to.channels;
            int added_at = sample * added.size() + added.origin() + y * added.row() + x * to.channels;
            for (; x < end; x++, at.count++) {
                at.in[at.count] = in_at;
                at.out[at.count] = out_at;
                at.added[at.count] = added_at;
                in_at += of.stride_w * from.channels;
                out_at += to.channels;
                added_at += to.channels;
            }
            if (x == to.width) {
                x = 0;
                if (++y == to.height) y = 0, sample++;
            }
        }
        work(at);
    }
}

KERNEL void convolution(const Convolution &of, int samples, const float *in, const float *added, const float *weights, const float *bias,
                        float *out) {
    const int blocks_of_group = (of.group_out + BLOCK - 1) / BLOCK;
    by_positions(of, of.added, samples, [&](const Positions &at) {
        for (int group = 0; group < of.groups; group++) {
            const float *of_group = weights + (long)group * blocks_of_group * of.depth * BLOCK;
            const float *group_in = in + group * of.group_in, *plus = added ? added + group * of.group_out : nullptr;
            const float *group_bias = bias + group * blocks_of_group * BLOCK;
            float *group_out = out + group * of.group_out;
            // Few positions: more blocks of channels at a time, or too few sums are under way to keep the CPU busy.
            if (at.count == 1)
                blocks<1, 8 / PER_BLOCK>(of, at, group_in, group_out, plus, of_group, group_bias);
            else if (at.count <= 3 && LANES > 4)
                blocks<3, 4 / PER_BLOCK>(of, at, group_in, group_out, plus, of_group, group_bias);
            else
                blocks<TILE, WIDE>(of, at, group_in, group_out, plus, of_group, group_bias);
        }
    });
}

}  // namespace
