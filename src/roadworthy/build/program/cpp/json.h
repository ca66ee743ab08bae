// Numbers and texts as JSON.
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

static double number_of(const Tensor &tensor, const unsigned char *at) {
    const std::string &dtype = tensor.dtype;
    if (dtype == "float32") return number_at<float>(at);
    if (dtype == "float64") return number_at<double>(at);
    if (dtype == "bool" || dtype == "uint8") return number_at<uint8_t>(at);
    if (dtype == "int8") return number_at<int8_t>(at);
    if (dtype == "uint16") return number_at<uint16_t>(at);
    if (dtype == "int16") return number_at<int16_t>(at);
    if (dtype == "uint32") return number_at<uint32_t>(at);
    if (dtype == "int32") return number_at<int32_t>(at);
    if (dtype == "uint64") return static_cast<double>(number_at<uint64_t>(at));
    return static_cast<double>(number_at<int64_t>(at));
}

static void print_number(const Tensor &tensor, const unsigned char *at) {
    const std::string &dtype = tensor.dtype;
    if (dtype == "float32") print_real(number_at<float>(at), 9);
    else if (dtype == "bool") std::fputs(*at ? "true" : "false", stdout);
    else if (dtype == "uint64") std::printf("%" PRIu64, number_at<uint64_t>(at));
    else if (dtype == "int64") std::printf("%" PRId64, number_at<int64_t>(at));
    else print_real(number_of(tensor, at), 17);
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
