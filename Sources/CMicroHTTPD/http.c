// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CMicroHTTPD.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct eft_http_daemon {
    struct MHD_Daemon *daemon;
    eft_http_callbacks callbacks;
    bool refuses;
    int listener;
};

struct eft_http_exchange {
    eft_http_daemon *owner;
    struct MHD_Connection *connection;
    void *request;
    enum { AT_HEAD, IN_BODY, READY } stage;
};

struct eft_http_response {
    struct MHD_Response *response;
};

static void describe(const struct sockaddr *address, char *text, size_t capacity) {
    text[0] = 0;
    if (!address) return;
    if (address->sa_family == AF_INET) {
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, capacity);
    } else if (address->sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, capacity);
    } else {
        strncpy(text, "unix", capacity);
    }
}

static void connection_changed(
    void *context, struct MHD_Connection *connection, void **socket_context,
    enum MHD_ConnectionNotificationCode code) {
    eft_http_daemon *daemon = context;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *descriptor =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *address =
            MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        char peer[INET6_ADDRSTRLEN + 1];
        describe(address ? address->client_addr : NULL, peer, sizeof peer);
        *socket_context = daemon->callbacks.opened(
            daemon->callbacks.context, descriptor ? descriptor->connect_fd : -1, peer);
    } else if (*socket_context) {
        daemon->callbacks.closed(daemon->callbacks.context, *socket_context);
        *socket_context = NULL;
    }
}

static void *request_begins(void *context, const char *target, struct MHD_Connection *connection) {
    eft_http_daemon *daemon = context;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    eft_http_exchange *exchange = calloc(1, sizeof *exchange);
    if (!exchange || !info || !info->socket_context) {
        free(exchange);
        return NULL;
    }
    exchange->owner = daemon;
    exchange->connection = connection;
    exchange->request = daemon->callbacks.request_line(
        daemon->callbacks.context, info->socket_context, exchange, target);
    if (exchange->request) return exchange;
    free(exchange);
    return NULL;
}

static enum MHD_Result request_goes_on(
    void *context, struct MHD_Connection *connection, const char *url, const char *method, const char *version,
    const char *bytes, size_t *count, void **request) {
    (void)connection, (void)url, (void)version;
    const eft_http_callbacks *callbacks = &((eft_http_daemon *)context)->callbacks;
    eft_http_exchange *exchange = *request;
    if (!exchange) return MHD_NO;
    bool goes_on;
    if (exchange->stage == AT_HEAD) {
        exchange->stage = IN_BODY;
        goes_on = callbacks->head(exchange->request, method);
    } else if (exchange->stage == IN_BODY && *count > 0) {
        goes_on = callbacks->body(exchange->request, (const uint8_t *)bytes, *count);
        *count = 0;
    } else {
        exchange->stage = READY;
        goes_on = callbacks->ready(exchange->request);
    }
    return goes_on ? MHD_YES : MHD_NO;
}

static void request_ends(
    void *context, struct MHD_Connection *connection, void **request, enum MHD_RequestTerminationCode code) {
    (void)connection, (void)code;
    eft_http_exchange *exchange = *request;
    if (!exchange) return;
    *request = NULL;
    ((eft_http_daemon *)context)->callbacks.completed(exchange->request);
    free(exchange);
}

// Targets are decoded by the server's own rules, once.
static size_t leave_escapes(void *context, struct MHD_Connection *connection, char *text) {
    (void)context, (void)connection;
    return strlen(text);
}

eft_http_daemon *eft_http_start(const eft_http_options *options, const eft_http_callbacks *callbacks) {
    eft_http_daemon *daemon = calloc(1, sizeof *daemon);
    if (!daemon) return NULL;
    daemon->callbacks = *callbacks;
    daemon->listener = options->listener;
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)options->certificate},
        {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)options->key},
        {MHD_OPTION_END, 0, NULL},
    };
    struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    bool secure = options->certificate && options->key;
    daemon->daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC | (secure ? MHD_USE_TLS : 0), 0,
        NULL, NULL, request_goes_on, daemon, MHD_OPTION_LISTEN_SOCKET, options->listener,
        MHD_OPTION_CONNECTION_LIMIT, options->connection_limit, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        options->connection_memory, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_UNESCAPE_CALLBACK, leave_escapes,
        daemon, MHD_OPTION_URI_LOG_CALLBACK, request_begins, daemon, MHD_OPTION_NOTIFY_COMPLETED, request_ends,
        daemon, MHD_OPTION_NOTIFY_CONNECTION, connection_changed, daemon, MHD_OPTION_ARRAY, secure ? tls : none,
        MHD_OPTION_END);
    if (daemon->daemon) return daemon;
    free(daemon);
    return NULL;
}

void eft_http_refuse(eft_http_daemon *daemon) {
    if (daemon->refuses) return;
    daemon->refuses = true;
    MHD_quiesce_daemon(daemon->daemon);
    // Without this the kernel would go on to take connections that nobody accepts.
    shutdown(daemon->listener, SHUT_RDWR);
}

void eft_http_stop(eft_http_daemon *daemon) {
    eft_http_refuse(daemon);
    MHD_stop_daemon(daemon->daemon);
    free(daemon);
}

struct each_field {
    void *context;
    bool (*each)(void *, const char *, size_t, const char *, size_t);
};

static enum MHD_Result give_field(
    void *context, enum MHD_ValueKind kind, const char *name, size_t name_count, const char *value,
    size_t value_count) {
    (void)kind;
    struct each_field *field = context;
    return field->each(field->context, name, name_count, value ? value : "", value ? value_count : 0) ? MHD_YES
                                                                                                      : MHD_NO;
}

void eft_http_fields(
    eft_http_exchange *exchange, void *context,
    bool (*each)(void *, const char *, size_t, const char *, size_t)) {
    struct each_field field = {context, each};
    MHD_get_connection_values_n(exchange->connection, MHD_HEADER_KIND, give_field, &field);
}

void eft_http_suspend(eft_http_exchange *exchange) { MHD_suspend_connection(exchange->connection); }

void eft_http_resume(eft_http_exchange *exchange) { MHD_resume_connection(exchange->connection); }

// MARK: Responses

static eft_http_response *wrapped(struct MHD_Response *response) {
    eft_http_response *result = response ? malloc(sizeof *result) : NULL;
    if (result) {
        result->response = response;
    } else if (response) {
        MHD_destroy_response(response);
    }
    return result;
}

eft_http_response *eft_http_response_bytes(const uint8_t *bytes, size_t count) {
    return wrapped(MHD_create_response_from_buffer(count, (void *)bytes, MHD_RESPMEM_MUST_COPY));
}

static ssize_t read_more(void *context, uint64_t position, char *target, size_t capacity) {
    (void)position;
    eft_http_exchange *exchange = context;
    int64_t count = exchange->owner->callbacks.read(exchange->request, (uint8_t *)target, capacity);
    return count >= 0 ? (ssize_t)count : MHD_CONTENT_READER_END_OF_STREAM;
}

eft_http_response *eft_http_response_stream(eft_http_exchange *exchange) {
    return wrapped(MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 16384, read_more, exchange, NULL));
}

bool eft_http_response_field(eft_http_response *response, const char *name, const char *value) {
    return MHD_add_response_header(response->response, name, value) == MHD_YES;
}

bool eft_http_respond(eft_http_exchange *exchange, unsigned status, eft_http_response *response) {
    bool taken = MHD_queue_response(exchange->connection, status, response->response) == MHD_YES;
    MHD_destroy_response(response->response);
    free(response);
    return taken;
}
