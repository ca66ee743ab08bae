// For each new pixel along one axis: which old pixels it is made of, and with which weights. The rules of each library are those of
// Roadworthy's preprocess/resampling, number for number.
#pragma once
#include <cmath>
#include <cstdint>

#include "orientation.h"

enum class Filter { nearest, bilinear, bicubic, lanczos, box, hamming };
enum class Centers { half, corner, aligned };
enum class Like { pillow, torch, tf, opencv };
enum class Position { single, fused, rounded, wide };  // the precision of a position

struct Kernel {
    Filter filter;
    bool antialias;
    Centers centers;
    bool rounded;
    Like like;
};

template <typename Weight> struct Taps {
    size_t taps = 0, length = 0;
    std::vector<size_t> indices;  // [taps, new pixels]
    std::vector<Weight> weights;

    Taps(size_t taps, size_t length) : taps(taps), length(length), indices(taps * length), weights(taps * length) {}
};

constexpr double CUBIC = -0.75;  // Keys' parameter without antialias; with it -0.5

template <typename Real> static Real keys_near(Real a, Real d) { return ((a + 2) * d - (a + 3)) * d * d + 1; }
template <typename Real> static Real keys_far(Real a, Real d) { return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a; }

template <typename Real> static Real sinc(Real x) {
    const Real y = static_cast<Real>(M_PI) * (x == 0 ? static_cast<Real>(1e-20) : x);
    return std::sin(y) / y;
}

// The height of a filter at a distance from its centre that is not negative.
template <typename Real> static Real filter_height(Filter filter, Real d) {
    switch (filter) {
    case Filter::bilinear: return d < 1 ? 1 - d : 0;
    case Filter::bicubic: return d < 1 ? keys_near<Real>(-0.5, d) : d < 2 ? keys_far<Real>(-0.5, d) : 0;
    case Filter::box: return d <= static_cast<Real>(0.5) ? 1 : 0;
    case Filter::hamming: return d < 1 ? sinc(d) * (static_cast<Real>(0.54) + static_cast<Real>(0.46) * std::cos(static_cast<Real>(M_PI) * d)) : 0;
    default: return d < 3 ? sinc(d) * sinc(d / 3) : 0;
    }
}

static double support_of(Filter filter) {
    switch (filter) {
    case Filter::bicubic: return 2;
    case Filter::lanczos: return 3;
    case Filter::box: return 0.5;
    default: return 1;
    }
}

// All pixels below the filter, which is made wider where the image gets smaller. The weights of a new pixel add up to 1.
template <typename Real> static Taps<Real> antialiased(size_t size, size_t length, Filter filter, bool inverse) {
    const double out = static_cast<double>(length), in = static_cast<double>(size);
    const Real ratio = inverse ? static_cast<Real>(1) / static_cast<Real>(out / in) : static_cast<Real>(in / out);
    const Real widened = std::max(ratio, static_cast<Real>(1)), support = static_cast<Real>(support_of(filter)) * widened;
    std::vector<std::ptrdiff_t> first(length), last(length);
    std::ptrdiff_t most = 0;
    for (size_t i = 0; i < length; i++) {
        const Real center = static_cast<Real>(static_cast<double>(i) + 0.5) * ratio;
        first[i] = std::max<std::ptrdiff_t>(0, static_cast<std::ptrdiff_t>(center - support + static_cast<Real>(0.5)));
        last[i] = std::min(static_cast<std::ptrdiff_t>(size), static_cast<std::ptrdiff_t>(center + support + static_cast<Real>(0.5)));
        most = std::max(most, last[i] - first[i]);
    }
    Taps<Real> taps(static_cast<size_t>(most), length);
    for (size_t i = 0; i < length; i++) {
        const Real center = static_cast<Real>(static_cast<double>(i) + 0.5) * ratio;
        Real sum = 0;
        for (size_t tap = 0; tap < taps.taps; tap++) {
            const std::ptrdiff_t index = first[i] + static_cast<std::ptrdiff_t>(tap);
            const Real distance = static_cast<Real>(static_cast<double>(index) - static_cast<double>(center) + 0.5) / widened;
            const Real weight = index < last[i] ? filter_height(filter, std::fabs(distance)) : 0;
            taps.indices[tap * length + i] = std::min(static_cast<size_t>(index), size - 1);
            taps.weights[tap * length + i] = weight;
            sum += weight;
        }
        for (size_t tap = 0; tap < taps.taps; tap++) taps.weights[tap * length + i] /= sum;
    }
    return taps;
}

