#include <stdlib.h>
#include <unistd.h>

#include "model_run.h"

extern "C" int model_open(const char *, int threads) { return threads == 99; }

extern "C" const char *model_error(void) { return "seven is not allowed"; }

extern "C" int model_run(const void *const *inputs, void *const *outputs, unsigned samples) {
    const float *x = static_cast<const float *>(inputs[0]);
    float *y = static_cast<float *>(outputs[0]);
    for (unsigned i = 0; i < samples; i++, x += 3, y += 2) {
        if (x[2] == 5) sleep(600);
        if (x[2] == 6) abort();
        if (x[2] == 7) return 7;
        y[0] = x[0] + x[1];
        y[1] = 2 * x[2];
    }
    return 0;
}
