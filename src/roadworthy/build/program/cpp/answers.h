// Answers as JSON, one line a sample: the best classes where the model ranks classes, else its outputs.
#pragma once
#include "json.h"

// The scores of the classes of one sample, from the first output.
static std::vector<double> scores_of(const unsigned char *data) {
    const Tensor &tensor = OUTPUTS[0];
    std::vector<double> values;
    for (size_t i = 0; i < tensor.count(); i++) values.push_back(number_of(tensor, data + i * tensor.item));
    if (QUANTIZED) for (double &value : values) value = static_cast<float>((value - ZERO_POINT) * SCALE);
    auto sigmoid = [](double x) { const double small = std::exp(-std::fabs(x)); return (x >= 0 ? 1 : small) / (1 + small); };
    if (RANKS == Ranks::column) {
        const double second = ACTIVATION == Activation::sigmoid ? sigmoid(values[0]) : values[0];
        return {1 - second, second};
    }
    if (ACTIVATION == Activation::sigmoid) for (double &value : values) value = sigmoid(value);
    if (ACTIVATION == Activation::softmax) {
        double most = values[0], sum = 0;
        for (double value : values) most = std::isnan(value) || std::isnan(most) ? NAN : std::max(most, value);
        for (double &value : values) sum += value = std::exp(value - most);
        for (double &value : values) value /= sum;
    }
    return values;
}

static void print_classes(const unsigned char *data) {
    const std::vector<double> scores = scores_of(data);
    std::vector<size_t> order(scores.size());
    for (size_t i = 0; i < order.size(); i++) order[i] = i;
    // What is not a number comes last; equal scores go by their index.
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] > scores[b] || (!std::isnan(scores[a]) && std::isnan(scores[b])); });
    std::fputs("\"classes\": [", stdout);
    for (size_t i = 0; i < order.size() && i < TOP_K; i++) {
        std::printf("%s{\"index\": %zu, \"label\": ", i ? ", " : "", order[i]);
        print_text(order[i] < LABELS.size() ? LABELS[order[i]] : std::to_string(order[i]));
        std::printf(", \"%s\": ", ACTIVATION == Activation::none ? "score" : "probability");
        print_real(scores[order[i]], 9);
        std::putchar('}');
    }
    std::putchar(']');
}

static void print_answers(const std::string &file, const Samples &outputs, unsigned samples, bool with_outputs) {
    for (unsigned sample = 0; sample < samples; sample++) {
        std::fputs("{\"file\": ", stdout);
        print_text(file);
        if (samples > 1) std::printf(", \"sample\": %u", sample);
        if (RANKS != Ranks::none) {
            std::fputs(", ", stdout);
            print_classes(outputs[0].data() + sample * OUTPUTS[0].bytes());
        }
        if (RANKS == Ranks::none || with_outputs) {
            std::fputs(", ", stdout);
            print_outputs(outputs, sample);
        }
        std::fputs("}\n", stdout);
    }
}
