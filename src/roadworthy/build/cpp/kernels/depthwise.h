// Convolutions of each channel with a kernel of its own. Where images are stored as whole numbers, the scales are in the weights.
#pragma once
#include "vectors.h"

namespace {

struct Depthwise {
    Image in, out;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w;
    Image added;
    float low, high;
};

// `COLUMNS` output positions of a row for one vector of channels, of which `count` exist. A size of 0 is read from `of`.
template <int COLUMNS, int SIZE, int STRIDE, bool WHOLE, typename In, typename Out>
inline __attribute__((always_inline)) void depthwise_tile(const Depthwise &of, const In *in, const float *added, Out *out,
                                                          const float *weights, const float *bias, int count) {
    const int kernel_h = SIZE ? SIZE : of.kernel_h, kernel_w = SIZE ? SIZE : of.kernel_w;
    const int stride = STRIDE ? STRIDE : of.stride_w, dilation = STRIDE ? 1 : of.dilation_w;
    const int channels = of.in.channels, row = of.in.row() * of.dilation_h;
    const auto numbers = [&](const auto *from) { return WHOLE ? load(from) : load(from, count); };
    Vector sums[COLUMNS];
#pragma GCC unroll 8
    for (int i = 0; i < COLUMNS; i++) sums[i] = numbers(bias);
    for (int y = 0; y < kernel_h; y++) {
#pragma GCC unroll 5
        for (int x = 0; x < kernel_w; x++) {
            const Vector weight = numbers(weights + (y * kernel_w + x) * channels);
#pragma GCC unroll 8
            for (int i = 0; i < COLUMNS; i++) sums[i] += weight * numbers(in + y * row + (x * dilation + i * stride) * channels);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < COLUMNS; i++) {
        if (added) sums[i] += numbers(added + i * channels);
        sums[i] = kept_between(sums[i], of.low, of.high);
        if (WHOLE)
            store(out + i * channels, sums[i]);
        else
            store(out + i * channels, sums[i], count);
    }
}

// All channels; the last whole vector may begin within the one before it.
template <int COLUMNS, int SIZE, int STRIDE, typename In, typename Out>
inline void depthwise_pixels(const Depthwise &of, const In *in, const float *added, Out *out, const float *weights,
                             const float *bias) {
    const int channels = of.in.channels;
    if (channels < LANES) return depthwise_tile<COLUMNS, 0, 0, false>(of, in, added, out, weights, bias, channels);
    for (int c = 0; c < channels; c += LANES) {
        const int at = least(c, channels - LANES);
        depthwise_tile<COLUMNS, SIZE, STRIDE, true>(of, in + at, added ? added + at : nullptr, out + at, weights + at, bias + at, LANES);
    }
}

template <int SIZE, int STRIDE, typename In, typename Out>
__attribute__((noinline)) void depthwise_rows(const Depthwise &of, int samples, const In *in, const float *added, Out *out,
                                              const float *weights, const float *bias) {
    constexpr int COLUMNS = 4;
    const Image &from = of.in, &to = of.out, &plus = of.added;
    const int channels = from.channels, step = of.stride_w * channels;
    const int corner = from.origin() - of.pad_h * from.row() - of.pad_w * channels;
    for (int sample = 0; sample < samples; sample++) {
        for (int y = 0; y < to.height; y++) {
            const In *line = in + sample * from.size() + corner + y * of.stride_h * from.row();
            const float *added_line = added ? added + sample * plus.size() + plus.origin() + y * plus.row() : nullptr;
            Out *made = out + sample * to.size() + to.origin() + y * to.row();
            for (int x = 0; x < to.width;) {
                const float *pixels = added ? added_line + x * channels : nullptr;
                if (to.width - x >= COLUMNS) {
                    depthwise_pixels<COLUMNS, SIZE, STRIDE>(of, line + x * step, pixels, made + x * channels, weights, bias);
                    x += COLUMNS;
                } else {
                    depthwise_pixels<1, SIZE, STRIDE>(of, line + x * step, pixels, made + x * channels, weights, bias);
                    x++;
                }
            }
        }
    }
}

template <typename In, typename Out>
KERNEL void depthwise(const Depthwise &of, int samples, const In *in, const float *added, const float *weights, const float *bias, Out *out) {
    const bool dense = of.dilation_w == 1 && of.kernel_h == of.kernel_w;
    if (dense && of.kernel_h == 3 && of.stride_w == 1)
        depthwise_rows<3, 1>(of, samples, in, added, out, weights, bias);
    else if (dense && of.kernel_h == 3 && of.stride_w == 2)
        depthwise_rows<3, 2>(of, samples, in, added, out, weights, bias);
    else if (dense && of.kernel_h == 5 && of.stride_w == 1)
        depthwise_rows<5, 1>(of, samples, in, added, out, weights, bias);
    else if (dense && of.kernel_h == 5 && of.stride_w == 2)
        depthwise_rows<5, 2>(of, samples, in, added, out, weights, bias);
    else
        depthwise_rows<0, 0>(of, samples, in, added, out, weights, bias);
}

}  // namespace
