// The interface of a generated model: chooses the level of x86-64 at its start, and gives each thread memory of its own.
#include <cstdlib>
#include <cstring>

#include "sizes.h"

extern "C" {
typedef void Network(const float *const *inputs, float *const *outputs, int samples, float *memory, const float *weights);
Network model_v4, model_v3, model_v2;
}

asm(".section .rodata\n.balign 64\nmodel_weights:\n.incbin \"weights.bin\"\n.previous\n");
extern "C" __attribute__((visibility("hidden"))) const float model_weights[];

namespace {

struct Level {
    const char *name;
    bool here;
    Network *run;
};

const char *error = "";
Network *network = nullptr;
const char *level = "";

struct Memory {
    float *at = nullptr;
    ~Memory() { std::free(at); }
};
thread_local Memory memory;

bool choose(const char *wanted) {
    __builtin_cpu_init();
    const Level levels[] = {
        {"v4", __builtin_cpu_supports("x86-64-v4") != 0, model_v4},
        {"v3", __builtin_cpu_supports("x86-64-v3") != 0, model_v3},
        {"v2", __builtin_cpu_supports("x86-64-v2") != 0, model_v2},
    };
    // From the highest to the lowest: a level that is asked for is a ceiling.
    bool below = !wanted || !*wanted;
    for (const Level &one : levels) {
        below = below || std::strcmp(wanted, one.name) == 0;
        if (below && one.here) {
            network = one.run;
            level = one.name;
            return true;
        }
    }
    error = "this CPU has none of the levels of x86-64 that the model was compiled for: v2 is the least, with SSE4.2";
    return false;
}

}  // namespace

extern "C" {

__attribute__((visibility("default"))) const char *model_error() { return error; }

// The level of x86-64 whose code runs: v2, v3 or v4.
__attribute__((visibility("default"))) const char *model_level() { return level; }

__attribute__((visibility("default"))) int model_open(const char *, int) {
    return choose(std::getenv("MODEL_LEVEL")) ? 0 : 1;
}

__attribute__((visibility("default"))) int model_run(const void *const *inputs, void *const *outputs, unsigned samples) {
    if (!network) {
        error = "model_open was not called";
        return 1;
    }
    if (!memory.at) {
        memory.at = static_cast<float *>(std::aligned_alloc(64, MODEL_MEMORY));
        if (!memory.at) {
            error = "there is not enough memory";
            return 2;
        }
    }
    const float *in[MODEL_INPUTS];
    float *out[MODEL_OUTPUTS];
    for (unsigned done = 0; done < samples; done += MODEL_TOGETHER) {
        const unsigned count = samples - done < MODEL_TOGETHER ? samples - done : MODEL_TOGETHER;
        for (int i = 0; i < MODEL_INPUTS; i++) in[i] = static_cast<const float *>(inputs[i]) + (size_t)done * MODEL_INPUT_SIZES[i];
        for (int i = 0; i < MODEL_OUTPUTS; i++) out[i] = static_cast<float *>(outputs[i]) + (size_t)done * MODEL_OUTPUT_SIZES[i];
        network(in, out, static_cast<int>(count), memory.at, model_weights);
    }
    return 0;
}
}
