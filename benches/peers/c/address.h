/* What the peers written in C have in common: the argument, and the word that they are ready. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

/* Ends the program with the reason that errno names. */
static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

/* The address that the first argument names. */
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

/* Says that it can be connected to, and where. */
static inline void listening_on(int listener) {
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    if (getsockname(listener, (struct sockaddr *)&addr, &len))
        fail("getsockname");
    fprintf(stderr, "listening on %s:%d\n", inet_ntoa(addr.sin_addr), ntohs(addr.sin_port));
}
