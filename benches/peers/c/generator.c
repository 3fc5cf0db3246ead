/* The reference for `resound load`: a minimal load generator in C that checks every byte. Each connection has one
 * message in flight. Any error ends the program.
 *
 * Arguments: ADDR, connections, bytes of a message, seconds. Prints the messages per second, and the seconds of
 * its own processor time per message. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "address.h"

enum { EVENTS = 1024, PIECE_BYTES = 256 << 10 };

struct connection {
    int fd;
    size_t sent, received;
};

static char *message, buffer[PIECE_BYTES];
static size_t message_bytes;
static unsigned long echoes;

static double seconds(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void send_rest(struct connection *c) {
    while (c->sent < message_bytes) {
        ssize_t n = send(c->fd, message + c->sent, message_bytes - c->sent, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            fail("send");
        c->sent += n;
    }
}

static void check(struct connection *c, size_t n) {
    if (n > c->sent - c->received || memcmp(buffer, message + c->received, n)) {
        fprintf(stderr, "a wrong echo\n");
        exit(1);
    }
    if ((c->received += n) < message_bytes)
        return;
    c->sent = c->received = 0;
    echoes++;
}

static void drive(struct connection *c) {
    ssize_t n;
    do {
        n = recv(c->fd, buffer, sizeof buffer, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            fail("recv");
        if (n > 0)
            check(c, n);
        send_rest(c);
    } while (n == sizeof buffer);
}

static void open_one(struct connection *c, struct sockaddr_in addr, int epoll) {
    int on = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof addr))
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (fcntl(c->fd, F_SETFL, O_NONBLOCK) || epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event))
        fail("watch");
}

int main(int argc, char **argv) {
    struct sockaddr_in addr = address(argc, argv);
    size_t connections = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    double time = argc == 5 ? atof(argv[4]) : 0;
    if (connections == 0 || (message_bytes = strtoul(argv[3], NULL, 10)) == 0 || time <= 0) {
        fprintf(stderr, "usage: %s ADDR CONNECTIONS BYTES SECONDS\n", argv[0]);
        return 2;
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct connection *all = calloc(connections, sizeof *all);
    if (epoll < 0 || !all || !(message = malloc(message_bytes)))
        fail("start");
    for (size_t i = 0; i < message_bytes; i++)
        message[i] = i * 31 + (i >> 8);
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < connections; i++)
        open_one(&all[i], addr, epoll);
    double start = seconds(CLOCK_MONOTONIC), cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < connections; i++)
        send_rest(&all[i]);
    double now;
    while ((now = seconds(CLOCK_MONOTONIC)) < start + time) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, 1000);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++)
            drive(events[i].data.ptr);
    }
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    printf("%.1f %.9f\n", echoes / (now - start), cpu / echoes);
}
