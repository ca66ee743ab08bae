// Vectors of the widest kind that this level of x86-64 has, and how they are loaded and stored. Every level compiles this file anew.
#pragma once
#include <immintrin.h>

#include <cmath>
#include <cstring>

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

inline Vector spread(float number) { return number - Vector{}; }

inline Vector load(const float *from) {
    Vector made;
    std::memcpy(&made, from, sizeof made);
    return made;
}

inline void store(float *to, Vector numbers) { std::memcpy(to, &numbers, sizeof numbers); }

// The first `count` of a vector's numbers; those behind them are neither read nor written.
#if defined(__AVX512F__)
inline Vector load(const float *from, int count) { return (Vector)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1), from); }
inline void store(float *to, Vector numbers, int count) { _mm512_mask_storeu_ps(to, (__mmask16)((1u << count) - 1), (__m512)numbers); }
inline Vector larger(Vector a, Vector b) { return (Vector)_mm512_max_ps((__m512)a, (__m512)b); }
inline Vector smaller(Vector a, Vector b) { return (Vector)_mm512_min_ps((__m512)a, (__m512)b); }
#elif defined(__AVX2__)
inline __m256i first(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
inline Vector load(const float *from, int count) { return (Vector)_mm256_maskload_ps(from, first(count)); }
inline void store(float *to, Vector numbers, int count) { _mm256_maskstore_ps(to, first(count), (__m256)numbers); }
inline Vector larger(Vector a, Vector b) { return (Vector)_mm256_max_ps((__m256)a, (__m256)b); }
inline Vector smaller(Vector a, Vector b) { return (Vector)_mm256_min_ps((__m256)a, (__m256)b); }
#else
inline Vector load(const float *from, int count) {
    Vector made{};
    std::memcpy(&made, from, count * sizeof(float));
    return made;
}
inline void store(float *to, Vector numbers, int count) { std::memcpy(to, &numbers, count * sizeof(float)); }
inline Vector larger(Vector a, Vector b) { return (Vector)_mm_max_ps((__m128)a, (__m128)b); }
inline Vector smaller(Vector a, Vector b) { return (Vector)_mm_min_ps((__m128)a, (__m128)b); }
#endif

// The CPU's instructions give their second operand where one is no number: a NaN stays one.
inline Vector kept_between(Vector numbers, float low, float high) { return smaller(spread(high), larger(spread(low), numbers)); }

inline int least(int a, int b) { return a < b ? a : b; }
inline int most(int a, int b) { return a > b ? a : b; }

// One sample of an image, channels last, with rows and columns of zeros around it. What has no image's axes is one row of one column.
struct Image {
    int height, width, channels, border_h, border_w;

    constexpr int row() const { return (width + 2 * border_w) * channels; }
    constexpr int size() const { return (height + 2 * border_h) * row(); }
    constexpr int origin() const { return border_h * row() + border_w * channels; }
};

KERNEL void clear_border(const Image &image, int samples, float *at) {
    const int row = image.row(), edge = image.border_w * image.channels;
    for (int sample = 0; sample < samples; sample++, at += image.size()) {
        const int height = image.height + 2 * image.border_h;
        for (int y = 0; y < height; y++) {
            float *line = at + y * row;
            if (y < image.border_h || y >= image.border_h + image.height) {
                std::memset(line, 0, row * sizeof(float));
            } else {
                std::memset(line, 0, edge * sizeof(float));
                std::memset(line + row - edge, 0, edge * sizeof(float));
            }
        }
    }
}

}  // namespace
