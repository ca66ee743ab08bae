// Resizing in the arithmetic of Pillow, torch, TensorFlow and OpenCV.
#pragma once
#include <algorithm>

#include "taps.h"

// Along one axis (0 rows, 1 columns) of [height, width, channels] the sums of the pixels that the taps name.
template <typename Weight, typename Pixel>
static std::vector<Weight> summed(const std::vector<Pixel> &pixels, size_t height, size_t width, size_t channels, int axis, const Taps<Weight> &taps) {
    const size_t rows = axis == 0 ? taps.length : height, columns = axis == 1 ? taps.length : width;
    std::vector<Weight> sums(rows * columns * channels);
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            for (size_t tap = 0; tap < taps.taps; tap++) {
                const size_t at = tap * taps.length + (axis == 0 ? y : x), old = taps.indices[at];
                const Pixel *from = &pixels[((axis == 0 ? old : y) * width + (axis == 1 ? old : x)) * channels];
                Weight *to = &sums[(y * columns + x) * channels];
                for (size_t c = 0; c < channels; c++) {
                    const Weight part = static_cast<Weight>(from[c]) * taps.weights[at];
                    to[c] = tap ? to[c] + part : part;
                }
            }
    return sums;
}

static unsigned char level(int64_t value) { return static_cast<unsigned char>(std::min<int64_t>(std::max<int64_t>(value, 0), 255)); }

// uint8 by whole weights of so many bits, rounded after each axis.
static Bytes by_whole_weights(const Bytes &pixels, size_t height, size_t width, size_t channels, int axis, const Taps<double> &taps, int bits) {
    Taps<int32_t> whole(taps.taps, taps.length);
    whole.indices = taps.indices;
    for (size_t i = 0; i < whole.weights.size(); i++)
        whole.weights[i] = static_cast<int32_t>(taps.weights[i] * (1 << bits) + std::copysign(0.5, taps.weights[i]));
    const std::vector<int32_t> sums = summed(pixels, height, width, channels, axis, whole);
    Bytes levels(sums.size());
    for (size_t i = 0; i < sums.size(); i++) levels[i] = level((static_cast<int64_t>(sums[i]) + (1 << (bits - 1))) >> bits);
    return levels;
}

// The bits of torch's weights, which are 16-bit numbers.
static int torch_bits(const Taps<double> &taps) {
    const double most = *std::max_element(taps.weights.begin(), taps.weights.end());
    int bits = 0;
    while (bits < 22 && static_cast<int>(0.5 + most * (1 << (bits + 1))) < 1 << 15) bits++;
    return bits;
}

// One weight for a pixel that occurs several times, at the edge: it is rounded once.
static Taps<double> merged(Taps<double> taps) {
    for (size_t i = 0; i < taps.length; i++)
        for (size_t later = 1; later < taps.taps; later++)
            for (size_t earlier = 0; earlier < later; earlier++) {
                const size_t to = earlier * taps.length + i, from = later * taps.length + i;
                if (taps.indices[to] != taps.indices[from]) continue;
                taps.weights[to] += taps.weights[from];
                taps.weights[from] = 0;
            }
    return taps;
}

// Since version 13 Pillow begins with the rows where the height loses more than twice as many pixels as the width.
static bool rows_first(const Picture &picture, size_t height, size_t width) {
    const auto lost = [](size_t from, size_t to) { return static_cast<int64_t>(from) - static_cast<int64_t>(to); };
    return lost(picture.height, height) > std::max<int64_t>(0, 2 * lost(picture.width, width));
}

static Bytes in_whole_numbers(const Picture &picture, size_t height, size_t width, const Kernel &how) {
    constexpr int PILLOW_BITS = 22;
    Bytes pixels = picture.bytes;
    size_t rows = picture.height, columns = picture.width;
    const int first = how.like == Like::pillow && rows_first(picture, height, width) ? 0 : 1;
    for (int axis : {first, 1 - first}) {
        const size_t size = axis ? picture.width : picture.height, length = axis ? width : height;
        if (size == length) continue;
        Taps<double> taps = how.antialias ? antialiased<double>(size, length, how.filter, false)
                                          : merged(between<double>(size, length, Centers::half, how.filter == Filter::bicubic, Position::wide));
        const int bits = how.like == Like::torch ? torch_bits(taps) : PILLOW_BITS;
        pixels = by_whole_weights(pixels, rows, columns, picture.channels, axis, taps, bits);
        (axis ? columns : rows) = length;
    }
    return pixels;
}

static Taps<int32_t> opencv_taps(size_t size, size_t length, bool across) {
    const Taps<float> taps = between<float>(size, length, Centers::half, false, Position::rounded, across);
    Taps<int32_t> whole(taps.taps, taps.length);
    whole.indices = taps.indices;
    for (size_t i = 0; i < whole.weights.size(); i++) whole.weights[i] = static_cast<int32_t>(std::nearbyint(taps.weights[i] * 2048.0f));
    return whole;
}

