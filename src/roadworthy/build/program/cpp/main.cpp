// A program around one model: files in, JSON out.
#include <climits>
#include <exception>
#include <string>
#include <vector>

#include "bench.h"
#include "files.h"
#include "answers.h"
#include "stream.h"
#if IMAGES
#include "prepared.h"
#endif

struct Arguments {
    std::vector<std::string> files;
    bool stream = false, outputs = false;
    double bench = 0;
    int threads = DEFAULT_THREADS;
};

static void print_usage(FILE *to) {
    std::fprintf(to, "%s\n\nusage: program [--threads N] [--outputs] FILE...   answers each file as JSON, one line a sample\n"
                     "       program [--threads N] --bench SECONDS [FILE]   times the model itself\n"
                     "       program [--threads N] --stream   raw requests from stdin, raw answers to stdout\n\n", MODEL_NAME);
    for (const Tensor &tensor : INPUTS)
        std::fprintf(to, "input  %s %s %s\n", tensor.name.c_str(), tensor.dtype.c_str(), shape_words(tensor.shape).c_str());
    for (const Tensor &tensor : OUTPUTS)
        std::fprintf(to, "output %s %s %s\n", tensor.name.c_str(), tensor.dtype.c_str(), shape_words(tensor.shape).c_str());
    std::fprintf(to, "\nA file holds the raw numbers of one or more samples, or is a .npy file%s.%s\n", IMAGES ? ", or an image" : "",
                 INPUTS.size() > 1 ? " The model has several inputs: give one file for each, in this order." : "");
}

static double number_after(int &at, int count, char **words, double least) {
    const char *option = words[at];
    if (++at >= count) fail(BAD_USE, "%s needs a number behind it", option);
    char *end;
    const double value = std::strtod(words[at], &end);
    if (*end || end == words[at] || !(value >= least) || value > 86400) fail(BAD_USE, "%s %s is not a number from %g", option, words[at], least);
    return value;
}

static Arguments parse(int count, char **words) {
    Arguments arguments;
    for (int at = 1; at < count; at++) {
        const std::string word = words[at];
        if (word == "--help") { print_usage(stdout); std::exit(0); }
        else if (word == "--stream") arguments.stream = true;
        else if (word == "--outputs") arguments.outputs = true;
        else if (word == "--bench") arguments.bench = number_after(at, count, words, 0.001);
        else if (word == "--threads") arguments.threads = static_cast<int>(number_after(at, count, words, 1));
        else if (word.size() > 1 && word[0] == '-') fail(BAD_USE, "the option %s is not known; --help lists the options", word.c_str());
        else arguments.files.push_back(word);
    }
    if (arguments.threads > MOST_THREADS) fail(BAD_USE, "--threads %d: this model computes on at most %d", arguments.threads, MOST_THREADS);
    if (arguments.stream && (arguments.bench || !arguments.files.empty())) fail(BAD_USE, "--stream goes with no file and without --bench");
    if (arguments.outputs && (arguments.stream || arguments.bench)) fail(BAD_USE, "--outputs is for answers to files alone");
    if (!arguments.stream && !arguments.bench && arguments.files.empty()) { print_usage(stderr); std::exit(BAD_USE); }
    if (arguments.bench && arguments.files.size() > INPUTS.size())
        fail(BAD_USE, "%zu files came, and --bench takes one for each input", arguments.files.size());
    if (INPUTS.size() > 1 && !arguments.files.empty() && arguments.files.size() != INPUTS.size())
        fail(BAD_USE, "%zu files came, and the model has %zu inputs: give one file for each", arguments.files.size(), INPUTS.size());
    return arguments;
}

// The folder that this program lies in.
static std::string own_folder(const char *called) {
    char path[PATH_MAX];
    const ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    const std::string own = length > 0 ? std::string(path, static_cast<size_t>(length)) : called;
    const size_t slash = own.rfind('/');
    return slash == std::string::npos ? "." : own.substr(0, slash + 1);
}

// The samples in one file.
static Bytes samples_in(const std::string &path, const Tensor &tensor, unsigned &samples) {
    const Bytes data = read_file(path);
#if IMAGES
    if (is_image(data)) {
        samples = 1;
        return sample_from_image(data, path);
    }
#endif
    return samples_of(data, tensor, path, samples);
}

// One file for each input, all with equally many samples.
static Samples inputs_from(const std::vector<std::string> &files, unsigned &samples) {
    Samples inputs;
    for (size_t i = 0; i < INPUTS.size(); i++) {
        unsigned found = 0;
        inputs.push_back(samples_in(files[i], INPUTS[i], found));
        if (i && found != samples) fail(BAD_INPUT, "%s has %u samples, and %s has %u", files[i].c_str(), found, files[0].c_str(), samples);
        samples = found;
    }
    return inputs;
}

static void answer_files(const std::vector<std::string> &files, bool with_outputs) {
    for (size_t at = 0; at < files.size(); at += INPUTS.size()) {
        unsigned samples = 0;
        const Samples inputs = inputs_from({files.begin() + static_cast<std::ptrdiff_t>(at), files.end()}, samples);
        print_answers(files[at], answers_for(inputs, samples), samples, with_outputs);
    }
}

static void run_bench(const Arguments &arguments) {
    unsigned samples = BATCH ? BATCH : 1;
    Samples inputs = memory_for(INPUTS, samples);
    if (!arguments.files.empty()) inputs = inputs_from(arguments.files, samples);
    if (BATCH && samples != BATCH) fail(BAD_INPUT, "%u samples came, and this model takes %u a call", samples, BATCH);
    bench(inputs, samples, arguments.bench, arguments.threads);
}

int main(int count, char **words) try {
    const Arguments arguments = parse(count, words);
    open_model(own_folder(words[0]), arguments.threads);
    if (arguments.stream) stream();
    else if (arguments.bench) run_bench(arguments);
    else answer_files(arguments.files, arguments.outputs);
    if (std::fflush(stdout) || std::ferror(stdout)) fail(BAD_INPUT, "stdout cannot be written: %s", std::strerror(errno));
    return 0;
} catch (const std::exception &problem) {  // memory that does not suffice, or what a model's library throws
    fail(BAD_MODEL, "%s", problem.what());
}
