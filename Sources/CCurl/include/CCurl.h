// SPDX-License-Identifier: Apache-2.0
// Transfers over HTTP by libcurl, which is opened when the first one is made: a program that downloads nothing
// neither loads the library nor needs it.
#ifndef CCURL_H
#define CCURL_H

#include <stddef.h>
#include <stdint.h>

// Makes transfers one after the other, on connections that it keeps. One thread at a time.
typedef struct eft_curl_session eft_curl_session;

typedef struct {
    const char *url;
    // Lines such as "Range: bytes=0-9"; `field_count` of them.
    const char *const *fields;
    size_t field_count;
    // A token that the host of `url` gets, and no other host to which it leads; NULL for none.
    const char *token;
    // The file of certificates to trust; NULL for the system's.
    const char *certificates;
    const char *user_agent;
    // Asks for the answer's fields alone.
    int is_head;
    // Seconds without a byte after which the transfer has failed.
    long stalled_seconds;
    // Handed to the functions below.
    void *context;
    // A line of an answer's head, also of answers that only lead elsewhere. Returns whether to go on.
    int (*on_line)(void *context, const char *bytes, size_t count);
    // Bytes of the body of the last answer. Returns whether to go on.
    int (*on_body)(void *context, const char *bytes, size_t count);
    // Asked now and then. Returns whether to go on.
    int (*on_wait)(void *context);
} eft_curl_request;

typedef enum {
    EFT_CURL_DONE = 0,
    // One of the functions ended it.
    EFT_CURL_STOPPED,
    // The host was not reached, or the connection broke: worth another attempt.
    EFT_CURL_BROKEN,
    // Another attempt would not help: a bad address, or a certificate that is not trusted.
    EFT_CURL_REFUSED,
} eft_curl_outcome;

// A session; NULL where there is no libcurl, or no memory.
eft_curl_session *eft_curl_open(void);

void eft_curl_close(eft_curl_session *session);

// Makes a transfer and waits for its end.
// `error`: room of `error_size` bytes for what went wrong, in words.
eft_curl_outcome eft_curl_perform(
    eft_curl_session *session, const eft_curl_request *request, char *error, size_t error_size);

#endif
