/* A model as functions of C. They may be called from one thread at a time. */
#ifndef MODEL_RUN_H
#define MODEL_RUN_H

#ifdef __cplusplus
extern "C" {
#endif

/* Prepares the model for that many threads. `directory` is where its files lie, for models that have some beside the program.
   Returns 0, or an error's number. */
int model_open(const char *directory, int threads);

/* Answers `samples` samples. Each array is in C order, samples first; inputs and outputs are in the order and of the dtypes that the
   model's description states. Returns 0, or an error's number. */
int model_run(const void *const *inputs, void *const *outputs, unsigned samples);

/* The last error in words; empty where there was none. */
const char *model_error(void);

#ifdef __cplusplus
}
#endif
#endif
