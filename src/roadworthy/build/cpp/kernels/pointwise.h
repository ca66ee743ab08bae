// Functions of single numbers and of pairs, and softmax.
#pragma once
#include "vectors.h"

namespace {

// Cody and Waite's reduction and the polynomial of Cephes (expf): within 2 units of the last place.
inline Vector exponential(Vector x) {
    const Vector limited = smaller(spread(89.0f), larger(spread(-104.0f), x));
    const Vector shifted = limited * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: the sum's last bits are the nearest whole number
    const Vector whole = shifted - 12582912.0f;
    const Vector rest = (limited - whole * 0.693359375f) + whole * 2.12194440e-4f;
    Vector power = spread(1.9875691500e-4f);
    power = power * rest + 1.3981999507e-3f;
    power = power * rest + 8.3334519073e-3f;
    power = power * rest + 4.1665795894e-2f;
    power = power * rest + 1.6666665459e-1f;
    power = power * rest + 5.0000001201e-1f;
    power = power * rest * rest + rest + 1.0f;
    // In two steps, so that results beyond the normal numbers become infinite or small as they should.
    const Integers exponent = __builtin_convertvector(whole, Integers), half = exponent >> 1;
    const Vector first = (Vector)((half + 127) << 23), second = (Vector)((exponent - half + 127) << 23);
    return chosen(x == x, power * first * second, x);
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

inline Vector magnitude(Vector x) { return (Vector)((Integers)x & 0x7fffffff); }

// By exponentials, and near 0 by the polynomial of Cephes (tanhf).
inline Vector hyperbolic_tangent(Vector x) {
    const Vector size = magnitude(x), square = x * x;
    const Vector far = 1.0f - 2.0f / (exponential(size + size) + 1.0f);
    Vector near = spread(-5.70498872745e-3f);
    near = near * square + 2.06390887954e-2f;
    near = near * square - 5.37397155531e-2f;
    near = near * square + 1.33314422036e-1f;
    near = near * square - 3.33332819422e-1f;
    near = near * square * x + x;
    const Vector signed_far = (Vector)((Integers)far | ((Integers)x & (int)0x80000000));
    return chosen(size < 0.625f, near, signed_far);
}

template <float (*FUNCTION)(float)>
inline Vector each(Vector x) {
    for (int i = 0; i < LANES; i++) x[i] = FUNCTION(x[i]);
    return x;
}

enum class Unary { SAME, CLIP, LEAKY_RELU, SIGMOID, HARD_SIGMOID, HARD_SWISH, SILU, TANH, ELU, SOFTPLUS, GELU, ERF, EXP, LOG, SQRT, ABS, NEG };

template <Unary OP>
inline Vector of_one(Vector x, float a, float b) {
    if constexpr (OP == Unary::SAME) return x;
    if constexpr (OP == Unary::CLIP) return kept_between(x, a, b);
    if constexpr (OP == Unary::LEAKY_RELU) return chosen(x < 0.0f, x * a, x);
    if constexpr (OP == Unary::SIGMOID) return sigmoid(x);
    if constexpr (OP == Unary::HARD_SIGMOID) return kept_between(x * a + b, 0.0f, 1.0f);
    if constexpr (OP == Unary::HARD_SWISH) return x * kept_between(x * (1.0f / 6.0f) + 0.5f, 0.0f, 1.0f);
    if constexpr (OP == Unary::SILU) return x * sigmoid(x);
    if constexpr (OP == Unary::TANH) return hyperbolic_tangent(x);
    if constexpr (OP == Unary::ELU) return chosen(x < 0.0f, (exponential(x) - 1.0f) * a, x);
    if constexpr (OP == Unary::SOFTPLUS) return kept_between(x, 0.0f, INFINITY) + each<log1pf>(exponential(-magnitude(x)));
    if constexpr (OP == Unary::GELU) return 0.5f * x * (1.0f + each<erff>(x * 0.707106781f));
    if constexpr (OP == Unary::ERF) return each<erff>(x);
    if constexpr (OP == Unary::EXP) return exponential(x);
    if constexpr (OP == Unary::LOG) return each<logf>(x);
    if constexpr (OP == Unary::SQRT) return each<sqrtf>(x);
    if constexpr (OP == Unary::ABS) return magnitude(x);
    if constexpr (OP == Unary::NEG) return -x;
}

struct Map {
    Image in, out;
    float a, b;
};

template <Unary OP, typename In, typename Out>
KERNEL void map(const Map &of, int samples, const In *in, Out *out) {
    const int length = of.in.width * of.in.channels;
    for (int sample = 0; sample < samples; sample++) {
        for (int y = 0; y < of.in.height; y++) {
            const In *line = in + (long)sample * of.in.size() + of.in.origin() + y * of.in.row();
            Out *made = out + (long)sample * of.out.size() + of.out.origin() + y * of.out.row();
            int i = 0;
            for (; i + LANES <= length; i += LANES) write(of.out, made + i, of_one<OP>(read(of.in, line + i), of.a, of.b));
            if (i < length) write(of.out, made + i, of_one<OP>(read(of.in, line + i, length - i), of.a, of.b), length - i);
        }
    }
}

enum class Binary { ADD, SUB, SUB_FROM, MUL, DIV, DIV_INTO, MAX, MIN, PRELU };

template <Binary OP>
inline Vector of_two(Vector a, Vector b) {
    if constexpr (OP == Binary::ADD) return a + b;
    if constexpr (OP == Binary::SUB) return a - b;
    if constexpr (OP == Binary::SUB_FROM) return b - a;
    if constexpr (OP == Binary::MUL) return a * b;
    if constexpr (OP == Binary::DIV) return a / b;
    if constexpr (OP == Binary::DIV_INTO) return b / a;
    if constexpr (OP == Binary::MAX) return largest(a, b);
    if constexpr (OP == Binary::MIN) return smallest(a, b);
    if constexpr (OP == Binary::PRELU) return chosen(a < 0.0f, a * b, a);
}

// What stands opposite each number of the first operand: a number in the same place, one for its channel, or the same one for all.
enum class Second { SAME, CHANNEL, NUMBER };

struct Pairs {
    Image first, second, out;
    int second_step;  // from one sample's numbers to the next one's; 0 for a constant
    float low, high;
};

template <Binary OP, Second KIND, typename First, typename Other, typename Out>
KERNEL void pairs(const Pairs &of, int samples, const First *first, const Other *second, Out *out) {
    const int channels = of.first.channels, length = of.first.width * channels;
    const int run = KIND == Second::CHANNEL ? channels : length;
    for (int sample = 0; sample < samples; sample++, second += of.second_step) {
        for (int y = 0; y < of.first.height; y++) {
            const First *line = first + (long)sample * of.first.size() + of.first.origin() + y * of.first.row();
            const Other *other = KIND == Second::SAME ? second + of.second.origin() + y * of.second.row() : second;
            Out *made = out + (long)sample * of.out.size() + of.out.origin() + y * of.out.row();
            for (int start = 0; start < length; start += run, line += run, made += run) {
                for (int i = 0; i < run; i += LANES) {
                    const int count = least(LANES, run - i);
                    const Vector b = KIND == Second::NUMBER ? spread((float)*other * of.second.scale) : read(of.second, other + i, count);
                    write(of.out, made + i, kept_between(of_two<OP>(read(of.first, line + i, count), b), of.low, of.high), count);
                }
            }
        }
    }
}

// Each channel times a factor, plus an offset: what is left of a batch normalisation.
struct Scale {
    Image in, out;
    float low, high;
};

template <typename In, typename Out>
KERNEL void scale(const Scale &of, int samples, const In *in, const float *factors, const float *offsets, Out *out) {
    const int channels = of.in.channels;
    for (int sample = 0; sample < samples; sample++) {
        for (int y = 0; y < of.in.height; y++) {
            const In *line = in + (long)sample * of.in.size() + of.in.origin() + y * of.in.row();
            Out *made = out + (long)sample * of.out.size() + of.out.origin() + y * of.out.row();
            for (int x = 0; x < of.in.width; x++, line += channels, made += channels) {
                for (int c = 0; c < channels; c += LANES) {
                    const int count = least(LANES, channels - c);
                    const Vector factor = read(of.in, factors + c, count), offset = read(of.in, offsets + c, count);
                    write(of.out, made + c, kept_between(read(of.in, line + c, count) * factor + offset, of.low, of.high), count);
                }
            }
        }
    }
}

// Along `length` numbers that are `inner` apart, `outer` times over.
struct Softmax {
    int outer, length, inner;
    bool logarithm;
};

KERNEL void softmax(const Softmax &of, int samples, const float *in, float *out) {
    const long all = (long)samples * of.outer;
    for (long i = 0; i < all; i++) {
        for (int j = 0; j < of.inner; j++) {
            const float *from = in + i * of.length * of.inner + j;
            float *to = out + i * of.length * of.inner + j;
            float highest = -INFINITY, sum = 0.0f;
            for (int k = 0; k < of.length; k++) highest = from[k * of.inner] > highest ? from[k * of.inner] : highest;
            for (int k = 0; k < of.length; k += LANES) {
                const int count = least(LANES, of.length - k);
                Vector some{};
                for (int at = 0; at < count; at++) some[at] = from[(k + at) * of.inner] - highest;
                const Vector powers = exponential(some);
                for (int at = 0; at < count; at++) {
                    sum += powers[at];
                    to[(k + at) * of.inner] = of.logarithm ? some[at] : powers[at];
                }
            }
            const float logarithm = of.logarithm ? logf(sum) : 0.0f;
            for (int k = 0; k < of.length; k++) {
                float &number = to[k * of.inner];
                number = of.logarithm ? number - logarithm : number / sum;
            }
        }
    }
}

}  // namespace
