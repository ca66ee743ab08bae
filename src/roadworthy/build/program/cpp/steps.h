// The other steps of the preprocessing: sizes, crops, padding, channels, values.
// A program calls some of them: a compiler that warns of functions without use leaves inline ones out.
#pragma once
#include "picture.h"
#include "resample.h"

static void admit(const Picture &picture, size_t height, size_t width) {
    if (std::max(height, picture.height) > PIXEL_LIMIT / std::max<size_t>(width, 1))
        fail(BAD_INPUT, "an image of %zu x %zu pixels takes more than the limit of %zu on its way to %zu x %zu", picture.width, picture.height,
             PIXEL_LIMIT, width, height);
}

// The shorter side gets `wanted`, the longer at most `longest`; 0 is none.
static inline void resize_side(Picture &picture, size_t wanted, size_t longest, const Kernel &how) {
    const size_t small = std::min(picture.height, picture.width), large = std::max(picture.height, picture.width);
    auto share = [](size_t a, size_t b, size_t c) { return static_cast<size_t>(static_cast<double>(a * b) / static_cast<double>(c)); };
    size_t shorter = small, longer = large;
    if (wanted) { shorter = wanted; longer = share(wanted, large, small); }
    if (longest && (!wanted || longer > longest)) { shorter = std::max<size_t>(1, share(longest, shorter, longer)); longer = longest; }
    const bool tall = picture.width <= picture.height;
    admit(picture, tall ? longer : shorter, tall ? shorter : longer);
    resize(picture, tall ? longer : shorter, tall ? shorter : longer, how);
}

static inline void resize_to(Picture &picture, size_t height, size_t width, const Kernel &how) {
    admit(picture, height, width);
    resize(picture, height, width, how);
}

// The part of an image from (top, left); what lies past the image is `value`.
template <typename Pixel>
static std::vector<Pixel> part_of(const std::vector<Pixel> &pixels, const Picture &picture, std::ptrdiff_t top, std::ptrdiff_t left, size_t height, size_t width, Pixel value) {
    std::vector<Pixel> found(height * width * picture.channels, value);
    const std::ptrdiff_t rows = static_cast<std::ptrdiff_t>(picture.height), columns = static_cast<std::ptrdiff_t>(picture.width);
    for (size_t y = 0; y < height; y++) {
        const std::ptrdiff_t row = top + static_cast<std::ptrdiff_t>(y);
        const std::ptrdiff_t from = std::max<std::ptrdiff_t>(left, 0), to = std::min(left + static_cast<std::ptrdiff_t>(width), columns);
        if (row < 0 || row >= rows || from >= to) continue;
        const Pixel *source = &pixels[static_cast<size_t>(row * columns + from) * picture.channels];
        std::copy(source, source + static_cast<size_t>(to - from) * picture.channels,
                  &found[(y * width + static_cast<size_t>(from - left)) * picture.channels]);
    }
    return found;
}

static void cut(Picture &picture, std::ptrdiff_t top, std::ptrdiff_t left, size_t height, size_t width, int value = 0) {
    if (picture.real()) picture.values = part_of(picture.values, picture, top, left, height, width, static_cast<float>(value));
    else picture.bytes = part_of(picture.bytes, picture, top, left, height, width, static_cast<unsigned char>(value));
    picture.height = height;
    picture.width = width;
}

enum class Rounding { even, down, floor };

// Where a centre crop begins; negative where the image is smaller.
static std::ptrdiff_t crop_start(size_t length, size_t wanted, Rounding rounding) {
    const std::ptrdiff_t margin = static_cast<std::ptrdiff_t>(length) - static_cast<std::ptrdiff_t>(wanted);
    if (margin < 0 && rounding != Rounding::floor) return -(-margin / 2);
    if (rounding == Rounding::even) return static_cast<std::ptrdiff_t>(std::nearbyint(static_cast<double>(margin) / 2));
    return static_cast<std::ptrdiff_t>(std::floor(static_cast<double>(margin) / 2));
}

static inline void crop_to_aspect(Picture &picture, size_t height, size_t width) {
    auto side = [](size_t a, size_t b, size_t c) { return static_cast<size_t>(static_cast<float>(a * b) / static_cast<float>(c)); };
    const size_t rows = std::max<size_t>(1, std::min(picture.height, side(picture.width, height, width)));
    const size_t columns = std::max<size_t>(1, std::min(picture.width, side(picture.height, width, height)));
    cut(picture, static_cast<std::ptrdiff_t>((picture.height - rows) / 2), static_cast<std::ptrdiff_t>((picture.width - columns) / 2), rows, columns);
}

static inline void crop(Picture &picture, size_t height, size_t width, Rounding rounding, bool resizes) {
    if (resizes) {
        if (picture.height < height || picture.width < width) {
            crop_to_aspect(picture, height, width);
            const Kernel keras{Filter::bilinear, false, Centers::half, false, Like::pillow};
            picture.values = in_floats(picture, height, width, keras);
            picture.height = height;
            picture.width = width;
        } else picture.values = reals_of(picture);
        picture.bytes.clear();
    }
    if (picture.height == height && picture.width == width) return;
    cut(picture, crop_start(picture.height, height, rounding), crop_start(picture.width, width, rounding), height, width);
}

