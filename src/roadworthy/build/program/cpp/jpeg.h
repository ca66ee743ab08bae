// JPEG files, by the distribution's libjpeg: the slow exact transform and smooth chroma, as Pillow decodes.
#pragma once
#include <csetjmp>
#include <jpeglib.h>
#include <jerror.h>

#include "files.h"
#include "orientation.h"

static void check_pixels(size_t height, size_t width, const std::string &path);

struct JpegFault {
    jpeg_error_mgr base;
    const char *path;
};

[[noreturn]] static void jpeg_failed(j_common_ptr info) {
    char words[JMSG_LENGTH_MAX];
    info->err->format_message(info, words);
    fail(BAD_INPUT, "%s is damaged or truncated: %s", reinterpret_cast<JpegFault *>(info->err)->path, words);
}

// A warning: the library goes on with grey pixels where a file is truncated.
static void jpeg_warned(j_common_ptr info, int level) {
    if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) jpeg_failed(info);
}

static Picture from_jpeg(const Bytes &data, const std::string &path) {
    JpegFault fault;
    jpeg_decompress_struct info;
    info.err = jpeg_std_error(&fault.base);
    fault.base.error_exit = jpeg_failed;
    fault.base.emit_message = jpeg_warned;
    fault.path = path.c_str();
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, data.data(), data.size());
    jpeg_save_markers(&info, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(&info, TRUE);
    check_pixels(info.image_height, info.image_width, path);
    if (info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK)
        fail(BAD_INPUT, "%s has the colours CMYK, which this program does not read: convert it to RGB", path.c_str());
    info.out_color_space = info.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    Picture picture;
    for (jpeg_saved_marker_ptr marker = info.marker_list; marker; marker = marker->next)
        if (marker->data_length > 6 && !std::memcmp(marker->data, "Exif\0\0", 6))
            picture.orientation = exif_orientation(marker->data + 6, marker->data_length - 6);
    jpeg_start_decompress(&info);
    picture.height = info.output_height;
    picture.width = info.output_width;
    picture.channels = static_cast<size_t>(info.output_components);
    picture.bytes.resize(picture.numbers());
    while (info.output_scanline < info.output_height) {
        JSAMPROW row = &picture.bytes[info.output_scanline * picture.width * picture.channels];
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_finish_decompress(&info);
    jpeg_destroy_decompress(&info);
    return picture;
}
