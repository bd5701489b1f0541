// SPDX-License-Identifier: Apache-2.0
// Transfers by libcurl, opened at run time.
#define CURL_DISABLE_TYPECHECK
#define CURL_DISABLE_DEPRECATION
#include "CCurl.h"

#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static struct {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_easy_init) *init;
    __typeof__(curl_easy_reset) *reset;
    __typeof__(curl_easy_setopt) *setopt;
    __typeof__(curl_easy_perform) *perform;
    __typeof__(curl_easy_cleanup) *cleanup;
    __typeof__(curl_easy_strerror) *describe;
    __typeof__(curl_slist_append) *append;
    __typeof__(curl_slist_free_all) *free_list;
} api;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int is_ready;

// One of the builds that distributions have, whichever is there.
static const char *const names[] = {"libcurl-gnutls.so.4", "libcurl.so.4", "libcurl-nss.so.4"};

struct eft_curl_session {
    CURL *curl;
    const eft_curl_request *request;
    int is_stopped;
};

static int find(void *library, const char *name, void *slot) {
    void *found = dlsym(library, name);
    memcpy(slot, &found, sizeof found);
    return found != NULL;
}

static void load(void) {
    void *library = NULL;
    for (size_t i = 0; library == NULL && i < sizeof names / sizeof *names; i++)
        library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) return;
    if (!find(library, "curl_global_init", &api.global_init) || !find(library, "curl_easy_init", &api.init)
        || !find(library, "curl_easy_reset", &api.reset) || !find(library, "curl_easy_setopt", &api.setopt)
        || !find(library, "curl_easy_perform", &api.perform) || !find(library, "curl_easy_cleanup", &api.cleanup)
        || !find(library, "curl_easy_strerror", &api.describe) || !find(library, "curl_slist_append", &api.append)
        || !find(library, "curl_slist_free_all", &api.free_list))
        return;
    is_ready = api.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

eft_curl_session *eft_curl_open(void) {
    pthread_once(&once, load);
    if (!is_ready) return NULL;
    eft_curl_session *session = calloc(1, sizeof *session);
    if (session == NULL) return NULL;
    session->curl = api.init();
    if (session->curl != NULL) return session;
    free(session);
    return NULL;
}

void eft_curl_close(eft_curl_session *session) {
    if (session == NULL) return;
    api.cleanup(session->curl);
    free(session);
}

// What libcurl takes for a function that wants no more bytes.
static size_t refused(size_t total) { return total > 0 ? 0 : 1; }

static size_t take(eft_curl_session *session, int (*give)(void *, const char *, size_t), const char *bytes, size_t total) {
    if (give(session->request->context, bytes, total)) return total;
    session->is_stopped = 1;
    return refused(total);
}

static size_t take_line(char *bytes, size_t size, size_t count, void *user) {
    eft_curl_session *session = user;
    return take(session, session->request->on_line, bytes, size * count);
}

static size_t take_body(char *bytes, size_t size, size_t count, void *user) {
    eft_curl_session *session = user;
    return take(session, session->request->on_body, bytes, size * count);
}

static int look(void *user, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    eft_curl_session *session = user;
    if (session->request->on_wait(session->request->context)) return 0;
    session->is_stopped = 1;
    return 1;
}

// Errors that are the same the next time.
static int is_final(CURLcode code) {
    switch (code) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_TOO_MANY_REDIRECTS: return 1;
    default: return 0;
    }
}

// What leads elsewhere may not lead to files, and not from encrypted to plain transfers.
static int keep_protocols(CURL *curl, const char *url) {
    int is_secure = strncasecmp(url, "https:", 6) == 0;
    long all = CURLPROTO_HTTP | CURLPROTO_HTTPS;
    if (api.setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK
        && api.setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, is_secure ? "https" : "http,https") == CURLE_OK)
        return 1;
    // Libraries before 7.85 have numbers for it.
    return api.setopt(curl, CURLOPT_PROTOCOLS, all) == CURLE_OK
        && api.setopt(curl, CURLOPT_REDIR_PROTOCOLS, is_secure ? (long)CURLPROTO_HTTPS : all) == CURLE_OK;
}

static void set_limits(CURL *curl, const eft_curl_request *request) {
    api.setopt(curl, CURLOPT_NOSIGNAL, 1L);
    api.setopt(curl, CURLOPT_BUFFERSIZE, 256L << 10);
    api.setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
    api.setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    api.setopt(curl, CURLOPT_LOW_SPEED_TIME, request->stalled_seconds);
    api.setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    api.setopt(curl, CURLOPT_MAXREDIRS, 10L);
    api.setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

static void set_functions(CURL *curl, eft_curl_session *session) {
    api.setopt(curl, CURLOPT_HEADERFUNCTION, take_line);
    api.setopt(curl, CURLOPT_HEADERDATA, session);
    api.setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    api.setopt(curl, CURLOPT_WRITEDATA, session);
    api.setopt(curl, CURLOPT_NOPROGRESS, 0L);
    api.setopt(curl, CURLOPT_XFERINFOFUNCTION, look);
    api.setopt(curl, CURLOPT_XFERINFODATA, session);
}

eft_curl_outcome eft_curl_perform(
    eft_curl_session *session, const eft_curl_request *request, char *error, size_t error_size) {
    CURL *curl = session->curl;
    session->request = request;
    session->is_stopped = 0;
    error[0] = 0;
    char text[CURL_ERROR_SIZE] = "";
    struct curl_slist *fields = NULL;
    for (size_t i = 0; i < request->field_count; i++) {
        struct curl_slist *longer = api.append(fields, request->fields[i]);
        if (longer != NULL) fields = longer;
    }
    // Keeps connections.
    api.reset(curl);
    set_limits(curl, request);
    set_functions(curl, session);
    api.setopt(curl, CURLOPT_ERRORBUFFER, text);
    api.setopt(curl, CURLOPT_URL, request->url);
    api.setopt(curl, CURLOPT_HTTPHEADER, fields);
    api.setopt(curl, CURLOPT_USERAGENT, request->user_agent);
    if (request->is_head) api.setopt(curl, CURLOPT_NOBODY, 1L);
    if (request->certificates != NULL) api.setopt(curl, CURLOPT_CAINFO, request->certificates);
    if (request->token != NULL) {
        // The library leaves it out where host or port change.
        api.setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        api.setopt(curl, CURLOPT_XOAUTH2_BEARER, request->token);
    }
    CURLcode code = keep_protocols(curl, request->url) ? api.perform(curl) : CURLE_UNSUPPORTED_PROTOCOL;
    // Neither the words nor the fields outlive this call.
    api.setopt(curl, CURLOPT_ERRORBUFFER, NULL);
    api.setopt(curl, CURLOPT_HTTPHEADER, NULL);
    api.free_list(fields);
    session->request = NULL;
    if (code == CURLE_OK) return EFT_CURL_DONE;
    if (session->is_stopped) return EFT_CURL_STOPPED;
    snprintf(error, error_size, "%s", text[0] != 0 ? text : api.describe(code));
    return is_final(code) ? EFT_CURL_REFUSED : EFT_CURL_BROKEN;
}
