// SPDX-License-Identifier: Apache-2.0
// HTTP over sockets by libmicrohttpd, as a few plain functions: its own header brings in system headers that Swift
// cannot import beside those of other libraries.
#ifndef EFT_CMICROHTTPD_H
#define EFT_CMICROHTTPD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// A listening server with one thread that reads and writes all its connections.
typedef struct eft_http_daemon eft_http_daemon;
/// A request on a connection, from its request line until `completed`.
typedef struct eft_http_exchange eft_http_exchange;
/// A response that has not been handed over yet.
typedef struct eft_http_response eft_http_response;

/// What is called on the server's thread. `connection` and `request` are what `opened` and `request_line` returned. The
/// functions that return bool close the connection by false.
typedef struct {
    void *context;
    void *(*opened)(void *context, int descriptor, const char *peer);
    /// The descriptor is closed right after.
    void (*closed)(void *context, void *connection);
    /// NULL refuses the request. `target` is the request's target as it was sent.
    void *(*request_line)(
        void *context, void *connection, eft_http_exchange *exchange, const char *target);
    bool (*head)(void *request, const char *method);
    bool (*body)(void *request, const uint8_t *bytes, size_t count);
    /// The whole request is there; called again each time after the request was resumed.
    bool (*ready)(void *request);
    /// Bytes of a streamed response: their number, 0 for none now (the request is suspended then), -1 at the end.
    int64_t (*read)(void *request, uint8_t *target, size_t capacity);
    /// The exchange ends, and its handle with it.
    void (*completed)(void *request);
} eft_http_callbacks;

typedef struct {
    /// From `eft_http_listen` or `eft_http_listen_unix`; stays the caller's.
    int listener;
    unsigned connection_limit;
    size_t connection_memory;
    /// PEM texts, or NULL for plain HTTP.
    const char *certificate;
    const char *key;
} eft_http_options;

/// Listens at a numeric address; the port is replaced by the one taken. A negative error number when it cannot be.
int eft_http_listen(const char *host, uint16_t *port);
/// Listens at a path for sockets of this machine, open to its owner alone.
int eft_http_listen_unix(const char *path);

/// Starts; NULL when libmicrohttpd refuses.
eft_http_daemon *eft_http_start(const eft_http_options *options, const eft_http_callbacks *callbacks);
/// Refuses new connections.
void eft_http_refuse(eft_http_daemon *daemon);
/// Closes all connections and joins the thread. No exchange may be suspended.
void eft_http_stop(eft_http_daemon *daemon);

/// Goes through the header's fields until `each` returns false.
void eft_http_fields(
    eft_http_exchange *exchange, void *context,
    bool (*each)(
        void *context, const char *name, size_t name_count, const char *value, size_t value_count));
/// Takes the exchange out of the server's loop. Only from within a callback.
void eft_http_suspend(eft_http_exchange *exchange);
/// Gives a suspended exchange back, from any thread.
void eft_http_resume(eft_http_exchange *exchange);

/// A response of bytes, which are copied; NULL when memory is short.
eft_http_response *eft_http_response_bytes(const uint8_t *bytes, size_t count);
/// A response whose bytes `read` gives.
eft_http_response *eft_http_response_stream(eft_http_exchange *exchange);
/// Adds a field; false when it is not well formed.
bool eft_http_response_field(eft_http_response *response, const char *name, const char *value);
/// Hands the response over; it is gone afterwards. Only from within `head` or `ready`.
bool eft_http_respond(eft_http_exchange *exchange, unsigned status, eft_http_response *response);

/// Ends both directions of a connection, which the server's thread then notices.
void eft_http_shutdown(int descriptor);

/// Watches connections for peers that leave.
int eft_watch_open(void);
void eft_watch_close(int watch);
/// Reports `tag` once when the peer of `descriptor` has closed its side. Forgotten when the descriptor is closed.
bool eft_watch_add(int watch, int descriptor, uint64_t tag);
/// Waits up to `milliseconds`; the number of tags written.
size_t eft_watch_wait(int watch, uint64_t *tags, size_t capacity, int milliseconds);

#endif
