/* A disk that fails on purpose: preloaded, it counts the calls that write one file (and its -wal and -journal) or
   ask for its durability, and at the n-th one kills the process, fails, or cuts the power. Stands before libc's
   calls; nothing else of the process is touched. Not thread-safe beyond SQLite's own lock: one writer. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OFF, COUNT, KILL, TORN, FAIL, POWER, FULL };

static int mode = OFF, code;
static long at, calls;
static char prefix[4096];

struct undo { char *path; off_t offset, size; size_t length; char *bytes; struct undo *before; };
static struct undo *unsynced;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_fsync)(int), (*real_fdatasync)(int), (*real_ftruncate)(int, off_t);

static void find(void) {
  real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
  real_write = dlsym(RTLD_NEXT, "write");
  real_fsync = dlsym(RTLD_NEXT, "fsync");
  real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
  real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
}

void faults_arm(const char *file, int what, long when, int error) {
  snprintf(prefix, sizeof prefix, "%s", file);
  mode = what; at = when; code = error; calls = 0;
}

long faults_calls(void) { return calls; }

/* For a program that cannot be asked to call: FAULTS_FULL=FILE is a full disk from the beginning on. */
__attribute__((constructor)) static void begin(void) {
  find();
  const char *file = getenv("FAULTS_FULL");
  if (file) faults_arm(file, FULL, 1, ENOSPC);
}

/* Whether the descriptor is of the file itself; shared memory (-shm) is no part of what has to last. */
static int ours(int fd, char *path) {
  char link[64];
  if (mode == OFF) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, 4095);
  if (length <= 0) return 0;
  path[length] = 0;
  size_t n = strlen(prefix);
  return strncmp(path, prefix, n) == 0 && (!path[n] || !strcmp(path + n, "-wal") || !strcmp(path + n, "-journal"));
}

static off_t size_of(int fd) {
  struct stat found;
  return fstat(fd, &found) ? 0 : found.st_size;
}

/* What the file held where it is about to be written: so much is lost when the power fails before a sync. */
static void remember(int fd, const char *path, off_t offset, size_t length) {
  struct undo *one = calloc(1, sizeof *one);
  one->path = strdup(path); one->offset = offset; one->size = size_of(fd); one->before = unsynced;
  one->bytes = malloc(length ? length : 1);
  ssize_t held = pread(fd, one->bytes, length, offset);
  one->length = held > 0 ? held : 0;
  unsynced = one;
}

static void forget(const char *path) {
  struct undo **place = &unsynced;
  while (*place) {
    struct undo *one = *place;
    if (strcmp(one->path, path)) { place = &one->before; continue; }
    *place = one->before;
    free(one->path); free(one->bytes); free(one);
  }
}

static void die(void) {
  if (mode == POWER) {
    mode = OFF;
    for (struct undo *one = unsynced; one; one = one->before) {
      int fd = open(one->path, O_RDWR);
      if (fd < 0) continue;
      if (one->length) (void)!real_pwrite(fd, one->bytes, one->length, one->offset);
      (void)!real_ftruncate(fd, one->size);
      close(fd);
    }
  }
  kill(getpid(), SIGKILL);
}

/* Count a call; whether it has to fail (errno is set). Does not come back from KILL and POWER. */
static int strikes(void) {
  calls++;
  if (calls != at) return 0;
  if (mode == KILL || mode == POWER) die();
  if (mode == FAIL) { errno = code; return 1; }
  return 0;
}

static int grows(int fd, off_t end) {
  if (mode != FULL || calls < at || end <= size_of(fd)) return 0;
  errno = code;
  return 1;
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset) {
  char path[4096];
  if (!ours(fd, path)) return real_pwrite(fd, data, length, offset);
  if (strikes() || grows(fd, offset + length)) return -1;
  if (mode == TORN && calls == at) { (void)!real_pwrite(fd, data, length / 2, offset); die(); }
  if (mode == POWER) remember(fd, path, offset, length);
  return real_pwrite(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t write(int fd, const void *data, size_t length) {
  char path[4096];
  if (!real_write) find();
  if (!ours(fd, path)) return real_write(fd, data, length);
  if (strikes() || grows(fd, lseek(fd, 0, SEEK_CUR) + length)) return -1;
  if (mode == TORN && calls == at) { (void)!real_write(fd, data, length / 2); die(); }
  if (mode == POWER) remember(fd, path, lseek(fd, 0, SEEK_CUR), length);
  return real_write(fd, data, length);
}

static int synced(int fd, int (*real)(int)) {
  char path[4096];
  if (!ours(fd, path)) return real(fd);
  if (strikes()) return -1;
  if (mode == TORN && calls == at) die();
  int done = real(fd);
  if (mode == POWER && !done) forget(path);
  return done;
}

int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }

int ftruncate64(int fd, off_t size) {
  char path[4096];
  if (!ours(fd, path)) return real_ftruncate(fd, size);
  if (strikes()) return -1;
  if (mode == TORN && calls == at) die();
  if (mode == POWER) {
    off_t before = size_of(fd);
    remember(fd, path, size, before > size ? before - size : 0);
  }
  return real_ftruncate(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
