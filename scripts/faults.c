/* Faults of disks for scripts/soak: preloaded (LD_PRELOAD), it makes calls that touch files below UPRES_FAULT_UNDER fail.
 *
 * UPRES_FAULT_WRITE=N: from the N-th write on, ENOSPC; UPRES_FAULT_READ=N: the N-th read fails with EIO, and every one
 * after it. Both count calls of this process alone. What a library maps into memory is not seen.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long writes, reads;

static int below(int file) {
    char link[64], path[PATH_MAX];
    const char *under = getenv("UPRES_FAULT_UNDER");
    if (!under) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, under, strlen(under)) == 0;
}

static int due(const char *name, long *count, int file) {
    const char *first = getenv(name);
    return first && below(file) && __sync_add_and_fetch(count, 1) >= atol(first);
}

#define WRITE(name, ...)                                                        \
    do {                                                                        \
        static ssize_t (*real)();                                               \
        if (!real) real = (ssize_t(*)())dlsym(RTLD_NEXT, name);                 \
        if (due("UPRES_FAULT_WRITE", &writes, file)) { errno = ENOSPC; return -1; } \
        return real(__VA_ARGS__);                                               \
    } while (0)

#define READ(name, ...)                                                         \
    do {                                                                        \
        static ssize_t (*real)();                                               \
        if (!real) real = (ssize_t(*)())dlsym(RTLD_NEXT, name);                 \
        if (due("UPRES_FAULT_READ", &reads, file)) { errno = EIO; return -1; }  \
        return real(__VA_ARGS__);                                               \
    } while (0)

ssize_t write(int file, const void *data, size_t size) { WRITE("write", file, data, size); }
ssize_t pwrite(int file, const void *data, size_t size, off_t at) { WRITE("pwrite", file, data, size, at); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) { WRITE("pwrite64", file, data, size, at); }
ssize_t read(int file, void *data, size_t size) { READ("read", file, data, size); }
ssize_t pread(int file, void *data, size_t size, off_t at) { READ("pread", file, data, size, at); }
ssize_t pread64(int file, void *data, size_t size, off64_t at) { READ("pread64", file, data, size, at); }
