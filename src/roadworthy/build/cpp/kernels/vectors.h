// Vectors of the widest kind that this level of x86-64 has, and how they are loaded and stored. Every level compiles this file anew.
#pragma once
#include <math.h>
#include <string.h>

// One copy of it for all calls: a network has many, and compiling would take minutes.
#define KERNEL [[maybe_unused]] __attribute__((noinline))

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX2__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vector __attribute__((vector_size(LANES * 4)));
typedef int Integers __attribute__((vector_size(LANES * 4)));
typedef short Shorts __attribute__((vector_size(LANES * 2)));

inline Vector spread(float number) { return number - Vector{}; }

inline Vector load(const float *from) {
    Vector made;
    memcpy(&made, from, sizeof made);
    return made;
}

inline void store(float *to, Vector numbers) { memcpy(to, &numbers, sizeof numbers); }

// The first `count` of a vector's numbers; those behind them are neither read nor written.
#if defined(__AVX512F__)
inline unsigned short first(int count) { return (unsigned short)((1u << count) - 1); }
inline Vector load(const float *from, int count) { return __builtin_ia32_loadups512_mask(from, Vector{}, first(count)); }
inline void store(float *to, Vector numbers, int count) { __builtin_ia32_storeups512_mask(to, numbers, first(count)); }
inline Vector larger(Vector a, Vector b) { return __builtin_ia32_maxps512_mask(a, b, Vector{}, first(16), 4); }
inline Vector smaller(Vector a, Vector b) { return __builtin_ia32_minps512_mask(a, b, Vector{}, first(16), 4); }
#elif defined(__AVX2__)
inline Integers first(int count) { return Integers{0, 1, 2, 3, 4, 5, 6, 7} < count; }
inline Vector load(const float *from, int count) { return __builtin_ia32_maskloadps256((const Vector *)from, first(count)); }
inline void store(float *to, Vector numbers, int count) { __builtin_ia32_maskstoreps256((Vector *)to, first(count), numbers); }
inline Vector larger(Vector a, Vector b) { return __builtin_ia32_maxps256(a, b); }
inline Vector smaller(Vector a, Vector b) { return __builtin_ia32_minps256(a, b); }
#else
inline Vector load(const float *from, int count) {
    Vector made{};
    memcpy(&made, from, count * sizeof(float));
    return made;
}
inline void store(float *to, Vector numbers, int count) { memcpy(to, &numbers, count * sizeof(float)); }
inline Vector larger(Vector a, Vector b) { return __builtin_ia32_maxps(a, b); }
inline Vector smaller(Vector a, Vector b) { return __builtin_ia32_minps(a, b); }
#endif

// The CPU's instructions give their second operand where one is not a number: a NaN stays one.
inline Vector kept_between(Vector numbers, float low, float high) { return smaller(spread(high), larger(spread(low), numbers)); }

// Of two numbers; what is not a number stays, whichever of them it is.
inline Vector chosen(Integers where, Vector yes, Vector no) { return (Vector)((where & (Integers)yes) | (~where & (Integers)no)); }
inline Vector largest(Vector a, Vector b) { return chosen(a == a, larger(a, b), a); }
inline Vector smallest(Vector a, Vector b) { return chosen(a == a, smaller(a, b), a); }

// Whole numbers of 16 bits as floats, and back: rounded to the nearest one, of two that are as near to the even one.
inline Vector widened(Shorts numbers) { return __builtin_convertvector(__builtin_convertvector(numbers, Integers), Vector); }
inline Shorts rounded(Vector numbers) {
    const Vector shifted = numbers + 12582912.0f;  // 1.5 * 2^23: the sum's last 16 bits are the nearest whole number
    return __builtin_convertvector((Integers)shifted, Shorts);
}
inline Vector load(const short *from, int count) {
    Shorts made{};
    memcpy(&made, from, count * sizeof(short));
    return widened(made);
}
inline Vector load(const short *from) { return load(from, LANES); }
inline void store(short *to, Vector numbers, int count) {
    const Shorts made = rounded(numbers);
    memcpy(to, &made, count * sizeof(short));
}
inline void store(short *to, Vector numbers) { store(to, numbers, LANES); }

inline int least(int a, int b) { return a < b ? a : b; }
inline int most(int a, int b) { return a > b ? a : b; }

// One sample of an image, channels last, with rows and columns of zeros around it. What has no image's axes is one row of one column.
// Numbers that are stored as whole ones are these times `scale`; they are from `low` to `high`.
struct Image {
    int height, width, channels, border_h, border_w;
    float scale = 1.0f, low = 0.0f, high = 0.0f;

    constexpr int row() const { return (width + 2 * border_w) * channels; }
    constexpr int size() const { return (height + 2 * border_h) * row(); }
    constexpr int origin() const { return border_h * row() + border_w * channels; }
};

// Numbers of an image, as they are or by the whole numbers that stand for them. What is not a number becomes the least one.
inline Vector read(const Image &, const float *from, int count = LANES) { return count == LANES ? load(from) : load(from, count); }
inline Vector read(const Image &of, const short *from, int count = LANES) {
    return (count == LANES ? load(from) : load(from, count)) * of.scale;
}
inline void write(const Image &, float *to, Vector numbers, int count = LANES) {
    count == LANES ? store(to, numbers) : store(to, numbers, count);
}
inline void write(const Image &of, short *to, Vector numbers, int count = LANES) {
    const Vector kept = smaller(spread(of.high), larger(numbers / of.scale, spread(of.low)));
    count == LANES ? store(to, kept) : store(to, kept, count);
}

template <typename Number>
KERNEL void clear_border(const Image &image, int samples, Number *at) {
    const int row = image.row(), edge = image.border_w * image.channels;
    for (int sample = 0; sample < samples; sample++, at += image.size()) {
        const int height = image.height + 2 * image.border_h;
        for (int y = 0; y < height; y++) {
            Number *line = at + y * row;
            if (y < image.border_h || y >= image.border_h + image.height) {
                memset(line, 0, row * sizeof(Number));
            } else {
                memset(line, 0, edge * sizeof(Number));
                memset(line + row - edge, 0, edge * sizeof(Number));
            }
        }
    }
}

}  // namespace
