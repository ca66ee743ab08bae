// Numbers moved from one layout to another: transposes, slices, parts of a concatenation, what is padded.
#pragma once
#include "vectors.h"

namespace {

constexpr int AXES = 6;

// From `from` on, a number for each of `sizes`, the last axis innermost; `in` and `out` are steps along the axes.
struct Move {
    int sizes[AXES], in[AXES], out[AXES];
    int in_start, out_start, in_size, out_size;
};

template <typename Number>
void move_axis(const Move &of, int axis, const Number *in, Number *out) {
    const int size = of.sizes[axis], step_in = of.in[axis], step_out = of.out[axis];
    if (axis < AXES - 1) {
        for (int i = 0; i < size; i++) move_axis(of, axis + 1, in + i * step_in, out + i * step_out);
    } else if (step_in == 1 && step_out == 1) {
        memcpy(out, in, size * sizeof(Number));
    } else {
        for (int i = 0; i < size; i++) out[i * step_out] = in[i * step_in];
    }
}

template <typename Number>
KERNEL void move(const Move &of, int samples, const Number *in, Number *out) {
    for (int sample = 0; sample < samples; sample++)
        move_axis(of, 0, in + (long)sample * of.in_size + of.in_start, out + (long)sample * of.out_size + of.out_start);
}

KERNEL void fill(int size, float number, int samples, float *out) {
    for (long i = 0; i < (long)size * samples; i++) out[i] = number;
}

}  // namespace
