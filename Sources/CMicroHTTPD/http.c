// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CMicroHTTPD.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>
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

// MARK: Errors of the library's own

typedef enum MHD_Result queue_response(struct MHD_Connection *, unsigned, struct MHD_Response *);

static queue_response *library_queue;
/// GnuTLS's `gnutls_record_send`, which the library brings along.
static ssize_t (*library_encrypt)(void *session, const void *bytes, size_t count);
/// Whether this thread is handing over a response of the server's.
static _Thread_local bool is_ours;

static const char *error_type(unsigned status) {
    switch (status) {
    case MHD_HTTP_BAD_REQUEST: return "BadRequestError";
    case MHD_HTTP_CONTENT_TOO_LARGE: return "RequestEntityTooLargeError";
    case MHD_HTTP_URI_TOO_LONG: return "RequestURITooLongError";
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE: return "RequestHeaderFieldsTooLargeError";
    case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED: return "HTTPVersionNotSupportedError";
    default: return status < 500 ? "BadRequestError" : "InternalServerError";
    }
}

static const char *error_message(unsigned status) {
    switch (status) {
    case MHD_HTTP_BAD_REQUEST:
        return "this is no valid HTTP request: look at its first line, its fields, its Host, and the length or the "
               "chunks of its body";
    case MHD_HTTP_CONTENT_TOO_LARGE: return "the length of the body is larger than any that is accepted";
    case MHD_HTTP_URI_TOO_LONG: return "the first line of the request is too long";
    case MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE: return "the header is too large";
    case MHD_HTTP_HTTP_VERSION_NOT_SUPPORTED: return "the version of HTTP must be 1.0 or 1.1";
    default: return "the server failed";
    }
}

/// The number of bytes of the error; 0 when they do not fit.
static size_t error_body(unsigned status, char *text, size_t capacity) {
    int count = snprintf(
        text, capacity, "{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":%u}}",
        error_message(status), error_type(status), status);
    return count > 0 && (size_t)count < capacity ? (size_t)count : 0;
}

/// Sends an error without the library, which would send the head of some of its errors twice.
/// `session` is GnuTLS's, or NULL for plain HTTP.
static bool send_error(int descriptor, void *session, unsigned status) {
    char body[512], all[1024];
    size_t length = error_body(status, body, sizeof body);
    const char *reason = MHD_get_reason_phrase_for(status);
    int count = snprintf(
        all, sizeof all,
        "HTTP/1.1 %u %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
        status, reason ? reason : "Error", length, body);
    if (length == 0 || count < 0 || (size_t)count >= sizeof all) return false;
    // What was answered before on this connection has been taken by the system, which always has room for so little.
    if (session) return library_encrypt && library_encrypt(session, all, (size_t)count) == count;
    return send(descriptor, all, (size_t)count, MSG_NOSIGNAL | MSG_DONTWAIT) == count;
}

static struct MHD_Response *error_response(unsigned status) {
    char body[512];
    size_t length = error_body(status, body, sizeof body);
    struct MHD_Response *response =
        length ? MHD_create_response_from_buffer(length, body, MHD_RESPMEM_MUST_COPY) : NULL;
    if (response) MHD_add_response_header(response, "Content-Type", "application/json");
    return response;
}

/// The library answers what it cannot read by itself, with pages of HTML, and has no option for other ones. But it hands
/// them over by this function, as the dynamic linker finds it: here, where they are replaced.
__attribute__((visibility("default"))) enum MHD_Result MHD_queue_response(
    struct MHD_Connection *connection, unsigned status, struct MHD_Response *response) {
    if (!library_queue) return MHD_NO;
    if (is_ours || status < 400) return library_queue(connection, status, response);
    const union MHD_ConnectionInfo *descriptor =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *session =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    // Without a response the library closes the connection, as it does after each of its errors.
    if (descriptor && send_error(descriptor->connect_fd, session ? session->tls_session : NULL, status)) return MHD_NO;
    struct MHD_Response *replacement = error_response(status);
    enum MHD_Result result = library_queue(connection, status, replacement ? replacement : response);
    if (replacement) MHD_destroy_response(replacement);
    return result;
}

static pthread_once_t library_found = PTHREAD_ONCE_INIT;

static void find_library(void) {
    // The only way from an object to a function that ISO C does not forbid.
    void *found = dlsym(RTLD_NEXT, "MHD_queue_response");
    memcpy(&library_queue, &found, sizeof library_queue);
    found = dlsym(RTLD_DEFAULT, "gnutls_record_send");
    memcpy(&library_encrypt, &found, sizeof library_encrypt);
}

eft_http_daemon *eft_http_start(const eft_http_options *options, const eft_http_callbacks *callbacks) {
    pthread_once(&library_found, find_library);
    eft_http_daemon *daemon = library_queue ? calloc(1, sizeof *daemon) : NULL;
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
    is_ours = true;
    bool taken = MHD_queue_response(exchange->connection, status, response->response) == MHD_YES;
    is_ours = false;
    MHD_destroy_response(response->response);
    free(response);
    return taken;
}
