/* libuv as in the echo server of its guide. The end of a stream is as in libuv's own tests: it shuts down after the
 * pending writes. */
#include <uv.h>

#include "address.h"

enum { BACKLOG = 4096 };

typedef struct {
    uv_write_t request;
    uv_buf_t buffer;
} write_t;

static void check(const char *what, int status) {
    if (status < 0) {
        fprintf(stderr, "%s: %s\n", what, uv_strerror(status));
        exit(1);
    }
}

static void *allocate(size_t size) {
    void *memory = malloc(size);
    if (!memory)
        fail("malloc");
    return memory;
}

/* libuv suggests 64 KiB. */
static void on_allocate(uv_handle_t *handle, size_t suggested_size, uv_buf_t *buffer) {
    (void)handle;
    *buffer = uv_buf_init(allocate(suggested_size), suggested_size);
}

static void on_closed(uv_handle_t *handle) {
    free(handle);
}

static void close_once(uv_handle_t *handle) {
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

static void on_written(uv_write_t *request, int status) {
    write_t *write = (write_t *)request;
    if (status < 0)
        close_once((uv_handle_t *)request->handle);
    free(write->buffer.base);
    free(write);
}

static void on_shut_down(uv_shutdown_t *request, int status) {
    (void)status;
    close_once((uv_handle_t *)request->handle);
    free(request);
}

static void shut_down(uv_stream_t *stream) {
    uv_shutdown_t *request = allocate(sizeof *request);
    if (uv_shutdown(request, stream, on_shut_down) < 0) {
        close_once((uv_handle_t *)stream);
        free(request);
    }
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer) {
    if (n > 0) {
        write_t *write = allocate(sizeof *write);
        write->buffer = uv_buf_init(buffer->base, n);
        check("uv_write", uv_write(&write->request, stream, &write->buffer, 1, on_written));
        return;
    }
    if (n == UV_EOF)
        shut_down(stream);
    else if (n < 0)
        close_once((uv_handle_t *)stream);
    free(buffer->base);
}

static void on_connection(uv_stream_t *listener, int status) {
    check("a connection", status);
    uv_tcp_t *connection = allocate(sizeof *connection);
    check("uv_tcp_init", uv_tcp_init(listener->loop, connection));
    check("uv_accept", uv_accept(listener, (uv_stream_t *)connection));
    uv_tcp_nodelay(connection, 1);
    check("uv_read_start", uv_read_start((uv_stream_t *)connection, on_allocate, on_read));
}

int main(int argc, char **argv) {
    struct sockaddr_in addr = address(argc, argv);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_os_fd_t fd;
    check("uv_tcp_init", uv_tcp_init(loop, &listener));
    check("uv_tcp_bind", uv_tcp_bind(&listener, (struct sockaddr *)&addr, 0));
    check("uv_listen", uv_listen((uv_stream_t *)&listener, BACKLOG, on_connection));
    check("uv_fileno", uv_fileno((uv_handle_t *)&listener, &fd));
    listening_on(fd);
    return uv_run(loop, UV_RUN_DEFAULT);
}
