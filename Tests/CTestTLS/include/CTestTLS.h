// SPDX-License-Identifier: Apache-2.0
// The client's side of TLS, for tests of the server.
#ifndef EFT_CTESTTLS_H
#define EFT_CTESTTLS_H

#include <stddef.h>

typedef struct eft_tls eft_tls;

/// Shakes hands over a connected socket with a server that must show `certificate` (PEM) for `localhost`; NULL when it does not.
eft_tls *eft_tls_connect(int descriptor, const char *certificate);
/// Bytes sent, or a negative number.
long eft_tls_send(eft_tls *tls, const void *bytes, size_t count);
/// Bytes received, 0 at the end, or a negative number.
long eft_tls_receive(eft_tls *tls, void *bytes, size_t capacity);
/// Gives the session back, without a word to the server.
void eft_tls_free(eft_tls *tls);

#endif
