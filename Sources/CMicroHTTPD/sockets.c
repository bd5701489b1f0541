// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include "CMicroHTTPD.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int failed(int descriptor) {
    int error = errno;
    if (descriptor >= 0) close(descriptor);
    return -error;
}

static int listening(int family, const struct sockaddr *address, socklen_t count) {
    int descriptor = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0) return failed(descriptor);
    int yes = 1;
    if (family != AF_UNIX) setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    // Otherwise an IPv6 wildcard would take the IPv4 port along, or not, as the system is set up.
    if (family == AF_INET6) setsockopt(descriptor, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
    if (bind(descriptor, address, count) != 0) return failed(descriptor);
    // Before anybody can connect: only the owner may.
    if (family == AF_UNIX && chmod(((const struct sockaddr_un *)address)->sun_path, 0600) != 0)
        return failed(descriptor);
    return listen(descriptor, SOMAXCONN) == 0 ? descriptor : failed(descriptor);
}

int eft_http_listen(const char *host, uint16_t *port) {
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(*port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    int descriptor;
    if (inet_pton(AF_INET, host, &v4.sin_addr) == 1) {
        descriptor = listening(AF_INET, (const struct sockaddr *)&v4, sizeof v4);
        socklen_t count = sizeof v4;
        if (descriptor < 0) return descriptor;
        if (getsockname(descriptor, (struct sockaddr *)&v4, &count) != 0) return failed(descriptor);
        *port = ntohs(v4.sin_port);
    } else if (inet_pton(AF_INET6, host, &v6.sin6_addr) == 1) {
        descriptor = listening(AF_INET6, (const struct sockaddr *)&v6, sizeof v6);
        socklen_t count = sizeof v6;
        if (descriptor < 0) return descriptor;
        if (getsockname(descriptor, (struct sockaddr *)&v6, &count) != 0) return failed(descriptor);
        *port = ntohs(v6.sin6_port);
    } else {
        return -EINVAL;
    }
    return descriptor;
}

// A socket that a killed server left behind answers nobody, and is replaced.
static void remove_dead(const struct sockaddr_un *address) {
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode)) return;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (probe < 0) return;
    bool dead = connect(probe, (const struct sockaddr *)address, sizeof *address) != 0 && errno == ECONNREFUSED;
    close(probe);
    if (dead) unlink(address->sun_path);
}

int eft_http_listen_unix(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t count = strlen(path);
    if (count == 0 || count >= sizeof address.sun_path) return -ENAMETOOLONG;
    memcpy(address.sun_path, path, count);
    remove_dead(&address);
    return listening(AF_UNIX, (const struct sockaddr *)&address, sizeof address);
}

void eft_http_shutdown(int descriptor) { shutdown(descriptor, SHUT_RDWR); }

int eft_watch_open(void) {
    int watch = epoll_create1(EPOLL_CLOEXEC);
    return watch < 0 ? -errno : watch;
}

void eft_watch_close(int watch) { close(watch); }

bool eft_watch_add(int watch, int descriptor, uint64_t tag) {
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data = {.u64 = tag}};
    return epoll_ctl(watch, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

size_t eft_watch_wait(int watch, uint64_t *tags, size_t capacity, int milliseconds) {
    enum { MOST = 64 };
    struct epoll_event events[MOST];
    int count = epoll_wait(watch, events, capacity < MOST ? (int)capacity : MOST, milliseconds);
    for (int place = 0; place < count; ++place) tags[place] = events[place].data.u64;
    return count > 0 ? (size_t)count : 0;
}
