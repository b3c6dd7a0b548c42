#include "cli/files.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/npy.h"

struct pdag_file {
    char *path, *temporary;
    int fd;
};

pdag_status pdag_file_begin(const char *folder, const char *name,
                            pdag_file **file_out)
{
    pdag_file *file = pdag_xcalloc(1, sizeof *file);
    pdag_status status;

    file->path = pdag_xasprintf("%s/%s", folder, name);
    file->temporary = pdag_xasprintf("%s/.%s.%ld", folder, name, (long)getpid());
    file->fd = open(file->temporary, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (file->fd >= 0) {
        *file_out = file;
        return PDAG_OK;
    }
    status = pdag_error(PDAG_ERR_IO, "%s: %s", file->path, strerror(errno));
    free(file->temporary);
    free(file->path);
    free(file);
    return status;
}

pdag_status pdag_file_add(pdag_file *file, const void *bytes, size_t n_bytes)
{
    const char *at = bytes;

    while (n_bytes > 0) {
        ssize_t wrote = write(file->fd, at, n_bytes);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return pdag_error(PDAG_ERR_IO, "%s: %s", file->path, strerror(errno));
        at += wrote;
        n_bytes -= (size_t)wrote;
    }
    return PDAG_OK;
}

pdag_status pdag_file_end(pdag_file *file, pdag_status status)
{
    if (status == PDAG_OK && fsync(file->fd) != 0 && errno != EINVAL &&
        errno != EROFS)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", file->path, strerror(errno));
    if (close(file->fd) != 0 && status == PDAG_OK)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", file->path, strerror(errno));
    if (status == PDAG_OK && rename(file->temporary, file->path) != 0)
        status = pdag_error(PDAG_ERR_IO, "%s: %s", file->path, strerror(errno));
    if (status != PDAG_OK)
        unlink(file->temporary);
    free(file->temporary);
    free(file->path);
    free(file);
    return status;
}

pdag_status pdag_file_write(const char *folder, const char *name,
                            const void *bytes, size_t n_bytes)
{
    pdag_file *file;
    pdag_status status = pdag_file_begin(folder, name, &file);

    return status == PDAG_OK
               ? pdag_file_end(file, pdag_file_add(file, bytes, n_bytes)) : status;
}

pdag_status pdag_file_write_npy(const char *folder, const char *name,
                                const float *data, int n_dims,
                                const size_t *dims)
{
    void *bytes;
    size_t n_bytes;
    pdag_status status = pdag_npy_encode(data, n_dims, dims, &bytes, &n_bytes);

    if (status != PDAG_OK)
        return status;
    status = pdag_file_write(folder, name, bytes, n_bytes);
    free(bytes);
    return status;
}

static pdag_status try_to_write(const char *folder)
{
    char *probe = pdag_xasprintf("%s/.picard-dag.%ld", folder, (long)getpid());
    int fd = open(probe, O_WRONLY | O_CREAT, 0666);
    pdag_status status = PDAG_OK;

    if (fd < 0) {
        status = pdag_error(PDAG_ERR_ARG, "output: %s: cannot write there: %s",
                            folder, strerror(errno));
    } else {
        close(fd);
        unlink(probe);
    }
    free(probe);
    return status;
}

pdag_status pdag_folder_make(const char *folder)
{
    char *path = pdag_xstrdup(folder);
    struct stat there;
    pdag_status status = PDAG_OK;

    for (char *slash = path + 1; status == PDAG_OK; slash++) {
        char kept = *slash;

        if (kept != '/' && kept != '\0')
            continue;
        *slash = '\0';
        if (mkdir(path, 0777) != 0 && errno != EEXIST)
            status = pdag_error(PDAG_ERR_ARG, "output: %s: cannot make folder "
                                "%s: %s", folder, path, strerror(errno));
        *slash = kept;
        if (kept == '\0')
            break;
    }
    free(path);
    if (status == PDAG_OK &&
        (stat(folder, &there) != 0 || !S_ISDIR(there.st_mode)))
        status = pdag_error(PDAG_ERR_ARG, "output: %s: not a folder", folder);
    return status == PDAG_OK ? try_to_write(folder) : status;
}

pdag_status pdag_folder_lock(const char *folder, int *lock_out)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool busy;

    *lock_out = -1;
    if (fd < 0)
        return PDAG_OK;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        *lock_out = fd;
        return PDAG_OK;
    }
    busy = errno == EWOULDBLOCK;
    close(fd);
    if (!busy)
        return PDAG_OK;
    return pdag_error(PDAG_ERR_ARG, "output: %s: another run is writing there",
                      folder);
}

typedef struct memory_file {
    unsigned char *bytes;
    size_t used, room;
} memory_file;

static void png_to_memory(png_structp png, png_bytep data, size_t length)
{
    memory_file *file = png_get_io_ptr(png);

    if (file->used + length > file->room) {
        file->room = 2 * (file->used + length);
        file->bytes = pdag_xrealloc(file->bytes, file->room, 1);
    }
    memcpy(file->bytes + file->used, data, length);
    file->used += length;
}

static void png_flush_nothing(png_structp png)
{
    (void)png;
}

static unsigned char to_byte(float value)
{
    double scaled = 255.0 * (double)value;

    if (!(scaled > 0.0))
        return 0;
    return scaled >= 255.0 ? 255 : (unsigned char)lrint(scaled);
}

pdag_status pdag_png_encode(const float *picture, size_t height, size_t width,
                            size_t channels, void **bytes_out,
                            size_t *n_bytes_out)
{
    memory_file file = {NULL, 0, 0};
    png_structp png =
        png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png != NULL ? png_create_info_struct(png) : NULL;
    unsigned char *row = pdag_xcalloc(width * channels, 1);

    if (info == NULL || setjmp(png_jmpbuf(png))) {
        png_destroy_write_struct(&png, &info);
        free(file.bytes);
        free(row);
        return pdag_error(PDAG_ERR_IO, "libpng cannot encode a picture of %zu x "
                          "%zu", width, height);
    }
    png_set_write_fn(png, &file, png_to_memory, png_flush_nothing);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, 8,
                 channels == 1 ? PNG_COLOR_TYPE_GRAY
                 : channels == 4 ? PNG_COLOR_TYPE_RGB_ALPHA
                                 : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (size_t y = 0; y < height; y++) {
        for (size_t k = 0; k < width * channels; k++)
            row[k] = to_byte(picture[y * width * channels + k]);
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    *bytes_out = file.bytes;
    *n_bytes_out = file.used;
    return PDAG_OK;
}
