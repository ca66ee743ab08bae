// --stream: requests from stdin until its end, answers to stdout, both as raw bytes behind a number of samples.
#pragma once
#include <cstdint>
#include <cstring>
#include <unistd.h>

#include "call.h"

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

static void stream() {
    uint32_t samples;
    while (read_all(&samples, sizeof samples)) {
        Samples inputs = memory_for(INPUTS, samples);
        for (Bytes &array : inputs)
            if (!array.empty() && !read_all(array.data(), array.size())) fail(BAD_INPUT, "stdin ended inside a request");
        const Samples outputs = answers_for(inputs, samples);
        write_all(&samples, sizeof samples);
        for (const Bytes &array : outputs) write_all(array.data(), array.size());
    }
}
