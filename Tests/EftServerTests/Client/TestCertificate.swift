// SPDX-License-Identifier: Apache-2.0
// A certificate that certifies itself, for tests alone.

/// Made once by:
/// openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj /CN=localhost
///     -addext subjectAltName=DNS:localhost -keyout key.pem -out certificate.pem
enum TestCertificate {
    static let certificate = """
        -----BEGIN CERTIFICATE-----
        MIIBljCCATugAwIBAgIUQkshmdft9/L55SbOkavgnkhC5+0wCgYIKoZIzj0EAwIw
        FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNTE3NTEzNloYDzIxMjYxMTAx
        MTc1MTM2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
        PQMBBwNCAAQ/i5iYJWYwCeDJjsKr11NNA2Qih5wN0JmGotVD32DgkUUtVuhCu/9S
        yFyrBYo87RD7ByasAp4sJyczN42KQB/Wo2kwZzAdBgNVHQ4EFgQUgYrWstoB0Ozv
        U7BSfbbTuvtqIV4wHwYDVR0jBBgwFoAUgYrWstoB0OzvU7BSfbbTuvtqIV4wDwYD
        VR0TAQH/BAUwAwEB/zAUBgNVHREEDTALgglsb2NhbGhvc3QwCgYIKoZIzj0EAwID
        SQAwRgIhALDwyoYJAZYyfNbE1khtTMyYAGio+qGSfuZFDYBEF6yQAiEAiukNU3WO
        pMJSYMQfnTS2SA4659YRS7y19sbj1R17Fuc=
        -----END CERTIFICATE-----

        """

    static let key = """
        -----BEGIN PRIVATE KEY-----
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg37ZJq0aAH9LO8ktg
        PdkAAy11kKqRO5Uh31gv6Yo6KSqhRANCAAQ/i5iYJWYwCeDJjsKr11NNA2Qih5wN
        0JmGotVD32DgkUUtVuhCu/9SyFyrBYo87RD7ByasAp4sJyczN42KQB/W
        -----END PRIVATE KEY-----

        """
}
