/* The reference: a minimal echo server in C on edge-triggered epoll that loses no byte. It is not hardened: it has no
 * limits and no timeouts, and it does not retry an accept that failed for lack of descriptors.
 *
 * Arguments: ADDR, and optionally the number of bytes to read at a time (64 KiB by default). */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"

enum { EVENTS = 1024, BACKLOG = 4096, DESCRIPTORS = 1 << 20 };

static char *buffer;
static size_t buffer_bytes = 64 << 10;

/* For each descriptor, the bytes that its socket did not take. Pages that are never touched take no memory. */
static struct pending {
    char *bytes;
    size_t done, len;
} pending[DESCRIPTORS];

static int end(int fd) {
    free(pending[fd].bytes);
    pending[fd] = (struct pending){0};
    return close(fd);
}

/* Writes pending bytes. Returns whether all of them were written. */
static int flush(int fd) {
    struct pending *p = &pending[fd];
    while (p->done < p->len) {
        ssize_t n = write(fd, p->bytes + p->done, p->len - p->done);
        if (n < 0)
            return errno == EAGAIN ? 0 : end(fd);
        p->done += n;
    }
    free(p->bytes);
    *p = (struct pending){0};
    return 1;
}

/* Keeps bytes that were not written. While they are pending, the server does not read. */
static int keep(int fd, const char *bytes, size_t len) {
    char *copy = malloc(len);
    if (!copy)
        return end(fd);
    pending[fd] = (struct pending){memcpy(copy, bytes, len), 0, len};
    return flush(fd);
}

static void echo(int fd, unsigned events) {
    if (pending[fd].bytes && !flush(fd))
        return;
    for (;;) {
        ssize_t n = read(fd, buffer, buffer_bytes);
        if (n <= 0) {
            if (n == 0 || errno != EAGAIN)
                end(fd);
            return;
        }
        ssize_t m = write(fd, buffer, n);
        if (m < 0 && errno != EAGAIN) {
            end(fd);
            return;
        }
        if (m < n && !keep(fd, buffer + (m < 0 ? 0 : m), n - (m < 0 ? 0 : m)))
            return;
        /* A short read has emptied the socket, unless the event reported an end, an error or urgent data. */
        if ((size_t)n < buffer_bytes && !(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR | EPOLLPRI)))
            return;
    }
}

static int add(int epoll, int fd, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void accept_all(int epoll, int listener) {
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        if (fd >= DESCRIPTORS || add(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET))
            close(fd);
}

static int listen_on(struct sockaddr_in addr) {
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0)
        fail("socket");
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* Accepted sockets inherit this. */
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&addr, sizeof addr) || listen(listener, BACKLOG))
        fail("bind");
    return listener;
}

int main(int argc, char **argv) {
    struct sockaddr_in addr = address(argc, argv);
    if (argc > 2 && (buffer_bytes = strtoul(argv[2], NULL, 10)) == 0) {
        fprintf(stderr, "%s is not a number of bytes, such as 65536\n", argv[2]);
        return 2;
    }
    int listener = listen_on(addr), epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!(buffer = malloc(buffer_bytes)) || epoll < 0 || add(epoll, listener, EPOLLIN | EPOLLET))
        fail("start");
    signal(SIGPIPE, SIG_IGN);
    listening_on(listener);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                accept_all(epoll, listener);
            else
                echo(events[i].data.fd, events[i].events);
    }
}
