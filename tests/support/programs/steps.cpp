// The steps of several contracts in one program: `steps NUMBER IMAGE` writes the sample that contract NUMBER makes of the image.
#include <cstddef>
static const size_t PIXEL_LIMIT = 25000000;
static const bool DEEP_CLIPS = false;
#include "steps.h"

static Picture prepared(int number, const Bytes &data, const std::string &path) {
    switch (number) {
#include "cases.h"
    }
    fail(BAD_USE, "there is no contract %d", number);
}

int main(int, char **words) {
    const Picture picture = prepared(std::atoi(words[1]), read_file(words[2]), words[2]);
    if (picture.real()) std::fwrite(picture.values.data(), sizeof(float), picture.values.size(), stdout);
    else std::fwrite(picture.bytes.data(), 1, picture.bytes.size(), stdout);
}
