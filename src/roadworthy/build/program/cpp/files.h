// Samples from files: a .npy file, or the raw bytes of an input.
#pragma once
#include <cctype>
#include <cerrno>
#include <cstring>

#include "call.h"

static Bytes read_file(const std::string &path) {
    FILE *file = std::fopen(path.c_str(), "rb");
    if (!file) fail(BAD_INPUT, "%s cannot be read: %s", path.c_str(), std::strerror(errno));
    Bytes data;
    unsigned char block[1 << 16];
    for (size_t got; (got = std::fread(block, 1, sizeof block, file)) > 0;) data.insert(data.end(), block, block + got);
    if (std::ferror(file)) fail(BAD_INPUT, "%s cannot be read: %s", path.c_str(), std::strerror(errno));
    std::fclose(file);
    return data;
}

static bool begins(const Bytes &data, const char *magic, size_t size) { return data.size() >= size && !std::memcmp(data.data(), magic, size); }

static bool is_image(const Bytes &data) {
    const bool pnm = data.size() > 3 && data[0] == 'P' && (data[1] == '5' || data[1] == '6') && std::isspace(data[2]);
    return pnm || begins(data, "\xff\xd8\xff", 3) || begins(data, "\x89PNG\r\n\x1a\n", 8);
}

static std::string shape_words(const std::vector<size_t> &shape) {
    std::string words = "[";
    for (size_t i = 0; i < shape.size(); i++) words += (i ? "," : "") + std::to_string(shape[i]);
    return words + "]";
}

// The value of `key` in the header of a .npy file, up to the comma or bracket that ends it.
static std::string header_value(const std::string &header, const std::string &key, const std::string &path) {
    const size_t at = header.find("'" + key + "':");
    if (at == std::string::npos) fail(BAD_INPUT, "%s is not a .npy file that can be read: its header has no %s", path.c_str(), key.c_str());
    size_t from = header.find_first_not_of(' ', at + key.size() + 3);
    if (from == std::string::npos) fail(BAD_INPUT, "%s: the header ends early", path.c_str());
    const size_t end = header[from] == '(' ? header.find(')', from) : header.find_first_of(",}", from);
    return header.substr(from, end == std::string::npos ? end : end - from);
}

// The numbers in a tuple such as "(3, 1, 8, 8".
static std::vector<size_t> numbers_of(const std::string &tuple) {
    std::vector<size_t> numbers;
    for (const char *at = tuple.c_str(); *at;) {
        if (*at < '0' || *at > '9') { at++; continue; }
        char *end;
        numbers.push_back(std::strtoull(at, &end, 10));
        at = end;
    }
    return numbers;
}

static Bytes from_npy(const Bytes &data, const Tensor &tensor, const std::string &path, unsigned &samples) {
    const bool wide = data.size() > 6 && data[6] >= 2;
    const size_t start = wide ? 12 : 10;
    if (data.size() < start) fail(BAD_INPUT, "%s is cut short: it ends inside its header", path.c_str());
    size_t length = data[8] | data[9] << 8;
    if (wide) length |= static_cast<size_t>(data[10]) << 16 | static_cast<size_t>(data[11]) << 24;
    if (data.size() - start < length) fail(BAD_INPUT, "%s is cut short: it ends inside its header", path.c_str());
    const std::string header(data.begin() + start, data.begin() + start + length);
    const std::string code = header_value(header, "descr", path);
    if (code != "'" + tensor.code + "'")
        fail(BAD_INPUT, "%s holds numbers of type %s, and input %s takes '%s' (%s)", path.c_str(), code.c_str(), tensor.name.c_str(),
             tensor.code.c_str(), tensor.dtype.c_str());
    if (header_value(header, "fortran_order", path) != "False")
        fail(BAD_INPUT, "%s is in Fortran order: save numpy.ascontiguousarray(array)", path.c_str());
    std::vector<size_t> shape = numbers_of(header_value(header, "shape", path));
    samples = 1;
    if (shape != tensor.shape) {
        const std::vector<size_t> one(shape.empty() ? shape.begin() : shape.begin() + 1, shape.end());
        if (shape.empty() || one != tensor.shape || shape[0] > UINT32_MAX)
            fail(BAD_INPUT, "%s is of shape %s, and one sample of input %s of %s", path.c_str(), shape_words(shape).c_str(),
                 tensor.name.c_str(), shape_words(tensor.shape).c_str());
        samples = static_cast<unsigned>(shape[0]);
    }
    const size_t held = data.size() - start - length;
    if (held != samples * tensor.bytes())
        fail(BAD_INPUT, "%s holds %zu bytes of numbers, where its header states %zu", path.c_str(), held, samples * tensor.bytes());
    return Bytes(data.begin() + static_cast<std::ptrdiff_t>(start + length), data.end());
}

static Bytes from_raw(const Bytes &data, const Tensor &tensor, const std::string &path, unsigned &samples) {
    if (data.empty() || !tensor.bytes() || data.size() % tensor.bytes())
        fail(BAD_INPUT, "%s has %zu bytes, and one sample of input %s (%s %s) has %zu: it is neither that nor a .npy file", path.c_str(),
             data.size(), tensor.name.c_str(), tensor.dtype.c_str(), shape_words(tensor.shape).c_str(), tensor.bytes());
    samples = static_cast<unsigned>(data.size() / tensor.bytes());
    return data;
}

// The samples that a file's `data` hold.
static Bytes samples_of(const Bytes &data, const Tensor &tensor, const std::string &path, unsigned &samples) {
    if (begins(data, "\x93NUMPY", 6)) return from_npy(data, tensor, path, samples);
    if (is_image(data) && data.size() % tensor.bytes())
        fail(BAD_INPUT, "%s is an image, and this program was built without the steps that make a sample of one: it takes numbers", path.c_str());
    return from_raw(data, tensor, path, samples);
}
