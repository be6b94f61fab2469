/* wrk2's method (github.com/giltene/wrk2), on one thread: constant throughput over kept connections,
 * one request at a time on each, and latency from the time when a request was due, not from its
 * departure. A reference for `serin load`, in another language and without its event loop.
 *
 * wrk2 PORT RATE SECONDS CONNECTIONS FILE: sends FILE, a whole HTTP/1.1 request, and prints each
 * latency in microseconds, a line each. An answer is its head and as much as Content-Length says.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define LARGEST 65536

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec / 1e9;
}

static void fail(const char *what) {
  perror(what);
  exit(1);
}

struct connection {
  double due; /* of the request under way, or of the next */
  int busy;
  size_t got;
  char answer[LARGEST];
};

/* Whether a whole answer is there. */
static int whole(struct connection *one) {
  one->answer[one->got] = 0;
  char *end = strstr(one->answer, "\r\n\r\n");
  char *length = strcasestr(one->answer, "content-length:");
  return end && length && one->got >= (size_t)(end + 4 - one->answer) + strtoul(length + 15, 0, 10);
}

int main(int count, char **words) {
  if (count != 6) return 2;
  double rate = atof(words[2]), seconds = atof(words[3]);
  int connections = atoi(words[4]);
  static char request[LARGEST];
  FILE *file = fopen(words[5], "rb");
  if (!file) fail(words[5]);
  size_t length = fread(request, 1, sizeof request, file);
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(atoi(words[1]))};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  struct connection *all = calloc(connections, sizeof *all);
  struct pollfd *polled = calloc(connections, sizeof *polled);
#ifdef __linux__
  prctl(PR_SET_TIMERSLACK, 1);
#endif
  for (int i = 0, on = 1; i < connections; i++) {
    polled[i].fd = socket(AF_INET, SOCK_STREAM, 0);
    polled[i].events = POLLIN;
    if (connect(polled[i].fd, (void *)&to, sizeof to)) fail("connect");
    setsockopt(polled[i].fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  double start = now() + 0.1, end = start + seconds - 1e-6;
  for (int i = 0; i < connections; i++) all[i].due = start + i / rate;
  for (;;) {
    double at = now(), next = at + 1;
    int waiting = 0;
    for (int i = 0; i < connections; i++) {
      if (!all[i].busy && all[i].due < end && all[i].due <= at) {
        if (write(polled[i].fd, request, length) != (ssize_t)length) fail("write");
        all[i].busy = 1;
        all[i].got = 0;
      }
      if (!all[i].busy && all[i].due < end && all[i].due < next) next = all[i].due;
      waiting += all[i].busy || all[i].due < end;
    }
    if (!waiting) return 0;
    double left = next - now();
    struct timespec rest = {left > 0 ? (time_t)left : 0, 0};
    rest.tv_nsec = left > 0 ? (long)((left - rest.tv_sec) * 1e9) : 0;
    if (ppoll(polled, connections, &rest, 0) < 0) fail("ppoll");
    for (int i = 0; i < connections; i++) {
      struct connection *one = &all[i];
      if (!(polled[i].revents & (POLLIN | POLLHUP | POLLERR))) continue;
      ssize_t more = read(polled[i].fd, one->answer + one->got, LARGEST - 1 - one->got);
      if (more <= 0) fail("read");
      one->got += more;
      if (!one->busy || !whole(one)) continue;
      printf("%.0f\n", (now() - one->due) * 1e6);
      one->busy = 0;
      one->due += connections / rate; /* in the past where the answer came late: sent at once */
    }
  }
}
