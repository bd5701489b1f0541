// SPDX-License-Identifier: Apache-2.0
#include "CTestTLS.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdlib.h>
#include <string.h>

struct eft_tls {
    gnutls_session_t session;
    gnutls_certificate_credentials_t credentials;
};

static int connected(eft_tls *tls, int descriptor, const char *certificate) {
    gnutls_datum_t trusted = {(unsigned char *)certificate, (unsigned)strlen(certificate)};
    if (gnutls_certificate_set_x509_trust_mem(tls->credentials, &trusted, GNUTLS_X509_FMT_PEM) != 1) return 0;
    // The certificate was made once and for all; the machine's clock is no part of the test.
    gnutls_certificate_set_verify_flags(tls->credentials, GNUTLS_VERIFY_DISABLE_TIME_CHECKS);
    gnutls_set_default_priority(tls->session);
    gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials);
    gnutls_session_set_verify_cert(tls->session, "localhost", 0);
    gnutls_transport_set_int(tls->session, descriptor);
    int status;
    do status = gnutls_handshake(tls->session);
    while (status < 0 && !gnutls_error_is_fatal(status));
    return status == GNUTLS_E_SUCCESS;
}

eft_tls *eft_tls_connect(int descriptor, const char *certificate) {
    eft_tls *tls = calloc(1, sizeof *tls);
    if (!tls) return NULL;
    if (gnutls_init(&tls->session, GNUTLS_CLIENT) == 0 &&
        gnutls_certificate_allocate_credentials(&tls->credentials) == 0 && connected(tls, descriptor, certificate))
        return tls;
    eft_tls_free(tls);
    return NULL;
}

long eft_tls_send(eft_tls *tls, const void *bytes, size_t count) {
    return gnutls_record_send(tls->session, bytes, count);
}

long eft_tls_receive(eft_tls *tls, void *bytes, size_t capacity) {
    return gnutls_record_recv(tls->session, bytes, capacity);
}

void eft_tls_free(eft_tls *tls) {
    if (tls->session) gnutls_deinit(tls->session);
    if (tls->credentials) gnutls_certificate_free_credentials(tls->credentials);
    free(tls);
}
