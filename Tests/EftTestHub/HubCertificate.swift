// SPDX-License-Identifier: Apache-2.0
// A certificate that certifies itself, for tests alone.

/// Made once by Python's cryptography, for `localhost` and 127.0.0.1, from 2020 to 2126: clients other than the tests' own
/// look at the machine's clock.
enum HubCertificate {
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBWzCCAQGgAwIBAgIUeEPW5BcEMB8nQtpNnI2QrbcY56EwCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTIwMDEwMTAwMDAwMFoYDzIxMjYwMTAx
        MDAwMDAwWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAAS4x8k2LGLx7QtzBypcwCmNnPwUIWL+TJcfqRl84VEZsNDpWy5y785g
        fS6WEPJ61LW6JTYIFlzcuf99cbn1XdMKoy8wLTAPBgNVHRMBAf8EBTADAQH/MBoG
        A1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAKBggqhkjOPQQDAgNIADBFAiAKMnTQ
        KWq1J+mOv8zdrbGDbICZsebMVZ4NbN/PmkzrcAIhAP1Aj4gz2ne1vtiZ/6Ec1yim
        WH1EWqplHf5Dx3yNEcvs
        -----END CERTIFICATE-----

        """

    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgCU0IGDb2wbOA6iM1
        TCNxyiBUsWwHHR2Sn6MmDgEIluihRANCAAS4x8k2LGLx7QtzBypcwCmNnPwUIWL+
        TJcfqRl84VEZsNDpWy5y785gfS6WEPJ61LW6JTYIFlzcuf99cbn1XdMK
        -----END PRIVATE KEY-----

        """
}
