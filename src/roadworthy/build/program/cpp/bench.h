// --bench: how long one call takes, timed inside the program: no process, pipe or file is in it.
#pragma once
#include <ctime>

#include "call.h"

static double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// The value below which `share` of the sorted `values` lie.
static double quantile(const std::vector<double> &values, double share) {
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

static void bench(const Samples &inputs, unsigned samples, double seconds, int threads) {
    constexpr size_t WARM_UP = 3, LEAST = 5, MOST = 4u << 20;
    Samples outputs = memory_for(OUTPUTS, samples);
    size_t warm = 0;
    for (const double end = now() + seconds / 5; warm < WARM_UP || now() < end; warm++) call_once(inputs, outputs, 0, samples);
    std::vector<double> times;
    for (const double end = now() + seconds; times.size() < LEAST || (now() < end && times.size() < MOST);) {
        const double start = now();
        call_once(inputs, outputs, 0, samples);
        times.push_back((now() - start) * 1e6);
    }
    std::sort(times.begin(), times.end());
    std::printf("{\"median_us\": %.3f, \"p10_us\": %.3f, \"p90_us\": %.3f, \"min_us\": %.3f, \"calls\": %zu, \"warm_up_calls\": %zu, "
                "\"samples\": %u, \"threads\": %d}\n",
                quantile(times, 0.5), quantile(times, 0.1), quantile(times, 0.9), times[0], times.size(), warm, samples, threads);
}
