/* What the peers written in C share: the argument, and the line that reports where they listen. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* Prints the reason in errno and exits. */
static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The address in the first argument. */
static inline struct sockaddr_in address(int argc, char **argv) {
    struct sockaddr_in addr = {.sin_family = AF_INET};
    char host[16], rest;
    if (argc < 2 || sscanf(argv[1], "%15[0-9.]:%hu%c", host, &addr.sin_port, &rest) != 2 ||
        inet_pton(AF_INET, host, &addr.sin_addr) != 1) {
        fprintf(stderr, "usage: %s ADDR, such as 127.0.0.1:7007; port 0 takes a free one\n", argv[0]);
        exit(2);
    }
    addr.sin_port = htons(addr.sin_port);
    return addr;
}

/* Reports where the peer listens. */
static inline void listening_on(int listener) {
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    if (getsockname(listener, (struct sockaddr *)&addr, &len))
        fail("getsockname");
    fprintf(stderr, "listening on %s:%d\n", inet_ntoa(addr.sin_addr), ntohs(addr.sin_port));
}
