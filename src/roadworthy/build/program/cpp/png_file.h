// PNG files, by the distribution's libpng: 8 bits a channel, transparency dropped, 16 bits by the upper 8.
#pragma once
#include <png.h>

#include "files.h"
#include "orientation.h"

static void check_pixels(size_t height, size_t width, const std::string &path);

struct PngSource {
    const Bytes *data;
    size_t at;
    const char *path;
};

[[noreturn]] static void png_failed(png_structp png, png_const_charp words) {
    fail(BAD_INPUT, "%s is damaged or truncated: %s", static_cast<const char *>(png_get_error_ptr(png)), words);
}

static void png_silent(png_structp, png_const_charp) {}

static void png_bytes(png_structp png, png_bytep to, size_t size) {
    PngSource *source = static_cast<PngSource *>(png_get_io_ptr(png));
    if (source->data->size() - source->at < size) png_error(png, "the file ends early");
    std::memcpy(to, source->data->data() + source->at, size);
    source->at += size;
}

static Picture from_png(const Bytes &data, const std::string &path) {
    PngSource source{&data, 0, path.c_str()};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, const_cast<char *>(path.c_str()), png_failed, png_silent);
    png_infop info = png_create_info_struct(png);
    png_set_read_fn(png, &source, png_bytes);
    png_read_info(png, info);
    check_pixels(png_get_image_height(png, info), png_get_image_width(png, info), path);
    const int colour = png_get_color_type(png, info);
    if (DEEP_CLIPS && png_get_bit_depth(png, info) == 16 && !(colour & PNG_COLOR_MASK_COLOR))
        fail(BAD_INPUT, "%s has 16 bits of grey, and this program reads 8: convert it", path.c_str());
    png_set_strip_16(png);
    png_set_palette_to_rgb(png);
    png_set_expand_gray_1_2_4_to_8(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    Picture picture;
    picture.height = png_get_image_height(png, info);
    picture.width = png_get_image_width(png, info);
    picture.channels = png_get_channels(png, info);
    picture.bytes.resize(picture.numbers());
    std::vector<png_bytep> rows;
    for (size_t y = 0; y < picture.height; y++) rows.push_back(&picture.bytes[y * picture.width * picture.channels]);
    png_read_image(png, rows.data());
    png_read_end(png, info);
    png_bytep exif = nullptr;
    png_uint_32 length = 0;
    if (png_get_eXIf_1(png, info, &length, &exif)) picture.orientation = exif_orientation(exif, length);
    png_destroy_read_struct(&png, &info, nullptr);
    return picture;
}
