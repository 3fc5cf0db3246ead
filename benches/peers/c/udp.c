/* The reference for datagrams: the least server that echoes them on edge-triggered epoll. It answers everybody, limits
 * nothing and counts nothing.
 *
 * Argument: ADDR. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "address.h"

int main(int argc, char **argv) {
    static char buffer[65536];
    struct sockaddr_in addr = address(argc, argv);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = udp};
    if (epoll < 0 || udp < 0 || bind(udp, (struct sockaddr *)&addr, sizeof addr) ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, udp, &event))
        fail("start");
    listening_on(udp);
    for (;;) {
        struct sockaddr_in from;
        socklen_t len = sizeof from;
        ssize_t n;
        epoll_wait(epoll, &event, 1, -1);
        while ((n = recvfrom(udp, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &len)) >= 0)
            sendto(udp, buffer, n, 0, (struct sockaddr *)&from, len);
    }
}
