// Pixels, and the turning of an image as its EXIF data say.
#pragma once
#include "tensors.h"

struct Picture {
    size_t height = 0, width = 0, channels = 0;
    Bytes bytes;                  // uint8 [height, width, channels]; empty where it has floats
    std::vector<float> values;    // the same as floats
    bool channels_first = false;  // then [channels, height, width]
    unsigned orientation = 1;     // as EXIF has it

    size_t numbers() const { return height * width * channels; }
    bool real() const { return !values.empty(); }
};

// The orientation in EXIF data that begin with a TIFF header; 1 where they say nothing.
static unsigned exif_orientation(const unsigned char *data, size_t size) {
    if (size < 8) return 1;
    const bool little = data[0] == 'I';
    auto number = [&](size_t at, unsigned bytes) {
        size_t value = 0;
        for (unsigned i = 0; i < bytes; i++) value |= static_cast<size_t>(data[at + i]) << 8 * (little ? i : bytes - 1 - i);
        return value;
    };
    if ((data[0] != 'I' && data[0] != 'M') || number(2, 2) != 42) return 1;
    const size_t start = number(4, 4);
    if (start + 2 > size) return 1;
    for (size_t i = 0, count = number(start, 2); i < count && start + 2 + 12 * (i + 1) <= size; i++) {
        const size_t entry = start + 2 + 12 * i;
        if (number(entry, 2) == 0x0112 && number(entry + 2, 2) == 3) {
            const size_t found = number(entry + 8, 2);
            return found >= 1 && found <= 8 ? static_cast<unsigned>(found) : 1;
        }
    }
    return 1;
}

// Turns and mirrors uint8 pixels so that they stand upright.
static void turn(Picture &picture) {
    const unsigned how = picture.orientation;
    if (how == 1) return;
    const size_t old_height = picture.height, old_width = picture.width, channels = picture.channels;
    const bool swapped = how >= 5;
    Bytes turned(picture.bytes.size());
    const size_t height = swapped ? old_width : old_height, width = swapped ? old_height : old_width;
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            size_t row = swapped ? x : y, column = swapped ? y : x;
            if (how == 3 || how == 4 || how == 6 || how == 7) row = old_height - 1 - row;
            if (how == 2 || how == 3 || how == 7 || how == 8) column = old_width - 1 - column;
            for (size_t c = 0; c < channels; c++) turned[(y * width + x) * channels + c] = picture.bytes[(row * old_width + column) * channels + c];
        }
    picture.bytes = turned;
    picture.height = height;
    picture.width = width;
    picture.orientation = 1;
}
