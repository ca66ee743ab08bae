// Calls the model, in calls of its own batch size; what goes wrong ends the program with words on stderr.
#pragma once
#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "model.h"
#include "model_run.h"

constexpr int BAD_USE = 2, BAD_INPUT = 1, BAD_MODEL = 3;

[[noreturn]] __attribute__((format(printf, 2, 3))) static void fail(int code, const char *format, ...) {
    std::fflush(stdout);
    std::fputs("error: ", stderr);
    va_list values;
    va_start(values, format);
    std::vfprintf(stderr, format, values);
    va_end(values);
    std::fputc('\n', stderr);
    std::_Exit(code);
}

static void open_model(const std::string &directory, int threads) {
    if (int number = model_open(directory.c_str(), threads))
        fail(BAD_MODEL, "the model cannot be opened (%d): %s", number, model_error());
}

static Samples memory_for(const std::vector<Tensor> &tensors, size_t samples) {
    Samples arrays;
    for (const Tensor &tensor : tensors) arrays.emplace_back(tensor.bytes() * samples);
    return arrays;
}

static void call_once(const Samples &inputs, Samples &outputs, size_t first, unsigned samples) {
    std::vector<const void *> from;
    std::vector<void *> to;
    for (size_t i = 0; i < INPUTS.size(); i++) from.push_back(inputs[i].data() + first * INPUTS[i].bytes());
    for (size_t i = 0; i < OUTPUTS.size(); i++) to.push_back(outputs[i].data() + first * OUTPUTS[i].bytes());
    if (int number = model_run(from.data(), to.data(), samples)) fail(BAD_MODEL, "the model failed (%d): %s", number, model_error());
}

static Samples answers_for(const Samples &inputs, unsigned samples) {
    const unsigned each = BATCH ? BATCH : std::max(samples, 1u);
    if (samples % each) fail(BAD_INPUT, "%u samples came, and this model takes %u a call, or a multiple of it", samples, BATCH);
    Samples outputs = memory_for(OUTPUTS, samples);
    for (unsigned first = 0; first < samples; first += each) call_once(inputs, outputs, first, each);
    return outputs;
}
