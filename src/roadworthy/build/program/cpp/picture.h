// An image between two steps of the preprocessing, and the decoding of the image files that this program reads.
#pragma once
#include "files.h"
#include "orientation.h"

#ifdef WITH_JPEG
#include "jpeg.h"
#endif
#ifdef WITH_PNG
#include "png_file.h"
#endif

static void check_pixels(size_t height, size_t width, const std::string &path) {
    if (!height || !width) fail(BAD_INPUT, "%s has no pixels", path.c_str());
    if (height > PIXEL_LIMIT / width) fail(BAD_INPUT, "%s has %zu x %zu pixels, more than the limit of %zu", path.c_str(), width, height, PIXEL_LIMIT);
}

// One number in the header of a PNM file, behind blanks and comments.
static size_t pnm_number(const Bytes &data, size_t &at, const std::string &path) {
    while (at < data.size() && (std::isspace(data[at]) || data[at] == '#'))
        if (data[at++] == '#') while (at < data.size() && data[at] != '\n') at++;
    size_t value = 0, digits = 0;
    for (; at < data.size() && std::isdigit(data[at]) && digits < 9; digits++) value = 10 * value + (data[at++] - '0');
    if (!digits) fail(BAD_INPUT, "%s: the header of this PNM file is damaged", path.c_str());
    return value;
}

static Picture from_pnm(const Bytes &data, const std::string &path) {
    size_t at = 2;
    Picture picture;
    picture.channels = data[1] == '6' ? 3 : 1;
    picture.width = pnm_number(data, at, path);
    picture.height = pnm_number(data, at, path);
    check_pixels(picture.height, picture.width, path);
    if (const size_t most = pnm_number(data, at, path); most != 255)
        fail(BAD_INPUT, "%s has values up to %zu, and this program reads PNM files of values up to 255", path.c_str(), most);
    const size_t size = picture.numbers(), start = at + 1;
    if (data.size() < start + size) fail(BAD_INPUT, "%s is truncated: it has %zu bytes of pixels, and needs %zu", path.c_str(),
                                         data.size() < start ? 0 : data.size() - start, size);
    picture.bytes.assign(data.begin() + static_cast<std::ptrdiff_t>(start), data.begin() + static_cast<std::ptrdiff_t>(start + size));
    return picture;
}

static Picture decoded_file(const Bytes &data, const std::string &path) {
    if (data[0] == 'P') return from_pnm(data, path);
#ifdef WITH_JPEG
    if (data[0] == 0xff) return from_jpeg(data, path);
#endif
#ifdef WITH_PNG
    if (data[0] == 0x89) return from_png(data, path);
#endif
    fail(BAD_INPUT, "%s is a %s file, and this program was built without a library that reads it: convert it to PPM, or build it where %s is installed",
         path.c_str(), data[0] == 0xff ? "JPEG" : "PNG", data[0] == 0xff ? "libjpeg-dev" : "libpng-dev");
}

// ITU-R 601-2 in 16-bit integers, as Pillow's convert("L").
static void to_grey(Picture &picture) {
    if (picture.channels == 1) return;
    Bytes grey(picture.height * picture.width);
    for (size_t i = 0; i < grey.size(); i++) {
        const unsigned char *rgb = &picture.bytes[3 * i];
        grey[i] = static_cast<unsigned char>((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
    }
    picture.bytes = grey;
    picture.channels = 1;
}

static void repeat_channel(Picture &picture, size_t channels) {
    if (picture.channels != 1 || channels == 1) return;
    Bytes wide;
    wide.reserve(picture.bytes.size() * channels);
    for (unsigned char value : picture.bytes) wide.insert(wide.end(), channels, value);
    picture.bytes = wide;
    picture.channels = channels;
}

static Picture decode(const Bytes &data, const std::string &path, size_t channels, bool orient) {
    Picture picture = decoded_file(data, path);
    if (channels == 1) to_grey(picture);
    else repeat_channel(picture, channels);
    if (orient) turn(picture);
    return picture;
}
