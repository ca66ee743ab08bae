// Answers as JSON, one line a sample.
#pragma once
#include <cinttypes>
#include <cmath>
#include <cstring>

#include "call.h"

static void print_text(const std::string &text) {
    std::putchar('"');
    for (unsigned char byte : text) {
        if (byte == '"' || byte == '\\') std::printf("\\%c", byte);
        else if (byte < 0x20) std::printf("\\u%04x", byte);
        else std::putchar(byte);
    }
    std::putchar('"');
}

// JSON has no word for what is not finite: it is null.
static void print_real(double value, int digits) {
    if (std::isfinite(value)) std::printf("%.*g", digits, value);
    else std::fputs("null", stdout);
}

template <typename T> static T number_at(const unsigned char *data) {
    T value;
    std::memcpy(&value, data, sizeof value);
    return value;
}

static void print_number(const Tensor &tensor, const unsigned char *at) {
    const std::string &dtype = tensor.dtype;
    if (dtype == "float32") print_real(number_at<float>(at), 9);
    else if (dtype == "float64") print_real(number_at<double>(at), 17);
    else if (dtype == "bool") std::fputs(*at ? "true" : "false", stdout);
    else if (dtype == "uint8") std::printf("%u", number_at<uint8_t>(at));
    else if (dtype == "int8") std::printf("%d", number_at<int8_t>(at));
    else if (dtype == "uint16") std::printf("%u", number_at<uint16_t>(at));
    else if (dtype == "int16") std::printf("%d", number_at<int16_t>(at));
    else if (dtype == "uint32") std::printf("%" PRIu32, number_at<uint32_t>(at));
    else if (dtype == "int32") std::printf("%" PRId32, number_at<int32_t>(at));
    else if (dtype == "uint64") std::printf("%" PRIu64, number_at<uint64_t>(at));
    else std::printf("%" PRId64, number_at<int64_t>(at));
}

static void print_nested(const Tensor &tensor, const unsigned char *data, size_t axis) {
    if (axis == tensor.shape.size()) return print_number(tensor, data);
    size_t step = tensor.item;
    for (size_t i = axis + 1; i < tensor.shape.size(); i++) step *= tensor.shape[i];
    std::putchar('[');
    for (size_t i = 0; i < tensor.shape[axis]; i++) {
        if (i) std::fputs(", ", stdout);
        print_nested(tensor, data + i * step, axis + 1);
    }
    std::putchar(']');
}

static void print_outputs(const Samples &outputs, size_t sample) {
    std::fputs("\"outputs\": {", stdout);
    for (size_t i = 0; i < OUTPUTS.size(); i++) {
        if (i) std::fputs(", ", stdout);
        print_text(OUTPUTS[i].name);
        std::fputs(": ", stdout);
        print_nested(OUTPUTS[i], outputs[i].data() + sample * OUTPUTS[i].bytes(), 0);
    }
    std::putchar('}');
}

static void print_answers(const std::string &file, const Samples &outputs, unsigned samples) {
    for (unsigned sample = 0; sample < samples; sample++) {
        std::fputs("{\"file\": ", stdout);
        print_text(file);
        if (samples > 1) std::printf(", \"sample\": %u", sample);
        std::fputs(", ", stdout);
        print_outputs(outputs, sample);
        std::fputs("}\n", stdout);
    }
}