// Where a new pixel lies between the old ones.
static double position(size_t i, size_t size, size_t length, Centers centers, Position precision) {
    const double place = static_cast<double>(i), in = static_cast<double>(size), out = static_cast<double>(length);
    const double exact = centers == Centers::aligned ? (length > 1 ? (in - 1) / (out - 1) : 0) : in / out;
    if (precision == Position::wide || precision == Position::rounded) {
        const double found = centers == Centers::half ? (place + 0.5) * exact - 0.5 : place * exact;
        return precision == Position::wide ? found : static_cast<float>(found);
    }
    const float single = static_cast<float>(place), scale = static_cast<float>(exact);
    if (centers != Centers::half) return single * scale;
    if (precision == Position::fused)
        return static_cast<float>(static_cast<double>(single + 0.5f) * static_cast<double>(static_cast<float>(in) / static_cast<float>(out)) - 0.5);
    return (single + 0.5f) * scale - 0.5f;
}

// The two nearest pixels, or by Keys' kernel the four; edges repeat.
template <typename Real>
static Taps<Real> between(size_t size, size_t length, Centers centers, bool cubic, Position precision, bool clipped = true) {
    Taps<Real> taps(cubic ? 4 : 2, length);
    const Real end = static_cast<Real>(size - 1), a = static_cast<Real>(CUBIC);
    for (size_t i = 0; i < length; i++) {
        Real where = static_cast<Real>(position(i, size, length, centers, precision));
        if (!cubic && clipped) where = std::min(std::max(where, static_cast<Real>(0)), end);
        const Real first = std::floor(where), part = where - first;
        const Real linear[] = {1 - part, part};
        const Real four[] = {keys_far<Real>(a, part + 1), keys_near<Real>(a, part), keys_near<Real>(a, 1 - part), keys_far<Real>(a, 2 - part)};
        for (size_t tap = 0; tap < taps.taps; tap++) {
            const std::ptrdiff_t index = static_cast<std::ptrdiff_t>(first) + static_cast<std::ptrdiff_t>(tap) - (cubic ? 1 : 0);
            taps.indices[tap * length + i] = static_cast<size_t>(std::min(std::max<std::ptrdiff_t>(index, 0), static_cast<std::ptrdiff_t>(size) - 1));
            taps.weights[tap * length + i] = cubic ? four[tap] : linear[tap];
        }
    }
    return taps;
}

// TensorFlow's bicubic, with its table of 1024 positions between two pixels.
static Taps<float> tabled(size_t size, size_t length, Centers centers) {
    Taps<float> taps(4, length);
    const float a = centers == Centers::half ? -0.5f : -0.75f;
    for (size_t i = 0; i < length; i++) {
        const float where = static_cast<float>(position(i, size, length, centers, Position::single)), first = std::floor(where);
        const float part = std::nearbyint((where - first) * 1024.0f) / 1024.0f, apart[] = {part + 1, part, 1 - part, 2 - part};
        float sum = 0;
        for (size_t tap = 0; tap < 4; tap++) {
            const std::ptrdiff_t free = static_cast<std::ptrdiff_t>(first) + static_cast<std::ptrdiff_t>(tap) - 1;
            const std::ptrdiff_t index = std::min(std::max<std::ptrdiff_t>(free, 0), static_cast<std::ptrdiff_t>(size) - 1);
            float weight = apart[tap] <= 1 ? keys_near<float>(a, apart[tap]) : keys_far<float>(a, apart[tap]);
            if (centers == Centers::half && index != free) weight = 0;
            taps.indices[tap * length + i] = static_cast<size_t>(index);
            taps.weights[tap * length + i] = weight;
            sum += weight;
        }
        if (centers == Centers::half) for (size_t tap = 0; tap < 4; tap++) taps.weights[tap * length + i] /= sum;
    }
    return taps;
}

// The old pixel of each new one without interpolation.
static std::vector<size_t> nearest(size_t size, size_t length, const Kernel &how) {
    std::vector<size_t> found(length);
    const double in = static_cast<double>(size), out = static_cast<double>(length);
    const float ratio = static_cast<float>(in) / static_cast<float>(out);
    const bool half = how.centers == Centers::half && (how.like == Like::pillow || how.like == Like::tf);
    for (size_t i = 0; i < length; i++) {
        const float place = static_cast<float>(i);
        double where;
        if (how.centers == Centers::aligned && length > 1) where = std::floor(place * static_cast<float>((in - 1) / (out - 1)) + 0.5f);
        else if (half) where = std::floor((place + 0.5f) * ratio);
        else if (how.like == Like::opencv) where = std::floor(static_cast<double>(i) * (1 / (out / in)));
        else where = std::floor(place * ratio);
        found[i] = std::min(static_cast<size_t>(std::max(where, 0.0)), size - 1);
    }
    return found;
}
