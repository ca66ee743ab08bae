// Pooling over windows and over whole images.
#pragma once
#include "vectors.h"

namespace {

struct Pool {
    Image in, out;
    int kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w, pad_h, pad_w, end_h, end_w;
    bool largest;  // of the window, or else its mean
    bool padding;  // whether the mean counts it
};

// Elements of a window along one axis: from `first` on, `count` of them are in the image, and the mean divides by `counted`.
struct Window {
    int first, count, counted;
};

inline Window window(int at, int size, int kernel, int stride, int dilation, int pad, int end, bool padding) {
    const int start = at * stride - pad;
    const int skipped = start < 0 ? (-start + dilation - 1) / dilation : 0;
    const int reached = size - start > 0 ? (size - start + dilation - 1) / dilation : 0;
    const int stop = least(kernel, reached);
    const int padded = least(kernel, (size + end - start + dilation - 1) / dilation);
    const int count = most(0, stop - skipped);
    return {start + skipped * dilation, count, padding ? padded : count};
}

template <typename In, typename Out>
KERNEL void pool(const Pool &of, int samples, const In *in, Out *out) {
    const Image &from = of.in, &to = of.out;
    const int channels = from.channels;
    for (int sample = 0; sample < samples; sample++, in += from.size(), out += to.size()) {
        for (int y = 0; y < to.height; y++) {
            const Window down = window(y, from.height, of.kernel_h, of.stride_h, of.dilation_h, of.pad_h, of.end_h, of.padding);
            for (int x = 0; x < to.width; x++) {
                const Window across = window(x, from.width, of.kernel_w, of.stride_w, of.dilation_w, of.pad_w, of.end_w, of.padding);
                const In *corner = in + from.origin() + down.first * from.row() + across.first * channels;
                Out *made = out + to.origin() + y * to.row() + x * channels;
                const int rows = of.dilation_h * from.row(), columns = of.dilation_w * channels;
                const float divisor = (float)down.counted * (float)across.counted;
                for (int c = 0; c < channels; c += LANES) {
                    const int count = least(LANES, channels - c);
                    const auto numbers = [&](const In *at) { return count == LANES ? load(at) : load(at, count); };
                    Vector found = spread(of.largest ? -INFINITY : 0.0f);
                    for (int i = 0; i < down.count; i++) {
                        const In *line = corner + i * rows + c;
                        for (int j = 0; j < across.count; j++, line += columns)
                            found = of.largest ? largest(found, numbers(line)) : found + numbers(line);
                    }
                    if (!of.largest) found /= spread(divisor);
                    write(to, made + c, found * from.scale, count);
                }
            }
        }
    }
}

enum class Reduction { MEAN, SUM, MAX, MIN };

struct Reduce {
    Image in, out;
    Reduction by;
};

// Each channel's pixels become one number.
template <typename In, typename Out>
KERNEL void reduce_pixels(const Reduce &of, int samples, const In *in, Out *out) {
    const Image &from = of.in;
    for (int sample = 0; sample < samples; sample++, in += from.size(), out += from.channels) {
        for (int c = 0; c < from.channels; c += LANES) {
            const int count = least(LANES, from.channels - c);
            const auto numbers = [&](const In *at) { return count == LANES ? load(at) : load(at, count); };
            // A sum for each row keeps the rounding of long sums small.
            Vector found = of.by == Reduction::MAX ? spread(-INFINITY) : of.by == Reduction::MIN ? spread(INFINITY) : Vector{};
            for (int y = 0; y < from.height; y++) {
                const In *line = in + from.origin() + y * from.row() + c;
                Vector row = numbers(line);
                for (int x = 1; x < from.width; x++) {
                    const Vector next = numbers(line + x * from.channels);
                    row = of.by == Reduction::MAX ? largest(row, next) : of.by == Reduction::MIN ? smallest(row, next) : row + next;
                }
                found = of.by == Reduction::MAX ? largest(found, row) : of.by == Reduction::MIN ? smallest(found, row) : found + row;
            }
            if (of.by == Reduction::MEAN) found /= spread((float)from.height * (float)from.width);
            write(of.out, out + c, found * from.scale, count);
        }
    }
}

}  // namespace