static Bytes as_opencv(const Picture &picture, size_t height, size_t width) {
    std::vector<int32_t> across = summed(picture.bytes, picture.height, picture.width, picture.channels, 1, opencv_taps(picture.width, width, true));
    const Taps<int32_t> rows = opencv_taps(picture.height, height, false);
    const size_t row = width * picture.channels;
    Bytes pixels(height * row);
    for (size_t y = 0; y < height; y++)
        for (size_t i = 0; i < row; i++) {
            const int32_t above = ((across[rows.indices[y] * row + i] >> 4) * rows.weights[y]) >> 16;
            const int32_t below = ((across[rows.indices[height + y] * row + i] >> 4) * rows.weights[height + y]) >> 16;
            pixels[y * row + i] = static_cast<unsigned char>((above + below + 2) >> 2);
        }
    return pixels;
}

static std::vector<float> reals_of(const Picture &picture) {
    return picture.real() ? picture.values : std::vector<float>(picture.bytes.begin(), picture.bytes.end());
}

// Bilinear as TensorFlow computes it: a part of the way to the right pixel, then to the lower one.
static std::vector<float> lerped(const Picture &picture, size_t height, size_t width, Centers centers) {
    const Taps<float> rows = between<float>(picture.height, height, centers, false, Position::single);
    const Taps<float> columns = between<float>(picture.width, width, centers, false, Position::single);
    const std::vector<float> pixels = reals_of(picture);
    const size_t channels = picture.channels;
    std::vector<float> found(height * width * channels);
    auto across = [&](size_t y, size_t x, size_t c) {
        const float left = pixels[(y * picture.width + columns.indices[x]) * channels + c];
        const float right = pixels[(y * picture.width + columns.indices[width + x]) * channels + c];
        return (right - left) * columns.weights[width + x] + left;
    };
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            for (size_t c = 0; c < channels; c++) {
                const float upper = across(rows.indices[y], x, c), lower = across(rows.indices[height + y], x, c);
                found[(y * width + x) * channels + c] = (lower - upper) * rows.weights[height + y] + upper;
            }
    return found;
}

static Taps<float> float_taps(size_t size, size_t length, const Kernel &how) {
    if (how.antialias) return antialiased<float>(size, length, how.filter, how.like == Like::tf);
    if (how.like == Like::tf && how.filter == Filter::bicubic) return tabled(size, length, how.centers);
    return between<float>(size, length, how.centers, how.filter == Filter::bicubic, how.like == Like::opencv ? Position::rounded : Position::fused);
}

static std::vector<float> in_floats(const Picture &picture, size_t height, size_t width, const Kernel &how) {
    if (how.filter == Filter::bilinear && !how.antialias && (how.like == Like::pillow || how.like == Like::tf))
        return lerped(picture, height, width, how.centers);
    const Taps<float> rows = float_taps(picture.height, height, how), columns = float_taps(picture.width, width, how);
    const std::vector<float> pixels = reals_of(picture);
    if (how.like == Like::tf)
        return summed(summed(pixels, picture.height, picture.width, picture.channels, 0, rows), height, picture.width, picture.channels, 1, columns);
    return summed(summed(pixels, picture.height, picture.width, picture.channels, 1, columns), picture.height, width, picture.channels, 0, rows);
}

// Pillow steps from pixel to pixel by adding the ratio, in double.
static std::vector<size_t> pillow_nearest(size_t size, size_t length) {
    std::vector<size_t> found(length);
    const double step = static_cast<double>(size) / static_cast<double>(length);
    double where = step * 0.5;
    for (size_t i = 0; i < length; i++, where += step) found[i] = std::min(static_cast<size_t>(where), size - 1);
    return found;
}

template <typename Pixel> static std::vector<Pixel> taken(const std::vector<Pixel> &pixels, const Picture &picture, const std::vector<size_t> &rows, const std::vector<size_t> &columns) {
    std::vector<Pixel> found;
    found.reserve(rows.size() * columns.size() * picture.channels);
    for (size_t y : rows)
        for (size_t x : columns) {
            const Pixel *from = &pixels[(y * picture.width + x) * picture.channels];
            found.insert(found.end(), from, from + picture.channels);
        }
    return found;
}

static void resize(Picture &picture, size_t height, size_t width, Kernel how) {
    if (picture.real()) how.rounded = false;
    const bool pillow = how.like == Like::pillow && how.rounded && how.centers == Centers::half;
    if (picture.height == height && picture.width == width) {
        if (!how.rounded) picture.values = reals_of(picture);
    } else if (how.filter == Filter::nearest) {
        const std::vector<size_t> rows = pillow ? pillow_nearest(picture.height, height) : nearest(picture.height, height, how);
        const std::vector<size_t> columns = pillow ? pillow_nearest(picture.width, width) : nearest(picture.width, width, how);
        if (how.rounded) picture.bytes = taken(picture.bytes, picture, rows, columns);
        else picture.values = taken(reals_of(picture), picture, rows, columns);
    } else if (how.rounded && ((pillow && how.antialias) || (how.like == Like::torch && how.centers == Centers::half))) {
        picture.bytes = in_whole_numbers(picture, height, width, how);
    } else if (how.rounded && how.like == Like::opencv && how.filter == Filter::bilinear) {
        picture.bytes = as_opencv(picture, height, width);
    } else {
        std::vector<float> values = in_floats(picture, height, width, how);
        if (how.rounded) {
            picture.bytes.resize(values.size());
            for (size_t i = 0; i < values.size(); i++)
                picture.bytes[i] = static_cast<unsigned char>(std::nearbyint(std::min(std::max(values[i], 0.0f), 255.0f)));
        } else picture.values = values;
    }
    if (!how.rounded) picture.bytes.clear();
    picture.height = height;
    picture.width = width;
}