static inline void crop_fraction(Picture &picture, double fraction) {
    auto margin = [&](size_t side) { return static_cast<size_t>((static_cast<double>(side) - static_cast<double>(side) * fraction) / 2); };
    const size_t top = margin(picture.height), left = margin(picture.width);
    cut(picture, static_cast<std::ptrdiff_t>(top), static_cast<std::ptrdiff_t>(left), picture.height - 2 * top, picture.width - 2 * left);
}

static inline void letterbox(Picture &picture, size_t height, size_t width, size_t stride, int value, bool scale_up, bool centered, const Kernel &how) {
    const double tall = static_cast<double>(picture.height), wide = static_cast<double>(picture.width);
    double ratio = std::min(static_cast<double>(height) / tall, static_cast<double>(width) / wide);
    if (!scale_up) ratio = std::min(ratio, 1.0);
    auto side = [](double value) { return std::max<size_t>(1, static_cast<size_t>(std::nearbyint(value))); };
    const size_t rows = side(tall * ratio), columns = side(wide * ratio);
    if (stride) { height = (rows + stride - 1) / stride * stride; width = (columns + stride - 1) / stride * stride; }
    resize_to(picture, rows, columns, how);
    if (rows == height && columns == width) return;
    const size_t top = centered ? (height - rows) / 2 : 0, left = centered ? (width - columns) / 2 : 0;
    cut(picture, -static_cast<std::ptrdiff_t>(top), -static_cast<std::ptrdiff_t>(left), height, width, value);
}

// Grey in one channel or three equal ones.
static inline void grey(Picture &picture, size_t channels, bool as_torch) {
    if (picture.channels == 3 && as_torch) {
        Bytes levels(picture.height * picture.width);
        for (size_t i = 0; i < levels.size(); i++) {
            const unsigned char *rgb = &picture.bytes[3 * i];
            levels[i] = static_cast<unsigned char>(static_cast<float>(rgb[0]) * 0.2989f + static_cast<float>(rgb[1]) * 0.587f + static_cast<float>(rgb[2]) * 0.114f);
        }
        picture.bytes = levels;
        picture.channels = 1;
    } else to_grey(picture);
    repeat_channel(picture, channels);
}

static inline void reverse_channels(Picture &picture) {
    for (size_t i = 0; i < picture.height * picture.width; i++) {
        if (picture.real()) std::reverse(&picture.values[i * picture.channels], &picture.values[i * picture.channels] + picture.channels);
        else std::reverse(&picture.bytes[i * picture.channels], &picture.bytes[i * picture.channels] + picture.channels);
    }
}

template <typename Pixel> static std::vector<Pixel> planes(const std::vector<Pixel> &pixels, size_t channels) {
    std::vector<Pixel> found(pixels.size());
    const size_t plane = pixels.size() / channels;
    for (size_t i = 0; i < plane; i++)
        for (size_t c = 0; c < channels; c++) found[c * plane + i] = pixels[i * channels + c];
    return found;
}

static inline void channels_first(Picture &picture) {
    if (picture.real()) picture.values = planes(picture.values, picture.channels);
    else picture.bytes = planes(picture.bytes, picture.channels);
    picture.channels_first = true;
}

enum class Arithmetic { fused, divided, multiplied, wide };

struct Values {  // one number for each channel, or one for all
    Arithmetic arithmetic;
    double scale;                 // or what it is divided by
    std::vector<float> first;     // fused: the factor; else the mean
    std::vector<float> second;    // fused: the summand; else the standard deviation; empty where it changes nothing
};

static inline void normalize(Picture &picture, const Values &how) {
    std::vector<float> values = reals_of(picture);
    const size_t plane = picture.height * picture.width;
    const float scale = static_cast<float>(how.scale);
    for (size_t i = 0; i < values.size(); i++) {
        const size_t channel = picture.channels_first ? i / plane : i % picture.channels;
        const float *first = how.first.empty() ? nullptr : &how.first[how.first.size() == 1 ? 0 : channel];
        const float *second = how.second.empty() ? nullptr : &how.second[how.second.size() == 1 ? 0 : channel];
        float value = values[i];
        if (how.arithmetic == Arithmetic::fused) {
            value *= *first;
            if (second) value += *second;
        } else {
            if (how.arithmetic == Arithmetic::wide) value = static_cast<float>(static_cast<double>(value) * how.scale);
            else value = how.arithmetic == Arithmetic::divided ? value / scale : value * scale;
            if (first) value -= *first;
            if (second) value /= *second;
        }
        values[i] = value;
    }
    picture.values = values;
    picture.bytes.clear();
}

// What the steps gave as the bytes of one sample.
static Bytes sample_of(const Picture &picture, const std::string &path) {
    const Tensor &input = INPUTS[0];
    if (picture.numbers() != input.count())
        fail(BAD_INPUT, "%s gives a sample of %zu x %zu pixels, and the model takes another size", path.c_str(), picture.width, picture.height);
    if (!picture.real()) return picture.bytes;
    Bytes sample(input.bytes());
    if (input.dtype == "float32") std::memcpy(sample.data(), picture.values.data(), sample.size());
    else for (size_t i = 0; i < sample.size(); i++)
        sample[i] = static_cast<unsigned char>(static_cast<int8_t>(std::min(std::max(std::nearbyint(picture.values[i]), -128.0f), 127.0f)));
    return sample;
}
