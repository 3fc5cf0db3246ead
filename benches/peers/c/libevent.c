/* libevent as in the echo server of its book, in the chapter on listeners: bufferevents, whose input buffer is moved
 * to the output buffer. At the end of a stream, it closes after the output buffer has drained. */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/listener.h>
#include <netinet/tcp.h>

#include "address.h"

enum { BACKLOG = 4096 };

static void on_read(struct bufferevent *connection, void *context) {
    (void)context;
    evbuffer_add_buffer(bufferevent_get_output(connection), bufferevent_get_input(connection));
}

static void on_all_written(struct bufferevent *connection, void *context) {
    (void)context;
    bufferevent_free(connection);
}

static void on_event(struct bufferevent *connection, short what, void *context) {
    (void)context;
    if (what & BEV_EVENT_EOF && evbuffer_get_length(bufferevent_get_output(connection)))
        bufferevent_setcb(connection, NULL, on_all_written, on_event, NULL);
    else if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))
        bufferevent_free(connection);
}

static void on_connection(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr,
                          int len, void *context) {
    (void)addr, (void)len, (void)context;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct event_base *base = evconnlistener_get_base(listener);
    struct bufferevent *connection = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (!connection)
        fail("bufferevent_socket_new");
    bufferevent_setcb(connection, on_read, NULL, on_event, NULL);
    bufferevent_enable(connection, EV_READ | EV_WRITE);
}

int main(int argc, char **argv) {
    struct sockaddr_in addr = address(argc, argv);
    struct event_base *base = event_base_new();
    if (!base)
        fail("event_base_new");
    struct evconnlistener *listener =
        evconnlistener_new_bind(base, on_connection, NULL, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                                BACKLOG, (struct sockaddr *)&addr, sizeof addr);
    if (!listener)
        fail("bind");
    listening_on(evconnlistener_get_fd(listener));
    return event_base_dispatch(base);
}
