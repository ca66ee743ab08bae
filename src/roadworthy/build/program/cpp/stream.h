// --stream: requests from stdin until its end, answers to stdout, both as raw bytes behind a number of samples.
#pragma once
#include <cstdint>
#include <cstring>
#include <unistd.h>

#include "bench.h"

// False where stdin ends before the first byte.
static bool read_all(void *target, size_t size) {
    unsigned char *to = static_cast<unsigned char *>(target);
    for (size_t done = 0; done < size;) {
        ssize_t got = read(STDIN_FILENO, to + done, size - done);
        if (got < 0) fail(BAD_INPUT, "stdin cannot be read: %s", std::strerror(errno));
        if (got == 0 && done == 0) return false;
        if (got == 0) fail(BAD_INPUT, "stdin ended after %zu of %zu bytes", done, size);
        done += static_cast<size_t>(got);
    }
    return true;
}

static void write_all(const void *source, size_t size) {
    const unsigned char *from = static_cast<const unsigned char *>(source);
    for (size_t done = 0; done < size;) {
        ssize_t put = write(STDOUT_FILENO, from + done, size - done);
        if (put < 0) fail(BAD_INPUT, "stdout cannot be written: %s", std::strerror(errno));
        done += static_cast<size_t>(put);
    }
}

// A number of samples that stands for: time calls. The number of calls follows, and then a request as any other.
constexpr uint32_t TIME_CALLS = UINT32_MAX;

static void read_inside(void *target, size_t size) {
    if (size && !read_all(target, size)) fail(BAD_INPUT, "stdin ended inside a request");
}

// The nanoseconds of each of `calls` calls, as uint64.
static void time_calls(const Samples &inputs, unsigned samples, uint32_t calls) {
    Samples outputs = memory_for(OUTPUTS, samples);
    std::vector<uint64_t> times(calls);
    for (uint64_t &time : times) {
        const double start = now();
        call_once(inputs, outputs, 0, samples);
        time = static_cast<uint64_t>((now() - start) * 1e9);
    }
    write_all(times.data(), times.size() * sizeof times[0]);
}

static void stream() {
    uint32_t samples;
    while (read_all(&samples, sizeof samples)) {
        uint32_t calls = 0;
        if (samples == TIME_CALLS) {
            read_inside(&calls, sizeof calls);
            read_inside(&samples, sizeof samples);
        }
        Samples inputs = memory_for(INPUTS, samples);
        for (Bytes &array : inputs) read_inside(array.data(), array.size());
        if (calls) {
            time_calls(inputs, samples, calls);
            continue;
        }
        const Samples outputs = answers_for(inputs, samples);
        write_all(&samples, sizeof samples);
        for (const Bytes &array : outputs) write_all(array.data(), array.size());
    }
}
