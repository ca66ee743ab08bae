// The functions of a generated model: it chooses the level of x86-64, and shares the samples of a call among threads.
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

thread_local const char *error = "";
Network *network = nullptr;
const char *level = "";
int most_threads = 1;

struct Memory {
    float *at = nullptr;
    ~Memory() { free(at); }
};
thread_local Memory memory;

// The samples of one call; threads take `together` of them at a time, from `next` on.
struct Call {
    const void *const *inputs;
    void *const *outputs;
    unsigned samples, together;
    unsigned next;
    bool failed;
};

void answer(Call &call) {
    if (!memory.at) memory.at = static_cast<float *>(aligned_alloc(64, MODEL_MEMORY));
    if (!memory.at) {
        __atomic_store_n(&call.failed, true, __ATOMIC_RELAXED);
        return;
    }
    const float *in[MODEL_INPUTS];
    float *out[MODEL_OUTPUTS];
    for (;;) {
        const unsigned done = __atomic_fetch_add(&call.next, call.together, __ATOMIC_RELAXED);
        if (done >= call.samples) return;
        const unsigned left = call.samples - done, count = left < call.together ? left : call.together;
        for (unsigned i = 0; i < MODEL_INPUTS; i++) in[i] = static_cast<const float *>(call.inputs[i]) + (size_t)done * MODEL_INPUT_SIZES[i];
        for (unsigned i = 0; i < MODEL_OUTPUTS; i++) out[i] = static_cast<float *>(call.outputs[i]) + (size_t)done * MODEL_OUTPUT_SIZES[i];
        network(in, out, static_cast<int>(count), memory.at, model_weights);
    }
}

// Threads that wait for calls, of one process: a fork has none of them and begins anew.
struct Helpers {
    pthread_mutex_t taken = PTHREAD_MUTEX_INITIALIZER, guard = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t called = PTHREAD_COND_INITIALIZER, finished = PTHREAD_COND_INITIALIZER;
    pid_t process = getpid();
    Call *call = nullptr;
    int started = 0, wanted = 0, busy = 0;
};
Helpers *helpers = nullptr;
pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

void *help(void *given) {
    Helpers &mine = *static_cast<Helpers *>(given);
    pthread_mutex_lock(&mine.guard);
    for (;;) {
        while (!mine.wanted) pthread_cond_wait(&mine.called, &mine.guard);
        mine.wanted--;
        mine.busy++;
        Call &call = *mine.call;
        pthread_mutex_unlock(&mine.guard);
        answer(call);
        pthread_mutex_lock(&mine.guard);
        if (!--mine.busy) pthread_cond_signal(&mine.finished);
    }
    return nullptr;
}

// The helpers of this process, at least `count` of them where they can be started; null where another call has them.
Helpers *take(int count) {
    pthread_mutex_lock(&making);
    if (!helpers || helpers->process != getpid()) helpers = new Helpers;
    Helpers *mine = helpers;
    pthread_mutex_unlock(&making);
    if (pthread_mutex_trylock(&mine->taken)) return nullptr;
    for (pthread_t thread; mine->started < count; mine->started++) {
        if (pthread_create(&thread, nullptr, help, mine)) break;
        pthread_detach(thread);
    }
    return mine;
}

void answer_together(Call &call, int threads) {
    Helpers *mine = threads > 1 ? take(threads - 1) : nullptr;
    if (!mine) return answer(call);
    pthread_mutex_lock(&mine->guard);
    mine->call = &call;
    mine->wanted = mine->started < threads - 1 ? mine->started : threads - 1;
    pthread_cond_broadcast(&mine->called);
    pthread_mutex_unlock(&mine->guard);
    answer(call);
    pthread_mutex_lock(&mine->guard);
    mine->wanted = 0;
    while (mine->busy) pthread_cond_wait(&mine->finished, &mine->guard);
    pthread_mutex_unlock(&mine->guard);
    pthread_mutex_unlock(&mine->taken);
}

// The highest level that this CPU has and `highest` allows, where it names one.
bool choose(const char *highest) {
    __builtin_cpu_init();
    const Level levels[] = {
        {"v4", __builtin_cpu_supports("x86-64-v4") != 0, model_v4},
        {"v3", __builtin_cpu_supports("x86-64-v3") != 0, model_v3},
        {"v2", __builtin_cpu_supports("x86-64-v2") != 0, model_v2},
    };
    bool allowed = !highest || !*highest;
    for (const Level &one : levels) {
        allowed = allowed || strcmp(highest, one.name) == 0;
        if (allowed && one.here) {
            network = one.run;
            level = one.name;
            return true;
        }
    }
    error = allowed ? "this CPU is below x86-64-v2, the least that the model was compiled for (SSE4.2)"
                    : "the highest level that is allowed is not one of v4, v3 and v2";
    return false;
}

}  // namespace

#define INTERFACE extern "C" __attribute__((visibility("default")))

INTERFACE const char *model_error() { return error; }

// The level of x86-64 whose code runs: v4, v3 or v2.
INTERFACE const char *model_level() { return level; }

// `highest` is the highest level to use, or empty for the highest that there is.
INTERFACE int model_open_at(const char *highest, int threads) {
    if (threads < 1) {
        error = "the number of threads is less than 1";
        return 1;
    }
    most_threads = threads;
    return choose(highest) ? 0 : 1;
}

// The model's files are all in the program. The environment variable MODEL_LEVEL may name the highest level to use.
INTERFACE int model_open(const char *, int threads) { return model_open_at(getenv("MODEL_LEVEL"), threads); }

// As model_run, on at most that many threads. Several threads may call it at once.
INTERFACE int model_run_on(const void *const *inputs, void *const *outputs, unsigned samples, int threads) {
    if (!network) {
        error = "model_open was not called";
        return 1;
    }
    // A thread that is woken should find work for longer than its waking takes.
    const double worth = (double)samples * MODEL_WORK / WORTH_A_THREAD;
    if (worth < threads) threads = worth < 1 ? 1 : (int)worth;
    const unsigned each = (samples + threads - 1) / threads;
    Call call{inputs, outputs, samples, each < MODEL_TOGETHER && each ? each : MODEL_TOGETHER, 0, false};
    answer_together(call, threads);
    if (call.failed) error = "there is not enough memory";
    return call.failed ? 2 : 0;
}

INTERFACE int model_run(const void *const *inputs, void *const *outputs, unsigned samples) {
    return model_run_on(inputs, outputs, samples, most_threads);
}
